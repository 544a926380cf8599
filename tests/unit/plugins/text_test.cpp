#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "plugins/text/bleu.hpp"
#include "plugins/text/choice.hpp"
#include "plugins/text/chrf.hpp"
#include "plugins/text/contains.hpp"
#include "plugins/text/exact_match.hpp"
#include "plugins/text/levenshtein.hpp"
#include "plugins/text/numeric.hpp"
#include "plugins/text/regex.hpp"
#include "plugins/text/rouge.hpp"
#include "plugins/text/token_f1.hpp"
#include "plugins/text/utf8.hpp"

using namespace assay::text;

namespace {

std::string repeated(std::string_view text, size_t times) {
  std::string result;
  for (size_t i = 0; i < times; ++i) result += text;
  return result;
}

/// The matrix of Wagner and Fischer, one row at a time.
size_t plain_distance(std::u32string_view a, std::u32string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row.back();
}

/// The matrix of longest common subsequences.
double plain_fuzzy_ratio(std::u32string_view a, std::u32string_view b) {
  std::vector<size_t> row(b.size() + 1, 0);
  for (const char32_t c : a) {
    size_t diagonal = 0;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = c == b[j - 1] ? diagonal + 1 : std::max(above, row[j - 1]);
      diagonal = above;
    }
  }
  return 2 * static_cast<double>(row.back()) / static_cast<double>(a.size() + b.size());
}

std::string random_text(uint32_t& seed, size_t length) {
  static constexpr char32_t kLetters[] = {U'a', U'b', U'c', U'é', U'界', U'😀', 0x100, 0x180, 0x200};
  std::string text;
  for (size_t i = 0; i < length; ++i) {
    seed = seed * 1664525 + 1013904223;
    append_utf8(text, kLetters[(seed >> 16) % std::size(kLetters)]);
  }
  return text;
}

}  // namespace

TEST_CASE("text: what is no UTF-8 is read as U+FFFD", "[text][utf8]") {
  const auto [bytes, expected] = GENERATE(table<std::string, std::u32string>({
      {"aé界😀", U"aé界😀"},
      {"\xff", U"\uFFFD"},
      {"a\x80z", U"a\uFFFDz"},
      {"\xc3", U"\uFFFD"},
      {"\xc3(", U"\uFFFD("},
      {"\xc0\xaf", U"\uFFFD\uFFFD"},                      // overlong
      {"\xed\xa0\x80", U"\uFFFD\uFFFD\uFFFD"},            // a surrogate
      {"\xf4\x90\x80\x80", U"\uFFFD\uFFFD\uFFFD\uFFFD"},  // beyond U+10FFFF
      {"\xf0\x9f\x98z", U"\uFFFDz"},
  }));
  CHECK(code_points(bytes) == expected);
}

TEST_CASE("text: exact match compares bytes, or what normalising leaves", "[text]") {
  CHECK(exact_match("Paris", "Paris"));
  CHECK_FALSE(exact_match("Paris", "paris"));
  CHECK_FALSE(exact_match("Paris ", "Paris"));
  CHECK(exact_match("Paris", "paris", {.lowercase = true}));
  CHECK(exact_match(" New  York\n", "New York", {.collapse_space = true}));
  CHECK(exact_match("It's", "Its", {.remove_punctuation = true}));
  CHECK(exact_match("the end", " end", {.remove_articles = true}) == false);
  CHECK(exact_match("the end", "an end", {.remove_articles = true}));
  CHECK(exact_match("ÉCOLE ΣΟΦΟΣ", "école σοφος", {.lowercase = true}));  // with the sigma that ends words
  CHECK_FALSE(exact_match("\xff", "\xfe"));
}

TEST_CASE("text: contains finds any or all parts, in the case asked for", "[text]") {
  const std::array<std::string_view, 2> both = {"cat", "dog"};
  CHECK(contains("a cat", "cat"));
  CHECK(contains("", ""));
  CHECK_FALSE(contains("", "cat"));
  CHECK_FALSE(contains("a Cat", "cat"));
  CHECK(contains("a CAT", "Cat", Case::insensitive));
  CHECK(contains("ГОРОД ÉCOLE", "école", Case::insensitive));
  CHECK(contains_any("a dog", both));
  CHECK_FALSE(contains_any("a bird", both));
  CHECK_FALSE(contains_any("a bird", {}));
  CHECK(contains_all("a dog, a cat", both));
  CHECK_FALSE(contains_all("a DOG, a cat", both));
  CHECK(contains_all("a DOG, a cat", both, Case::insensitive));
  CHECK(contains_all("a bird", {}));
}

TEST_CASE("text: patterns match, extract, and are refused in RE2's words", "[text]") {
  const auto regex = Regex::compile(R"((\d+) apples)");
  REQUIRE(regex.has_value());
  CHECK(regex->matches("I have 12 apples."));
  CHECK_FALSE(regex->matches("I have 12 Apples."));
  CHECK_FALSE(regex->matches_all("I have 12 apples."));
  CHECK(regex->matches_all("12 apples"));
  CHECK(regex->extract("I have 12 apples.") == "12");
  CHECK(regex->extract("none") == std::nullopt);
  CHECK(Regex::compile("b+")->extract("abbc") == "bb");
  CHECK(Regex::compile("a(x)?")->extract("ab") == "");
  CHECK(Regex::compile("éCOLE", Case::insensitive)->matches("École"));
  CHECK(Regex::compile("^.$")->matches("界"));
  CHECK(Regex::compile("a(b").error() == "invalid pattern: missing ): a(b");
  CHECK(Regex::compile("(?=a)").error() == "invalid pattern: invalid perl operator: (?=");
  CHECK(Regex::compile("((a{100}){100}){100}").error().starts_with("invalid pattern: "));
}

TEST_CASE("text: numbers are found as people write them", "[text][numeric]") {
  const auto [text, expected] = GENERATE(table<std::string, double>({
      {"42", 42},
      {"The answer is 42.", 42},
      {"1,234.5", 1234.5},
      {"1,234,567", 1234567},
      {"12,345,678.25 units", 12345678.25},
      {"$3", 3},
      {"$ 3.50", 3.5},
      {"-$3", -3},
      {"$-3", -3},
      {"€1,000", 1000},
      {"50%", 50},
      {"-2e3", -2000},
      {"1.5E-3", .0015},
      {"+7", 7},
      {"\u22125", -5},
      {".5", .5},
      {"-.5", -.5},
      {"5.", 5},
      {"3/4", .75},
      {"-1/2", -.5},
      {"5km", 5},
      {"1st", 1},
      {"**42**", 42},
      {"\\boxed{42}", 42},
      {"答案是42。", 42},
      {"x=-3", -3},
      {"(-3)", -3},
      {"H2O has 3", 3},
      {"GPT-4", 4},
      {"2e", 2},
      {"007", 7},
      {"1e-999", 0},
      {"0.1", .1},
      {"#### -7", -7},
      {"12 #### none", 12},
      {"123456789012345678901234567890", 123456789012345678901234567890.0},
  }));
  CAPTURE(text);
  CHECK(find_number(text, Which::only).value() == expected);
  CHECK(find_number(text, Which::last).value() == expected);
}

TEST_CASE("text: of several numbers the last one, or the one behind GSM8K's mark", "[text][numeric]") {
  const auto [text, expected] = GENERATE(table<std::string, double>({
      {"3 + 4 = 7", 7},
      {"10-5", 5},
      {"10 -5", -5},
      {"1,2,3", 3},
      {"12,34", 34},
      {"1,2345", 2345},
      {"12/31/2024", 2024},
      {"3/0", 0},
      {"3/4/5", 5},
      {"So 72 + 8.\n#### 80\nThat was 2 steps.", 80},
      {"#### 5\n#### 1,200", 1200},
  }));
  CAPTURE(text);
  CHECK(find_number(text, Which::last).value() == expected);
  CHECK(find_number(text, Which::only).error() == "more than one number in the text");
}

TEST_CASE("text: no number is an error, and no infinity equals another", "[text][numeric]") {
  for (const auto* text : {"", "none", "NaN", "inf", "-", "$", "...", "H2O", "####", "e5", "½"}) {
    CAPTURE(text);
    CHECK(find_number(text, Which::last).error() == "no number in the text");
  }
  const double infinity = find_number("1e999", Which::only).value();
  CHECK(infinity == std::numeric_limits<double>::infinity());
  CHECK_FALSE(close_to(infinity, infinity, {.absolute = 1}));
  CHECK_FALSE(close_to(std::nan(""), std::nan("")));
  CHECK_FALSE(close_to(1, infinity, {.relative = 1}));
}

TEST_CASE("text: numbers are equal within the larger tolerance", "[text][numeric]") {
  CHECK(close_to(0.1, 0.1));
  CHECK_FALSE(close_to(0.1, 0.1000001));
  CHECK(close_to(99, 100, {.absolute = 1}));
  CHECK_FALSE(close_to(98.9, 100, {.absolute = 1}));
  CHECK(close_to(99, 100, {.relative = .01}));
  CHECK(close_to(-99, -100, {.relative = .01}));
  CHECK_FALSE(close_to(99, 100, {.relative = .009}));
  CHECK(close_to(99, 100, {.absolute = 1, .relative = 1e-9}));
  CHECK_FALSE(close_to(1e-9, 0, {.relative = 1}));
}

TEST_CASE("text: the letter chosen is the one that the reply says is its answer", "[text][choice]") {
  const auto [reply, letter] = GENERATE(table<std::string, char>({
      {"B", 'B'},
      {" b.\n", 'B'},
      {"(B)", 'B'},
      {"**B**", 'B'},
      {"**B.**", 'B'},
      {"**(B)**", 'B'},
      {"[[B]]", 'B'},
      {"B) Paris", 'B'},
      {"B. Paris", 'B'},
      {"The answer is (B)", 'B'},
      {"The answer is B because A is wrong.", 'B'},
      {"The answer is **B**.", 'B'},
      {"The answer is: **(B) Paris**", 'B'},
      {"answer: b", 'B'},
      {"ANSWER: B", 'B'},
      {"**Answer:** B", 'B'},
      {"Final Answer: $\\boxed{B}$", 'B'},
      {"so $\\boxed{\\text{B}}$", 'B'},
      {"The correct option is B.", 'B'},
      {"the answer is option B", 'B'},
      {"The correct answer would be 'B'", 'B'},
      {"(A) is wrong, (C) too. I choose B.", 'B'},
      {"(A) or (B)", 'B'},
      {"Answer: A. No: the answer is B. (C) is wrong", 'B'},
      {"A is a city.\nThe answer is B", 'B'},
      {"Option A is wrong, option B right", 'B'},
      {"Answer:\n\nB", 'B'},
      {"답은 (B)", 'B'},
  }));
  CAPTURE(reply);
  CHECK(find_choice(reply, "ABCD") == Choice{Choice::Kind::chosen, letter});
}

TEST_CASE("text: a letter that is not offered is off the menu, and prose chooses nothing", "[text][choice]") {
  CHECK(find_choice("The answer is (E)", "ABCD") == Choice{Choice::Kind::off_menu, 'E'});
  CHECK(find_choice("Answer: B, or rather: answer: Z", "ABCD") == Choice{Choice::Kind::off_menu, 'Z'});
  CHECK(find_choice("E", "ABCD") == Choice{Choice::Kind::off_menu, 'E'});
  CHECK(find_choice("The answer is (E)", "ABCDE") == Choice{Choice::Kind::chosen, 'E'});
  for (const auto* reply :
       {"", "Paris", "The answer is a dog", "The answer is not given", "The answer, I think, is Paris",
        "I am not sure", "A dog barked", "Answers: none", "the answer is Bern"}) {
    CAPTURE(reply);
    CHECK(find_choice(reply, "ABCD") == Choice{});
  }
}

TEST_CASE("text: the edit distance is that of the plain matrix, whatever the lengths",
          "[text][levenshtein]") {
  uint32_t seed = 1;
  for (const size_t m : {0, 1, 2, 63, 64, 65, 127, 128, 129, 200})
    for (const size_t n : {0, 1, 3, 64, 65, 130, 300}) {
      const std::string a = random_text(seed, m);
      const std::string b = random_text(seed, n);
      CAPTURE(m, n, a, b);
      REQUIRE(levenshtein_distance(a, b).value() == plain_distance(code_points(a), code_points(b)));
      if (a.empty() && b.empty()) continue;
      REQUIRE(fuzzy_ratio(a, b).value() == plain_fuzzy_ratio(code_points(a), code_points(b)));
      REQUIRE(levenshtein_distance(b, a).value() == levenshtein_distance(a, b).value());
    }
  CHECK(levenshtein_similarity("", "").value() == 1);
}

TEST_CASE("text: what would take too long is refused, and what is equal is not", "[text][limits]") {
  const std::string a = repeated("ab", 50'000);
  const std::string b = repeated("ba ", 30'000);
  CHECK(levenshtein_similarity(a, b).error().find("too long for an edit distance") != std::string::npos);
  CHECK(levenshtein_similarity(a, a).value() == 1);
  CHECK(levenshtein_similarity(a, a + "!").value() == Approx(1).epsilon(1e-4));
  CHECK(rouge_l(b, b, Stemming::none).error().find("too long for ROUGE-L") != std::string::npos);
  CHECK(rouge_lsum(b, b, Stemming::none).error().find("too long for ROUGE-L") != std::string::npos);
  CHECK(rouge_l(b, "ba", Stemming::porter).value().recall == 1);
  CHECK(rouge_lsum(repeated("!\n", 100'000), repeated("?\n", 100'000), Stemming::none).value().f1 == 0);
}

TEST_CASE("text: long texts take no more than linear time", "[text][limits]") {
  const auto* part = GENERATE("a", "y", "(A)", "answer is ", "answer is B ", "answer", " A", "**", "\\boxed{",
                              "1,", "1.", "-", "1/2/", "#### 1", " ", "\n", "\xff", "界");
  CAPTURE(part);
  const std::string text = repeated(part, 300'000 / std::string_view(part).size());
  const auto start = std::chrono::steady_clock::now();
  find_choice(text, "AB");
  (void)find_number(text, Which::last);
  CHECK_FALSE(contains(text, text.substr(0, 150'000) + "!", Case::insensitive));
  CHECK(exact_match(text, text + " ", kSquadNormalization));
  // Quadratic work would take a minute and more; a sanitized build on a busy machine takes seconds.
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
}

TEST_CASE("text: counting n-grams of long texts takes little more than linear time", "[text][limits]") {
  const auto* part = GENERATE("a", "a ", "yalli ", ". ", "&amp;", "-\n");
  CAPTURE(part);
  const std::string text = repeated(part, 50'000 / std::string_view(part).size());
  const std::array<std::string_view, 1> references = {text};
  const auto start = std::chrono::steady_clock::now();
  CHECK(token_f1(text, text) == Approx(1));
  bleu_statistics(text, references);
  chrf_statistics(text, references, Chrf::characters_and_words);
  rouge_n(text, text, 2, Stemming::porter);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
}
