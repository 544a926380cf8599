#include "plugins/text/rouge.hpp"

#include <algorithm>

#include "plugins/text/ngrams.hpp"
#include "plugins/text/porter_stemmer.hpp"
#include "plugins/text/utf8.hpp"

namespace assay::text {
namespace {

/// The two letters beyond ASCII whose lower case Python begins with an ASCII letter.
constexpr char32_t kDottedI = 0x130;
constexpr char32_t kKelvin = 0x212A;

RougeScore score_of(uint64_t matches, uint64_t output_count, uint64_t expected_count) {
  RougeScore score;
  score.precision = static_cast<double>(matches) / static_cast<double>(std::max<uint64_t>(output_count, 1));
  score.recall = static_cast<double>(matches) / static_cast<double>(std::max<uint64_t>(expected_count, 1));
  const double sum = score.precision + score.recall;
  score.f1 = sum > 0 ? 2 * score.precision * score.recall / sum : 0;
  return score;
}

/// Gives equal stems equal numbers.
class Numbering {
 public:
  explicit Numbering(Stemming stemming) : stemming_(stemming) {}

  Tokens of(std::string_view text) {
    Tokens result;
    for (auto& token : rouge_tokens(text, stemming_))
      result.push_back(
          numbers_.try_emplace(std::move(token), static_cast<uint32_t>(numbers_.size())).first->second);
    return result;
  }
  /// Of each line that has tokens.
  std::vector<Tokens> of_lines(std::string_view text) {
    std::vector<Tokens> lines;
    for (size_t begin = 0; begin <= text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      if (Tokens line = of(text.substr(begin, end - begin)); !line.empty()) lines.push_back(std::move(line));
      begin = end + 1;
    }
    return lines;
  }
  size_t size() const { return numbers_.size(); }

 private:
  Stemming stemming_;
  std::unordered_map<std::string, uint32_t> numbers_;
};

std::expected<void, std::string> check_cells(uint64_t output_count, uint64_t expected_count) {
  if (output_count == 0 || expected_count <= kRougeCellLimit / output_count) return {};
  return std::unexpected(
      "texts of " + std::to_string(output_count) + " and " + std::to_string(expected_count) +
      " words are too long for ROUGE-L: the product may be at most " + std::to_string(kRougeCellLimit));
}

/// The lengths of the longest common subsequences of a growing part of one text and all parts of the other.
class LcsRow {
 public:
  explicit LcsRow(const Tokens& columns) : columns_(columns), lengths_(columns.size() + 1, 0) {}

  /// Goes on by `token`; `left_is_longer(j)` is told where the length to the left is the larger one.
  template <class LeftIsLonger>
  void advance(uint32_t token, LeftIsLonger left_is_longer) {
    uint32_t diagonal = 0;
    for (size_t j = 0; j < columns_.size(); ++j) {
      const uint32_t above = lengths_[j + 1];
      if (lengths_[j] > above) left_is_longer(j);
      lengths_[j + 1] = columns_[j] == token ? diagonal + 1 : std::max(above, lengths_[j]);
      diagonal = above;
    }
  }
  uint32_t length() const { return lengths_.back(); }

 private:
  const Tokens& columns_;
  std::vector<uint32_t> lengths_;
};

uint64_t lcs_length(const Tokens& a, const Tokens& b) {
  LcsRow row(b);
  for (const uint32_t token : a) row.advance(token, [](size_t) {});
  return row.length();
}

/// Marks the tokens of `expected` that are on one longest common subsequence with `output`: the one that
/// rouge-score walks back along, since the union depends on which.
void mark_lcs(const Tokens& expected, const Tokens& output, std::vector<bool>& marked) {
  const size_t width = output.size();
  std::vector<bool> left(expected.size() * width);  // whether the way back goes left
  LcsRow row(output);
  for (size_t i = 0; i < expected.size(); ++i)
    row.advance(expected[i], [&](size_t j) { left[i * width + j] = true; });
  size_t i = expected.size();
  size_t j = width;
  while (i > 0 && j > 0) {
    if (expected[i - 1] == output[j - 1]) {
      marked[--i] = true;
      --j;
    } else if (left[(i - 1) * width + j - 1]) {
      --j;
    } else {
      --i;
    }
  }
}

std::vector<uint32_t> counts_of(const std::vector<Tokens>& lines, size_t vocabulary_size) {
  std::vector<uint32_t> counts(vocabulary_size, 0);
  for (const Tokens& line : lines)
    for (const uint32_t token : line) ++counts[token];
  return counts;
}

uint64_t total(const std::vector<Tokens>& lines) {
  uint64_t sum = 0;
  for (const Tokens& line : lines) sum += line.size();
  return sum;
}

uint64_t union_matches(const std::vector<Tokens>& output, const std::vector<Tokens>& expected,
                       size_t vocabulary_size) {
  auto in_output = counts_of(output, vocabulary_size);
  auto in_expected = counts_of(expected, vocabulary_size);
  uint64_t matches = 0;
  for (const Tokens& line : expected) {
    std::vector<bool> marked(line.size(), false);
    for (const Tokens& other : output) mark_lcs(line, other, marked);
    for (size_t i = 0; i < line.size(); ++i) {
      // No token counts more often than it is there.
      if (!marked[i] || in_output[line[i]] == 0 || in_expected[line[i]] == 0) continue;
      --in_output[line[i]];
      --in_expected[line[i]];
      ++matches;
    }
  }
  return matches;
}

}  // namespace

std::vector<std::string> rouge_tokens(std::string_view text, Stemming stemming) {
  std::vector<std::string> tokens;
  std::string token;
  const auto finish = [&] {
    if (stemming == Stemming::porter && token.size() > 3) token = porter_stem(token);
    if (!token.empty()) tokens.push_back(std::move(token));
    token.clear();
  };
  while (!text.empty()) {
    const char32_t c = take_code_point(text);
    const char letter = c == kKelvin ? 'k' : c == kDottedI ? 'i' : c < 0x80 ? static_cast<char>(c) : ' ';
    const bool in_token = is_ascii_letter(letter) || is_ascii_digit(letter);
    if (in_token) token += ascii_lower(letter);
    if (!in_token || c == kDottedI) finish();  // the dot is a code point of its own in lower case
  }
  finish();
  return tokens;
}

RougeScore rouge_n(std::string_view output, std::string_view expected, size_t n, Stemming stemming) {
  Numbering numbering(stemming);
  const Tokens own = numbering.of(output);
  const Tokens reference = numbering.of(expected);
  const uint64_t matches = matched_ngrams(own, {&reference, 1}, n).back();
  return score_of(matches, ngram_count(own.size(), n), ngram_count(reference.size(), n));
}

std::expected<RougeScore, std::string> rouge_l(std::string_view output, std::string_view expected,
                                               Stemming stemming) {
  Numbering numbering(stemming);
  const Tokens own = numbering.of(output);
  const Tokens reference = numbering.of(expected);
  if (const auto fits = check_cells(own.size(), reference.size()); !fits)
    return std::unexpected(fits.error());
  return score_of(lcs_length(reference, own), own.size(), reference.size());
}

std::expected<RougeScore, std::string> rouge_lsum(std::string_view output, std::string_view expected,
                                                  Stemming stemming) {
  Numbering numbering(stemming);
  const auto own = numbering.of_lines(output);
  const auto reference = numbering.of_lines(expected);
  if (const auto fits = check_cells(total(own), total(reference)); !fits)
    return std::unexpected(fits.error());
  return score_of(union_matches(own, reference, numbering.size()), total(own), total(reference));
}

}  // namespace assay::text
