#include "sandbox/runtime/lua/text.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace assay::sandbox::lua;

namespace {

std::vector<double> numbers(std::string_view text) {
  std::vector<double> found;
  NumberScanner scanner(text);
  while (const auto value = scanner.next()) found.push_back(*value);
  return found;
}

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> found;
  WordScanner scanner(text);
  while (const auto word = scanner.next()) found.emplace_back(*word);
  return found;
}

std::string normalised(std::string_view text) {
  std::string out(text.size(), '\0');
  out.resize(normalise(text, out.data()));
  return out;
}

using Numbers = std::vector<double>;
using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("assay.numbers: finds what a reader would call a number", "[sandbox][lua]") {
  REQUIRE(numbers("The answer is 18.") == Numbers{18});
  REQUIRE(numbers("$1,234.50 and 50%, -3 or -$4") == Numbers{1234.5, 50, -3, -4});
  REQUIRE(numbers("5-3=2") == Numbers{5, 3, 2});
  REQUIRE(numbers("1,2,3") == Numbers{1, 2, 3});
  REQUIRE(numbers("1,234,5") == Numbers{1234, 5});
  REQUIRE(numbers("1234,567") == Numbers{1234, 567});
  REQUIRE(numbers("x=.5, 1e-3, 2E2, 3e") == Numbers{0.5, 0.001, 200, 3});
  REQUIRE(numbers("v1.2.3") == Numbers{1.2, 0.3});
  REQUIRE(numbers("no digits, no. - $ %") == Numbers{});
  REQUIRE(numbers("1e999 7") == Numbers{7});
  REQUIRE(numbers(std::string(100'000, '9')).size() <= 1);
}

TEST_CASE("assay.number: all of the text or nothing", "[sandbox][lua]") {
  REQUIRE(whole_number_text(" -1,234.5 ") == -1234.5);
  REQUIRE(whole_number_text("$18") == 18);
  REQUIRE(whole_number_text("-$18") == -18);
  REQUIRE(whole_number_text("50 %") == 50);
  REQUIRE(whole_number_text("18.") == 18);
  for (const char* text :
       {"", " ", "x", "18 eggs", "about 18", "1 2", "1-2", "--", "$", "1,2", "12:30", "."}) {
    CAPTURE(text);
    REQUIRE_FALSE(whole_number_text(text));
  }
}

TEST_CASE("assay.words: runs of letters, digits and other characters", "[sandbox][lua]") {
  REQUIRE(words("Don't stop, it's 5 o'clock!") == Words{"Don't", "stop", "it's", "5", "o'clock"});
  REQUIRE(words("caf\xc3\xa9-au-lait 'quoted'") == Words{"caf\xc3\xa9", "au", "lait", "quoted"});
  REQUIRE(words(" ,; ").empty());
}

TEST_CASE("assay.normalise: as SQuAD does it", "[sandbox][lua]") {
  REQUIRE(normalised("The  Cat, a DOG & an  owl!") == "cat dog owl");
  REQUIRE(normalised("the") == "");
  REQUIRE(normalised("  theory of a  ") == "theory of");
  REQUIRE(normalised("U.S.A.") == "usa");
  REQUIRE(normalised("\xc3\x89t\xc3\xa9") == "\xc3\x89t\xc3\xa9");  // ASCII only
  REQUIRE(normalised("") == "");
}

TEST_CASE("assay.levenshtein: edits", "[sandbox][lua]") {
  const auto distance = [](const std::u32string& a, const std::u32string& b) {
    std::vector<uint32_t> x(a.begin(), a.end()), y(b.begin(), b.end()), row(b.size() + 1);
    return levenshtein(x.data(), x.size(), y.data(), y.size(), row.data());
  };
  REQUIRE(distance(U"kitten", U"sitting") == 3);
  REQUIRE(distance(U"", U"abc") == 3);
  REQUIRE(distance(U"abc", U"") == 3);
  REQUIRE(distance(U"same", U"same") == 0);
}
