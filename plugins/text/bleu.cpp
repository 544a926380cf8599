#include "plugins/text/bleu.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "plugins/text/ngrams.hpp"
#include "plugins/text/utf8.hpp"

namespace assay::text {
namespace {

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  if (!text.contains(what)) return text;
  std::string result;
  size_t at = 0;
  for (size_t found = 0; (found = text.find(what, at)) != std::string::npos; at = found + what.size()) {
    result.append(text, at, found - at);
    result += with;
  }
  return result.append(text, at);
}

/// ASCII's punctuation but for . , - and the apostrophe.
bool always_parts(char c) {
  return (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= '!' && c <= '&') ||
         (c >= '(' && c <= '+') || (c >= ':' && c <= '@') || c == '/';
}
bool is_point(char c) {
  return c == '.' || c == ',';
}

std::string part_punctuation(std::string_view text) {
  std::string out;
  out.reserve(text.size() * 2);
  for (const char c : text)
    if (always_parts(c)) {
      out += {' ', c, ' '};
    } else {
      out += c;
    }
  return out;
}

/// Replaces every pair of bytes of the two kinds by `write(out, first, second)`, left to right; no byte is in
/// two pairs, as with the regular expressions of sacrebleu. Bytes do: no kind tells the bytes of a code point
/// apart.
template <class First, class Second, class Write>
std::string replace_pairs(std::string_view text, First first, Second second, Write write) {
  std::string out;
  out.reserve(text.size() * 2);
  size_t i = 0;
  while (i < text.size())
    if (i + 1 < text.size() && first(text[i]) && second(text[i + 1])) {
      write(out, text[i], text[i + 1]);
      i += 2;
    } else {
      out += text[i++];
    }
  return out;
}

std::string part_points(std::string_view text) {
  const auto is_digit = is_ascii_digit;
  const auto no_digit = [](char c) { return !is_ascii_digit(c); };
  const auto is_dash = [](char c) { return c == '-'; };
  const auto behind = [](std::string& out, char a, char b) { out += {a, ' ', b, ' '}; };
  const auto before = [](std::string& out, char a, char b) { out += {' ', a, ' ', b}; };
  const std::string behind_words = replace_pairs(text, no_digit, is_point, behind);
  const std::string before_words = replace_pairs(behind_words, is_point, no_digit, before);
  return replace_pairs(before_words, is_digit, is_dash, behind);
}

std::string unescaped(std::string text) {
  if (!text.contains('&')) return text;
  text = replaced(std::move(text), "&quot;", "\"");
  text = replaced(std::move(text), "&amp;", "&");
  text = replaced(std::move(text), "&lt;", "<");
  return replaced(std::move(text), "&gt;", ">");
}

/// What sacrebleu 13a splits at white space in the end.
std::string parted(std::string_view text) {
  std::string line = replaced(std::string(strip_end(text)), "<skipped>", "");
  line = replaced(std::move(line), "-\n", "");
  std::ranges::replace(line, '\n', ' ');
  return part_points(part_punctuation(" " + unescaped(std::move(line)) + " "));
}

uint64_t closest_length(uint64_t length, std::span<const Tokens> references) {
  std::optional<uint64_t> closest;
  const auto distance = [length](uint64_t other) {
    return std::max(other, length) - std::min(other, length);
  };
  for (const Tokens& reference : references) {
    const uint64_t candidate = reference.size();
    if (!closest || std::pair(distance(candidate), candidate) < std::pair(distance(*closest), *closest))
      closest = candidate;
  }
  return closest.value_or(0);
}

/// The geometric mean of the precisions of orders 1 to `order`, each in percent, times the brevity penalty.
double score_of(const BleuStatistics& statistics, const std::array<double, kBleuOrder>& precisions,
                size_t order) {
  constexpr double kLogOfZero = -9999999999;  // sacrebleu's: its exponential is 0
  double sum = 0;
  for (size_t n = 0; n < order; ++n) sum += precisions[n] == 0 ? kLogOfZero : std::log(precisions[n]);
  const auto length = static_cast<double>(statistics.hypothesis_length);
  const auto wanted = static_cast<double>(statistics.reference_length);
  const double brevity = length < wanted ? std::exp(1 - wanted / length) : 1;
  return brevity * std::exp(sum / static_cast<double>(order));
}

enum class Order { full, effective };

double bleu(const BleuStatistics& statistics, Order order) {
  if (std::ranges::all_of(statistics.matches, [](uint64_t matches) { return matches == 0; })) return 0;
  std::array<double, kBleuOrder> precisions{};
  double smoothing = 1;
  size_t n = 0;
  for (; n < kBleuOrder && statistics.totals[n] > 0; ++n) {
    const auto total = static_cast<double>(statistics.totals[n]);
    if (statistics.matches[n] == 0) smoothing *= 2;
    precisions[n] = statistics.matches[n] == 0 ? 100 / (smoothing * total)
                                               : 100 * static_cast<double>(statistics.matches[n]) / total;
  }
  return score_of(statistics, precisions, order == Order::effective ? n : kBleuOrder);
}

}  // namespace

BleuStatistics& BleuStatistics::operator+=(const BleuStatistics& other) {
  hypothesis_length += other.hypothesis_length;
  reference_length += other.reference_length;
  for (size_t n = 0; n < kBleuOrder; ++n) {
    matches[n] += other.matches[n];
    totals[n] += other.totals[n];
  }
  return *this;
}

std::string tokenize_13a(std::string_view text) {
  std::string result;
  const std::string line = parted(text);
  for (const auto word : split_words(line)) {
    if (!result.empty()) result += ' ';
    result += word;
  }
  return result;
}

BleuStatistics bleu_statistics(std::string_view hypothesis, std::span<const std::string_view> references) {
  std::vector<std::string> lines;
  lines.reserve(references.size() + 1);
  lines.push_back(parted(hypothesis));
  for (const auto reference : references) lines.push_back(parted(reference));

  Vocabulary vocabulary;
  std::vector<Tokens> tokens;
  for (const auto& line : lines) tokens.push_back(vocabulary.numbers(split_words(line)));
  const auto reference_tokens = std::span(tokens).subspan(1);

  BleuStatistics statistics;
  statistics.hypothesis_length = tokens.front().size();
  statistics.reference_length = closest_length(tokens.front().size(), reference_tokens);
  std::ranges::copy(matched_ngrams(tokens.front(), reference_tokens, kBleuOrder), statistics.matches.begin());
  for (size_t n = 0; n < kBleuOrder; ++n) statistics.totals[n] = ngram_count(tokens.front().size(), n + 1);
  return statistics;
}

double corpus_bleu(const BleuStatistics& statistics) {
  return bleu(statistics, Order::full);
}

double sentence_bleu(const BleuStatistics& statistics) {
  return bleu(statistics, Order::effective);
}

double sentence_gleu(const BleuStatistics& statistics) {
  uint64_t matches = 0;
  uint64_t own = 0;
  uint64_t wanted = 0;
  for (size_t n = 0; n < kBleuOrder; ++n) {
    matches += statistics.matches[n];
    own += statistics.totals[n];
    wanted += ngram_count(statistics.reference_length, n + 1);
  }
  return matches == 0 ? 0 : static_cast<double>(matches) / static_cast<double>(std::max(own, wanted));
}

}  // namespace assay::text
