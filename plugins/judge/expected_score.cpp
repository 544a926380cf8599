#include "plugins/judge/expected_score.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <string_view>

#include "plugins/common/text.hpp"

namespace assay::judge {
namespace {

constexpr int kRangeLimit = 1000;
constexpr double kNumberLimit = 1e9;

/// Where a number begins in the tokens, and how many of them it takes.
struct Place {
  size_t token = 0;
  size_t tokens = 1;
  std::string prefix;  ///< what the first token has before the number
};

struct Scale {
  int low, high;

  std::optional<int> number(std::string_view digits) const {
    int value = 0;
    const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    const bool plain =
        !digits.empty() && std::ranges::all_of(digits, is_digit) && (digits.size() == 1 || digits[0] != '0');
    if (!plain || problem != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    return value >= low && value <= high ? std::optional(value) : std::nullopt;
  }
  /// Whether a longer number of the scale begins with `digits`.
  bool has_longer(const std::string& digits) const {
    for (int value = low; value <= high; ++value) {
      const std::string text = std::to_string(value);
      if (text.size() > digits.size() && text.starts_with(digits)) return true;
    }
    return false;
  }
};

bool stands_alone(std::string_view text, size_t begin, size_t end) {
  const std::string_view before = text.substr(0, begin);
  const std::string_view after = text.substr(end);
  if (!before.empty() &&
      (is_word(before.back()) || before.back() == '.' || before.back() == '/' || before.back() == '-'))
    return false;
  if (trim(before).ends_with('/') || trim(before).ends_with("out of")) return false;
  if (!after.empty() && (is_word(after.front()) || after.front() == '%')) return false;
  return !(after.size() > 1 && after[0] == '.' && is_digit(after[1]));
}

std::optional<Place> place_of(std::span<const Token> tokens, size_t at, std::string_view digits) {
  size_t begin = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const size_t end = begin + tokens[i].token.size();
    if (at >= end) {
      begin = end;
      continue;
    }
    Place place{i, 1, tokens[i].token.substr(0, at - begin)};
    std::string written = tokens[i].token.substr(at - begin);
    for (; written.size() < digits.size() && i + place.tokens < tokens.size(); ++place.tokens)
      written += tokens[i + place.tokens].token;
    return written.starts_with(digits) ? std::optional(std::move(place)) : std::nullopt;
  }
  return std::nullopt;
}

/// The digits of a token that could stand at the number's place: behind the same prefix, or behind blanks.
std::string_view digits_of(std::string_view token, std::string_view prefix) {
  return trim(token.starts_with(prefix) ? token.substr(prefix.size()) : token);
}

/// The probability of each text that could stand in the place of `token`.
std::map<std::string, double> probabilities(const Token& token, std::string_view prefix) {
  std::map<std::string, double> by_text;
  bool written = false;
  const auto add = [&](const std::string& text, double logprob) {
    const double probability = std::exp(logprob);
    if (std::isfinite(probability) && probability <= 1.0001)
      by_text[std::string(digits_of(text, prefix))] += probability;
  };
  for (const TokenChoice& choice : token.top) {
    add(choice.token, choice.logprob);
    written = written || choice.token == token.token;
  }
  if (!written && !token.top.empty()) add(token.token, token.logprob);
  return by_text;
}

class Weights {
 public:
  Weights(std::span<const Token> tokens, const Place& place, const Scale& scale)
      : tokens_(tokens), place_(place), scale_(scale) {}

  /// The probability of each score.
  std::map<int, double> of_scores() {
    const Token& first = tokens_[place_.token];
    const auto starts = probabilities(first, place_.prefix);
    whole_ = std::ranges::any_of(
        starts, [&](const auto& start) { return start.first.size() > 1 && scale_.number(start.first); });
    const std::string written(digits_of(first.token, place_.prefix));
    for (const auto& [digits, probability] : starts) {
      if (digits == written) {
        add_written(digits, probability);
      } else if (const auto value = scale_.number(digits); value && (whole_ || !scale_.has_longer(digits))) {
        weights_[*value] += probability;
      }
    }
    return std::move(weights_);
  }

 private:
  /// The written beginning, and what could have followed it: "1" then "0", or "1" then the end of the number.
  void add_written(const std::string& digits, double probability) {
    const size_t next = place_.token + 1;
    const bool goes_on = place_.tokens > 1 || (!whole_ && scale_.has_longer(digits));
    const auto alone = scale_.number(digits);
    if (!goes_on || next >= tokens_.size() || tokens_[next].top.empty()) {
      if (alone && place_.tokens == 1) weights_[*alone] += probability;
      return;
    }
    for (const auto& [text, follows] : probabilities(tokens_[next], {})) {
      const bool more = !text.empty() && is_digit(text.front());
      const auto value = more ? scale_.number(digits + text) : alone;
      if (value) weights_[*value] += probability * follows;
    }
  }

  std::span<const Token> tokens_;
  const Place& place_;
  const Scale& scale_;
  bool whole_ = false;  // numbers of several digits are single tokens
  std::map<int, double> weights_;
};

}  // namespace

std::optional<size_t> digits_of_score(std::string_view text, const Span& verdict, double score) noexcept {
  if (!(score >= 0 && score <= kNumberLimit) || score != std::floor(score)) return std::nullopt;
  const std::string digits = std::to_string(static_cast<int>(score));
  const size_t at = text.substr(0, verdict.end).find_first_of("0123456789", verdict.begin);
  const bool there = at != std::string_view::npos && text.substr(at).starts_with(digits) &&
                     stands_alone(text, at, at + digits.size());
  return there ? std::optional(at) : std::nullopt;
}

Result<ExpectedScore> expected_score(std::span<const Token> tokens, size_t at, double score, int low,
                                     int high, double tail) noexcept {
  if (low < 0 || high <= low || high - low > kRangeLimit) {
    return Error{ErrorKind::config,
                 "an expected score needs a scale of at most 1000 whole numbers from 0 on"};
  }
  if (!(score >= low && score <= high) || score != std::floor(score)) {
    return Error{ErrorKind::judge_parse,
                 "an expected score needs a whole number of the scale as the judge's verdict"};
  }
  const auto place = place_of(tokens, at, std::to_string(static_cast<int>(score)));
  if (!place)
    return Error{ErrorKind::judge_parse,
                 "the tokens of the judge's reply do not hold its score where it stands"};
  if (tokens[place->token].top.empty()) {
    return Error{ErrorKind::config, "the judge's model gives no top_logprobs; an expected score needs them"};
  }
  const Scale scale{low, high};
  auto weights = Weights(tokens, *place, scale).of_scores();
  ExpectedScore expected;
  for (const auto& [value, probability] : weights) {
    if (probability < tail) continue;
    expected.mass += probability;
    expected.score += probability * value;
  }
  if (!(expected.mass > 0)) return Error{ErrorKind::judge_parse, "no score has a probability worth counting"};
  expected.score /= expected.mass;
  return expected;
}

}  // namespace assay::judge
