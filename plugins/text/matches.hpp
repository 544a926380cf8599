// Evaluators that say whether a text is right: 1 or 0.
#pragma once

#include <assay/evaluator.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/common/parameters.hpp"
#include "plugins/common/sides.hpp"
#include "plugins/text/choice.hpp"
#include "plugins/text/contains.hpp"
#include "plugins/text/exact_match.hpp"
#include "plugins/text/numeric.hpp"
#include "plugins/text/regex.hpp"

namespace assay::text {

using plugins::amount;
using plugins::checked;
using plugins::flag;
using plugins::Sides;
using plugins::word;

inline Case letters_of(const Params& params) {
  return flag(params, "ignore_case") ? Case::insensitive : Case::sensitive;
}

inline Score yes_or_no(bool yes, std::string reason = {}) {
  return {.score = yes ? 1.0 : 0.0, .reason = std::move(reason)};
}

class Exact {
 public:
  static constexpr std::string_view describe =
      R"({"name": "exact", "summary": "1 when the sample is the ground truth",
    "params": {"type": "object", "additionalProperties": false, "properties": {)" ASSAY_SIDES_PARAMETERS R"(,
      "ignore_case": {"type": "boolean", "default": false},
      "ignore_punctuation": {"type": "boolean", "default": false, "description": "ASCII's"},
      "ignore_articles": {"type": "boolean", "default": false, "description": "a, an and the"},
      "ignore_space": {"type": "boolean", "default": false, "description": "around the text, and how much is between words"}}},
    "max_in_flight": 64})";

  explicit Exact(const Params& params)
      : sides_(checked(describe, params)),
        normalization_{.lowercase = flag(params, "ignore_case"),
                       .remove_punctuation = flag(params, "ignore_punctuation"),
                       .remove_articles = flag(params, "ignore_articles"),
                       .collapse_space = flag(params, "ignore_space")} {}

  Score evaluate(const Item& item) const {
    return yes_or_no(exact_match(sides_.output(item), sides_.expected(item), normalization_));
  }

 private:
  Sides sides_;
  Normalization normalization_;
};

class Contains {
 public:
  static constexpr std::string_view describe =
      R"({"name": "contains", "summary": "1 when the sample has the ground truth, or other parts, inside it",
    "params": {"type": "object", "additionalProperties": false, "properties": {)" ASSAY_SIDES_PARAMETERS R"(,
      "parts": {"type": "array", "items": {"type": "string"}, "minItems": 1, "description": "instead of the ground truth"},
      "match": {"enum": ["all", "any"], "default": "all", "description": "how many of the parts"},
      "ignore_case": {"type": "boolean", "default": false}}},
    "max_in_flight": 64})";

  explicit Contains(const Params& params)
      : sides_(checked(describe, params)),
        any_(word(params, "match", {"all", "any"}) == "any"),
        letters_(letters_of(params)) {
    for (size_t i = 0; const auto part = params.text("parts." + std::to_string(i)); ++i)
      parts_.emplace_back(*part);
    if (params.has("parts") && (parts_.empty() || params.has("parts." + std::to_string(parts_.size()))))
      throw plugins::bad_parameter("parts", "a list of strings, at least one");
    if (params.has("match") && !params.has("parts")) throw Failure("match: needs parts", "config");
  }

  Score evaluate(const Item& item) const {
    const std::string output = sides_.output(item);
    if (parts_.empty()) return yes_or_no(contains(output, sides_.expected(item), letters_));
    const auto inside = [&](const std::string& part) { return contains(output, part, letters_); };
    if (any_) return yes_or_no(std::ranges::any_of(parts_, inside));
    const auto missing = std::ranges::find_if_not(parts_, inside);
    return yes_or_no(missing == parts_.end(), missing == parts_.end() ? "" : "without \"" + *missing + "\"");
  }

 private:
  Sides sides_;
  std::vector<std::string> parts_;
  bool any_;
  Case letters_;
};

class Pattern {
 public:
  static constexpr std::string_view describe =
      R"({"name": "regex", "summary": "1 when a pattern is found in the sample; RE2, so no look-around, no backreferences",
      "params" : {
    "type" : "object", "additionalProperties" : false, "required" : ["pattern"], "properties" : {)" ASSAY_SIDES_PARAMETERS
      R"(,
      "pattern": {"type": "string"},
      "match": {"enum": ["search", "full", "extract"], "default": "search",
        "description": "somewhere; all of the text; or what its first group finds must be the ground truth"},
      "ignore_case": {"type": "boolean", "default": false}}},
    "max_in_flight": 64})";

  explicit Pattern(const Params& params)
      : sides_(checked(describe, params)),
        match_(word(params, "match", {"search", "full", "extract"})),
        regex_(compiled(params)) {}

  Score evaluate(const Item& item) const {
    const std::string output = sides_.output(item);
    if (match_ == "search") return yes_or_no(regex_.matches(output));
    if (match_ == "full") return yes_or_no(regex_.matches_all(output));
    const std::string expected = sides_.expected(item);
    const auto found = regex_.extract(output);
    if (!found) return yes_or_no(false, "the pattern is not found");
    return yes_or_no(*found == expected, "found \"" + std::string(*found) + "\"");
  }

 private:
  static Regex compiled(const Params& params) {
    const auto pattern = params.text("pattern");
    if (!pattern) throw plugins::bad_parameter("pattern", "a string");
    auto regex = Regex::compile(*pattern, letters_of(params));
    if (!regex) throw Failure("pattern: " + regex.error(), "config");
    return std::move(*regex);
  }

  Sides sides_;
  std::string match_;
  Regex regex_;
};

class Numeric {
 public:
  static constexpr std::string_view describe =
      R"({"name": "numeric", "summary": "1 when the number in the sample is that in the ground truth, within the larger tolerance",
    "params": {"type": "object", "additionalProperties": false, "properties": {)" ASSAY_SIDES_PARAMETERS R"(,
      "which": {"enum": ["last", "only"], "default": "last",
        "description": "of several numbers in the sample the last one, or behind the last #### if there is one; or there may be only one"},
      "absolute": {"type": "number", "minimum": 0, "default": 0, "description": "tolerance"},
      "relative": {"type": "number", "minimum": 0, "default": 0, "description": "tolerance, of the ground truth's number"}}},
    "max_in_flight": 64})";

  explicit Numeric(const Params& params)
      : sides_(checked(describe, params)),
        which_(word(params, "which", {"last", "only"}) == "last" ? Which::last : Which::only),
        tolerance_{.absolute = amount(params, "absolute"), .relative = amount(params, "relative")} {}

  Score evaluate(const Item& item) const {
    const auto expected = find_number(sides_.expected(item), Which::last);
    if (!expected) throw Failure("the ground truth: " + expected.error(), "config");
    const auto output = find_number(sides_.output(item), which_);
    if (!output) return yes_or_no(false, output.error());
    return yes_or_no(close_to(*output, *expected, tolerance_));
  }

 private:
  Sides sides_;
  Which which_;
  Tolerance tolerance_;
};

class ChoiceLetter {
 public:
  static constexpr std::string_view describe =
      R"({"name": "choice", "summary": "1 when the sample chooses the letter of the ground truth, as answers to multiple-choice questions do",
    "params": {"type": "object", "additionalProperties": false, "properties": {)" ASSAY_SIDES_PARAMETERS R"(,
      "letters": {"type": "string", "pattern": "^[A-Z]{2,26}$", "default": "ABCD", "description": "what is offered"}}},
    "max_in_flight": 64})";

  explicit ChoiceLetter(const Params& params)
      : sides_(checked(describe, params)), letters_(params.text("letters").value_or("ABCD")) {
    const bool capitals =
        std::ranges::all_of(letters_, [](char c) { return c >= 'A' && c <= 'Z'; }) && letters_.size() >= 2;
    if (!capitals || (params.has("letters") && !params.text("letters")))
      throw plugins::bad_parameter("letters", "at least two capital letters, such as ABCD");
  }

  Score evaluate(const Item& item) const {
    const Choice expected = find_choice(sides_.expected(item), letters_);
    if (expected.kind != Choice::Kind::chosen)
      throw Failure("the ground truth is none of the letters " + letters_, "config");
    const Choice output = find_choice(sides_.output(item), letters_);
    if (output.kind == Choice::Kind::none) return yes_or_no(false, "it chooses nothing");
    return yes_or_no(output == expected, std::string("it chooses ") + output.letter);
  }

 private:
  Sides sides_;
  std::string letters_;
};

class StringCheck {
 public:
  static constexpr std::string_view describe =
      R"({"name": "string-check", "summary": "as the grader of OpenAI: eq and ne are equal and not; like and ilike, the ground truth is inside the sample, ilike whatever the case",
          "params" : {
        "type" : "object", "additionalProperties" : false, "required" : ["operation"], "properties" : {)" ASSAY_SIDES_PARAMETERS
      R"(,
      "operation": {"enum": ["eq", "ne", "like", "ilike"]}}},
    "max_in_flight": 64})";

  explicit StringCheck(const Params& params)
      : sides_(checked(describe, params)),
        operation_(word(params, "operation", {"eq", "ne", "like", "ilike"})) {}

  Score evaluate(const Item& item) const {
    const std::string output = sides_.output(item);
    const std::string expected = sides_.expected(item);
    if (operation_ == "eq") return yes_or_no(output == expected);
    if (operation_ == "ne") return yes_or_no(output != expected);
    return yes_or_no(contains(output, expected, operation_ == "ilike" ? Case::insensitive : Case::sensitive));
  }

 private:
  Sides sides_;
  std::string operation_;
};

}  // namespace assay::text
