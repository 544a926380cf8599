// Texts with their escapes undone, as a model reads them.
#pragma once

#include <string>
#include <string_view>

namespace assay::judge {

/// Whether the text has anything that `unescaped` could change.
bool has_escapes(std::string_view text) noexcept;
/// JSON's and other languages' escapes (\u0054 \x54 \n), however often they were escaped themselves,
/// references of HTML (&#84; &quot;) and of URLs (%54) as the characters they stand for; other backslashes
/// are left out. What is written so is undone up to four times.
std::string unescaped(std::string_view text) noexcept;

}  // namespace assay::judge
