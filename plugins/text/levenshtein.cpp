#include "plugins/text/levenshtein.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <vector>

#include "plugins/text/utf8.hpp"

namespace assay::text {
namespace {

constexpr size_t kBits = 64;

/// Where each code point stands in up to 64 code points of a pattern, as a bit mask.
class Positions {
 public:
  explicit Positions(std::u32string_view pattern) {
    for (size_t i = 0; i < pattern.size(); ++i) {
      const uint64_t bit = uint64_t{1} << i;
      if (pattern[i] < low_.size()) {
        low_[pattern[i]] |= bit;
      } else {
        Slot& slot = slots_[slot_of(pattern[i])];
        slot.code_point = pattern[i];
        slot.mask |= bit;
      }
    }
  }

  uint64_t of(char32_t c) const { return c < low_.size() ? low_[c] : slots_[slot_of(c)].mask; }

 private:
  struct Slot {
    char32_t code_point = 0;
    uint64_t mask = 0;  ///< 0: free
  };

  /// The slot of `c`, or the free one where it would go. Twice as many slots as code points: one is free.
  size_t slot_of(char32_t c) const {
    size_t i = (c * 0x9E3779B1U) >> 25;
    while (slots_[i].mask != 0 && slots_[i].code_point != c) i = (i + 1) % slots_.size();
    return i;
  }

  std::array<uint64_t, 256> low_{};
  std::array<Slot, 128> slots_{};
};

void strip_common_ends(std::u32string_view& a, std::u32string_view& b) {
  const auto first = std::ranges::mismatch(a, b).in1 - a.begin();
  a.remove_prefix(static_cast<size_t>(first));
  b.remove_prefix(static_cast<size_t>(first));
  while (!a.empty() && !b.empty() && a.back() == b.back()) {
    a.remove_suffix(1);
    b.remove_suffix(1);
  }
}

/// 64 rows of the matrix, one for each code point of `pattern`, along all columns (Myers 1999 as Hyyrö 2003
/// gives it for blocks). `deltas` has the horizontal differences of the row above, and gets those of the last
/// row.
void advance_block(std::u32string_view pattern, std::u32string_view text, std::vector<int8_t>& deltas) {
  const Positions positions(pattern);
  const uint64_t last = uint64_t{1} << (pattern.size() - 1);
  uint64_t up = ~uint64_t{0};  // rows whose vertical difference is +1
  uint64_t down = 0;           // rows where it is -1
  for (size_t j = 0; j < text.size(); ++j) {
    const uint64_t in_up = deltas[j] > 0 ? 1 : 0;
    const uint64_t in_down = deltas[j] < 0 ? 1 : 0;
    const uint64_t equal = positions.of(text[j]);
    const uint64_t vertical = equal | down;
    const uint64_t carried = equal | in_down;
    const uint64_t horizontal = (((carried & up) + up) ^ up) | carried;
    uint64_t right_up = down | ~(horizontal | up);
    uint64_t right_down = up & horizontal;
    deltas[j] = static_cast<int8_t>(((right_up & last) != 0 ? 1 : 0) - ((right_down & last) != 0 ? 1 : 0));
    right_up = right_up << 1 | in_up;
    right_down = right_down << 1 | in_down;
    up = right_down | ~(vertical | right_up);
    down = right_up & vertical;
  }
}

std::expected<void, std::string> check_cells(size_t a, size_t b) {
  if (a == 0 || b <= kLevenshteinCellLimit / a) return {};
  return std::unexpected(
      "texts of " + std::to_string(a) + " and " + std::to_string(b) +
      " differing code points are too long for an edit distance: the product may be at most " +
      std::to_string(kLevenshteinCellLimit));
}

std::expected<size_t, std::string> distance(std::u32string_view a, std::u32string_view b) {
  strip_common_ends(a, b);
  if (a.size() > b.size()) std::swap(a, b);
  if (a.empty()) return b.size();
  if (const auto fits = check_cells(a.size(), b.size()); !fits) return std::unexpected(fits.error());
  std::vector<int8_t> deltas(b.size(), 1);
  for (size_t row = 0; row < a.size(); row += kBits) advance_block(a.substr(row, kBits), b, deltas);
  ptrdiff_t result = static_cast<ptrdiff_t>(a.size());
  for (const int8_t delta : deltas) result += delta;
  return static_cast<size_t>(result);
}

/// 64 rows of the matrix of longest common subsequences (Hyyrö 2004). `carries` has what the additions of the
/// rows above carry in each column, and gets what these do. Returns by how much these rows lengthen it.
size_t lengthen_lcs(std::u32string_view pattern, std::u32string_view text, std::vector<bool>& carries) {
  const Positions positions(pattern);
  uint64_t same = ~uint64_t{0};  // rows that are no longer than the one above
  for (size_t j = 0; j < text.size(); ++j) {
    const uint64_t matches = same & positions.of(text[j]);
    const uint64_t sum = same + matches;
    const uint64_t carried = sum + (carries[j] ? 1 : 0);
    carries[j] = sum < same || carried < sum;
    same = carried | (same - matches);
  }
  const uint64_t rows = pattern.size() == kBits ? ~uint64_t{0} : (uint64_t{1} << pattern.size()) - 1;
  return static_cast<size_t>(std::popcount(~same & rows));
}

}  // namespace

std::expected<size_t, std::string> levenshtein_distance(std::string_view a, std::string_view b) {
  return distance(code_points(a), code_points(b));
}

std::expected<double, std::string> levenshtein_similarity(std::string_view a, std::string_view b) {
  const std::u32string left = code_points(a);
  const std::u32string right = code_points(b);
  const size_t longer = std::max(left.size(), right.size());
  if (longer == 0) return 1;
  const auto edits = distance(left, right);
  if (!edits) return std::unexpected(edits.error());
  return 1 - static_cast<double>(*edits) / static_cast<double>(longer);
}

std::expected<double, std::string> fuzzy_ratio(std::string_view a, std::string_view b) {
  const std::u32string left = code_points(a);
  const std::u32string right = code_points(b);
  const size_t whole = left.size() + right.size();
  if (whole == 0) return 1;
  std::u32string_view rows = left;
  std::u32string_view columns = right;
  strip_common_ends(rows, columns);
  if (const auto fits = check_cells(rows.size(), columns.size()); !fits) return std::unexpected(fits.error());
  size_t common = left.size() - rows.size();
  std::vector<bool> carries(columns.size(), false);
  for (size_t row = 0; row < rows.size(); row += kBits)
    common += lengthen_lcs(rows.substr(row, kBits), columns, carries);
  return 2 * static_cast<double>(common) / static_cast<double>(whole);
}

}  // namespace assay::text
