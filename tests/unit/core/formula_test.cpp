#include "core/formula.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

namespace assay {
namespace {

const std::vector<std::string> kNames = {"a", "b_2", "max"};
const std::vector<double> kValues = {0.5, 4, -3};

TEST_CASE("Formula: values", "[core][formula]") {
  const auto [text, value] = GENERATE(table<const char*, double>({
      {"1", 1},
      {" ( 1.5e2 ) ", 150},
      {".5 + 5.", 5.5},
      {"a", 0.5},
      {"0.5*a + 0.5*b_2", 2.25},
      {"(a + b_2) / 2", 2.25},
      {"1 - 2 - 3", -4},
      {"8 / 2 / 2", 2},
      {"2 + 3 * 4", 14},
      {"2 ^ 3 ^ 2", 512},
      {"-2 ^ 2", -4},
      {"2 ^ -1", 0.5},
      {"- - + 3", 3},
      {"2 * -3", -6},
      {"a\n\t+\r1", 1.5},
      {"max", -3},  // a part may be called as a function is
      {"max(max, a, b_2)", 4},
      {"min(b_2)", 4},
      {"min(1, a) * max (2, 3)", 1.5},
      {"abs(-2.5)", 2.5},
      {"floor(-1.5) + ceil(1.2)", 0},
      {"exp(0) + log(exp(2))", 3},
      {"sqrt(b_2)", 2},
  }));
  INFO(text);
  const auto formula = Formula::parse(text, kNames);
  if (!formula) FAIL(formula.error().message);
  CHECK(formula->evaluate(kValues) == Approx(value));
}

TEST_CASE("Formula: what has no finite value says so", "[core][formula]") {
  for (const char* text :
       {"1 / 0", "log(0)", "sqrt(0 - 1)", "10 ^ 999", "0 / 0", "min(1, log(-1))", "max(log(-1), 1)"}) {
    INFO(text);
    const auto formula = Formula::parse(text, {});
    REQUIRE(formula);
    CHECK_FALSE(std::isfinite(formula->evaluate({})));
  }
}

TEST_CASE("Formula: a fault is named with its column", "[core][formula]") {
  const auto [text, message] = GENERATE(table<std::string, std::string>({
      {"", "column 1: there must be a number, a name or \"(\", not the end"},
      {"  ", "column 3: there must be a number, a name or \"(\", not the end"},
      {"a +", "column 4: there must be a number, a name or \"(\", not the end"},
      {"a + c", "column 5: there is no \"c\"; there is a, b_2, max"},
      {"a b_2", "column 3: there must be an operator or the end, not \"b\""},
      {"2a", "column 2: there must be an operator or the end, not \"a\""},
      {"1e", "column 2: there must be an operator or the end, not \"e\""},
      {"0x10", "column 2: there must be an operator or the end, not \"x\""},
      {"a = 1", "column 3: there must be an operator or the end, not \"=\""},
      {"a > 0 ? 1 : 0", "column 3: there must be an operator or the end, not \">\""},
      {"a ** 2", "column 4: there must be a number, a name or \"(\", not \"*\""},
      {"(a + 1", "column 7: there must be a \")\" for column 1, not the end"},
      {"a)", "column 2: there must be an operator or the end, not \")\""},
      {"()", "column 2: there must be a number, a name or \"(\", not \")\""},
      {"sin(a)",
       "column 1: there is no function \"sin\"; there is min, max, abs, floor, ceil, exp, sqrt, log"},
      {"1 + log(a, 2)", "column 5: log takes one argument, not 2"},
      {"min()", "column 5: there must be a number, a name or \"(\", not \")\""},
      {"min(a; 1)", "column 6: there must be a \")\" for column 1, not \";\""},
      {"inf", "column 1: there is no \"inf\"; there is a, b_2, max"},
      {"1e999", "column 1: the number is too large or too small for a double"},
      {".", "column 1: there must be a number"},
      {"a × 2", "column 3: there must be an operator or the end, not \"×\""},
  }));
  INFO(text);
  const auto formula = Formula::parse(text, kNames);
  REQUIRE_FALSE(formula);
  CHECK(formula.error().kind == ErrorKind::config);
  CHECK(formula.error().message == message);
}

TEST_CASE("Formula: length and depth are bounded", "[core][formula]") {
  const auto nested = [](size_t depth) { return std::string(depth, '(') + "1" + std::string(depth, ')'); };
  CHECK(Formula::parse(nested(kFormulaDepth - 1), {}));
  for (const std::string& text : {nested(kFormulaDepth), std::string(kFormulaDepth, '-') + "1",
                                  std::string(2000, '('), std::string(4000, '-')}) {
    const auto formula = Formula::parse(text, {});
    REQUIRE_FALSE(formula);
    CHECK(formula.error().message.ends_with("it is nested deeper than 64 levels"));
  }
  std::string powers = "2";
  for (int i = 0; i < 200; ++i) powers += "^1";
  CHECK_FALSE(Formula::parse(powers, {}));
  std::string sum = "1";
  while (sum.size() + 2 <= kFormulaLength) sum += "+1";
  const auto long_one = Formula::parse(sum, {});
  REQUIRE(long_one);
  CHECK(long_one->evaluate({}) == Approx((sum.size() + 1) / 2));
  CHECK_FALSE(Formula::parse(sum + "+1", {}));
}

TEST_CASE("Formula: names", "[core][formula]") {
  for (const char* name : {"a", "_", "A9_b", "log"}) CHECK(Formula::is_name(name));
  for (const char* name : {"", "9a", "a-b", "a b", "ä", "a.b"}) CHECK_FALSE(Formula::is_name(name));
  CHECK_FALSE(Formula::is_name(std::string(65, 'a')));
}

}  // namespace
}  // namespace assay
