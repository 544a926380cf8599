// Where our own helper programs are.
#pragma once

#include <string>
#include <string_view>

#include "core/error.hpp"

namespace assay::sandbox {

/// The program `name` beside the running one (a build tree), else in ../libexec/assay (installed); `config`
/// names both places when it is in neither.
Result<std::string> helper_path(std::string_view name);

}  // namespace assay::sandbox
