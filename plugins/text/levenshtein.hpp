// Edit distances: how many code points must be inserted, deleted or replaced; or only inserted and deleted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace assay::text {

/// The work is the product of the two lengths where the texts differ (common ends are free), 64 cells at a
/// time: at this many, that is two texts of 32,768 code points, about a tenth of a second.
inline constexpr uint64_t kLevenshteinCellLimit = uint64_t{1} << 30;

/// Over code points. The error says that the texts are too long.
std::expected<size_t, std::string> levenshtein_distance(std::string_view a, std::string_view b);

/// 1 - distance / length of the longer one, as autoevals' `Levenshtein`; 1 for two empty texts.
std::expected<double, std::string> levenshtein_similarity(std::string_view a, std::string_view b);

/// Twice the longest common subsequence / the sum of the lengths, as rapidfuzz's `fuzz.ratio` / 100; 1 for
/// two empty texts.
std::expected<double, std::string> fuzzy_ratio(std::string_view a, std::string_view b);

}  // namespace assay::text
