// A formula over named numbers, such as "0.5 * style + 0.5 * max(a, b)": how the scores of several graders
// become one.
//
//   sum     := product (("+" | "-") product)*
//   product := sign (("*" | "/") sign)*
//   sign    := ("+" | "-") sign | power
//   power   := atom ("^" sign)?             2^3^2 is 2^9, -2^2 is -4
//   atom    := number | name | "(" sum ")" | function "(" sum ("," sum)* ")"
//
// Functions: min and max of one or more, abs, floor, ceil, exp, sqrt, log (natural). Before a "(" a name is a
// function's, elsewhere one of the numbers'. It comes from outside, so it is bounded in length and depth.
//
// Ours and not muParser, whose language is far larger (assignment, conditions, constants, user-defined
// operators): it would have to be switched off piece by piece, and what it still refuses it throws.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"

namespace assay {

inline constexpr size_t kFormulaLength = 4096;  ///< bytes
inline constexpr size_t kFormulaDepth = 64;     ///< brackets, signs and powers inside each other

class Formula {
 public:
  /// `config` with the column of the fault, counted in bytes from 1. `names` are those it may use.
  static Result<Formula> parse(std::string_view text, std::span<const std::string> names);
  /// A letter or _, then letters, digits and _; at most 64.
  static bool is_name(std::string_view text);

  /// `values`: those of the names, in their order. May be NaN or infinite: 1/0, log(0).
  double evaluate(std::span<const double> values) const;

 private:
  enum class Op { number, value, negate, add, subtract, multiply, divide, power, call };
  struct Step {
    Op op;
    double number = 0;  // of `number`
    size_t which = 0;   // of `value` the name, of `call` the function
    size_t count = 0;   // arguments of `call`
  };
  class Parser;

  std::vector<Step> steps_;  // operands before what takes them
};

}  // namespace assay
