// Reading JSON that a stranger wrote: what is absent or of another type is null, empty or nullopt, never an
// exception.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/json.hpp"

namespace assay::llm {

/// The member of that name; null when `json` is no object or has none. Refers into `json`.
const Json& member(const Json& json, std::string_view name);

/// The first element; null when `json` is no list or empty. Refers into `json`.
const Json& first(const Json& json);

/// The string; "" for anything else. Refers into `json`.
std::string_view text_of(const Json& json);

/// A whole number from 0 to kTokenLimit (also written as 3.0); nullopt for anything else.
std::optional<int64_t> count_of(const Json& json);

}  // namespace assay::llm
