// JSON of items and of judges, read strictly: a document with a key twice is no document.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace assay::plugins {

using Json = nlohmann::json;

/// Nothing for what is no JSON, is nested deeper than 64 levels, or has a key twice in one object.
std::optional<Json> parse_json(std::string_view text) noexcept;
/// Compact; what is no UTF-8 is written as U+FFFD.
std::string dump_json(const Json& value) noexcept;

/// The member of an object, the element of an array; nullptr when there is none.
const Json* find_member(const Json* value, std::string_view key) noexcept;
/// The string, or nullptr when there is none.
const std::string* as_string(const Json* value) noexcept;

}  // namespace assay::plugins
