// JSON Schemas of what requests hold, written down by those who read them (api/fields.hpp).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/json.hpp"

namespace assay::api::schema {

/// A label has no control characters.
Json text(size_t shortest, size_t longest, bool label);
Json integer(int64_t low, int64_t high);
Json words(std::span<const std::string_view> words);
/// `items`: the schema of an element.
Json array(size_t least, size_t most, Json items);
/// An object without fields, which takes no others than will be added.
Json object();

/// Adds a field to the schema of an object. With `nullable` null stands for an absent one.
void add(Json& object, std::string_view key, Json field, bool required, bool nullable);

}  // namespace assay::api::schema
