// What an evaluator asks to have installed, a line a package: "numpy==1.26.4" for pip, "ajv@8" for npm.
#pragma once

#include <string_view>

namespace assay {

/// False for what a resolver would take for an option, and for what is no line of ASCII: pip also ends lines
/// at characters beyond it.
bool is_requirement(std::string_view line);

}  // namespace assay
