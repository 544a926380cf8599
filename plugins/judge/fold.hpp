// What a character looks like to a model that reads past its disguise.
#pragma once

namespace assay::judge {

/// A character that shows nothing or changes how others are shown: controls, zero-width characters, marks of
/// direction, tags, variation selectors.
bool is_invisible(char32_t c) noexcept;
/// A mark that is drawn onto the character before it.
bool is_combining(char32_t c) noexcept;
/// The ASCII character (in lower case) that `c` is or looks like: fullwidth, mathematical and circled forms,
/// the Cyrillic and Greek letters that look Latin, the many angles, bars and slashes. Others give '\1'.
char fold(char32_t c) noexcept;

}  // namespace assay::judge
