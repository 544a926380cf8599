// chrF (Popović 2015) and chrF++ (Popović 2017) as sacrebleu computes them: 6 orders of characters, beta 2,
// no white space, no smoothing.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace assay::text {

inline constexpr size_t kChrfCharacterOrder = 6;
inline constexpr size_t kChrfWordOrder = 2;

enum class Chrf {
  characters,           ///< chrF
  characters_and_words  ///< chrF++
};

/// Counts of a sentence: those of characters first, then those of words (0 for chrF). Those of a corpus are
/// their sum, in any order.
struct ChrfStatistics {
  struct Counts {
    uint64_t hypothesis = 0;
    uint64_t reference = 0;
    uint64_t matches = 0;
    bool operator==(const Counts&) const = default;
  };
  std::array<Counts, kChrfCharacterOrder + kChrfWordOrder> counts{};

  ChrfStatistics& operator+=(const ChrfStatistics& other);
  bool operator==(const ChrfStatistics&) const = default;
};

/// Against the reference that scores best. Without a reference nothing matches.
ChrfStatistics chrf_statistics(std::string_view hypothesis, std::span<const std::string_view> references,
                               Chrf kind = Chrf::characters);

/// 0 to 100; of a sentence or of a corpus.
double chrf(const ChrfStatistics& statistics);

}  // namespace assay::text
