// What comparing answers needs again and again; the `assay` module offers it to evaluators
// (sdk/lua/assay.lua).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace assay::sandbox::lua {

/// Finds numbers in running text, one after the other: "1,234.5", "-3", "$18", "50%", "1e-3". A minus sign
/// counts when nothing that belongs to a word or number is before it. Commas count between groups of three
/// digits only.
class NumberScanner {
 public:
  explicit NumberScanner(std::string_view text) : text_(text) {}
  std::optional<double> next();

 private:
  size_t digits_from(size_t at) const;
  std::optional<double> number_at(size_t start);

  std::string_view text_;
  size_t at_ = 0;
};

/// The number that all of `text` is, blanks, a currency sign and a percent sign aside.
std::optional<double> whole_number_text(std::string_view text);

/// Finds words: runs of ASCII letters and digits, other UTF-8 characters, and apostrophes inside a run.
class WordScanner {
 public:
  explicit WordScanner(std::string_view text) : text_(text) {}
  std::optional<std::string_view> next();

 private:
  std::string_view text_;
  size_t at_ = 0;
};

/// SQuAD's normalisation: ASCII letters lower-cased, ASCII punctuation removed, the words a, an and the left
/// out, white space reduced to single blanks. Writes at most `text.size()` bytes to `out`; the number
/// written.
size_t normalise(std::string_view text, char* out);

/// Edit distance in code points; `row` has room for `b_size` + 1.
size_t levenshtein(const uint32_t* a, size_t a_size, const uint32_t* b, size_t b_size, uint32_t* row);

}  // namespace assay::sandbox::lua
