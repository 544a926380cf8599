// Values as TOML text on one line.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/json.hpp"

namespace assay::cli::openai {

std::string toml_quote(std::string_view text);
/// Members that are null are left out, since TOML has no null; nullopt for a null in a list and for a whole
/// number beyond 64 bits.
std::optional<std::string> toml_value(const Json& json);

}  // namespace assay::cli::openai
