// Whether a text has others inside it.
#pragma once

#include <span>
#include <string_view>

namespace assay::text {

enum class Case { sensitive, insensitive };

/// The empty text is inside every text. Insensitive to the case of all scripts (Normalization::lowercase).
bool contains(std::string_view output, std::string_view part, Case letters = Case::sensitive);
/// False for no parts.
bool contains_any(std::string_view output, std::span<const std::string_view> parts,
                  Case letters = Case::sensitive);
/// True for no parts.
bool contains_all(std::string_view output, std::span<const std::string_view> parts,
                  Case letters = Case::sensitive);

}  // namespace assay::text
