// Numbers as people and models write them, and when two of them are equal.
#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace assay::text {

enum class Which {
  only,  ///< the one number of the text; an error if there are more
  last,  ///< the last one; or, with GSM8K's mark "####" in the text, the first one behind the last mark
};

/// Read are `42`, `-2e3`, `.5`, `1,234.5`, `$3`, `-$3`, `50%` (as 50), `3/4` (as .75) and U+2212 as minus. A
/// comma groups thousands only with three digits behind it, else it parts two numbers. Digits directly behind
/// an ASCII letter belong to a name (`H2O`, `GPT4`), and a minus directly behind a letter or digit is a
/// hyphen or a subtraction. Too large a number is infinite.
///
/// The error says that there is no number, or more than one.
std::expected<double, std::string> find_number(std::string_view text, Which which);

struct Tolerance {
  double absolute = 0;
  double relative = 0;  ///< of the size of the expected number
};

/// Within the larger of the two tolerances. What is not finite equals nothing.
bool close_to(double output, double expected, const Tolerance& tolerance = {});

}  // namespace assay::text
