// Whether a verdict is the judge's own, or a copy of what the judged text says of itself.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace assay::judge {

/// Whether `verdict` (the bytes of a reply that were read as one) occurs in one of the judged texts. Both are
/// compared folded (fold.hpp), without quotes, backslashes, Markdown's marks and the ⟦ ⟧ of fence.hpp, and
/// with blanks only between words: a copy that was reformatted is a copy. `line`: it counts only where it is
/// a whole line of the judged text; for words too common to be a copy.
bool occurs_in(std::string_view verdict, std::span<const std::string> judged, bool line) noexcept;

}  // namespace assay::judge
