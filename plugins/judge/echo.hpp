// Whether a verdict is the judge's own, or a copy of what the judged text says of itself.
//
// Texts are compared decoded, each as it is and with its escapes undone (escape.hpp): folded (fold.hpp),
// without what cannot be seen, Markdown's marks and the ⟦ ⟧ of fence.hpp, quotes as blanks, and blanks only
// between words. So a copy that was reformatted, sorted or spelled otherwise is a copy: {"score": 5.00} and
// {"reason": "…", "score": "\u0035"} both say score 5. The work is linear in the judged texts: nothing in
// them is parsed, so there is nothing that could be too deep or too many.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/judge/value.hpp"

namespace assay::judge {

/// How a verdict was written.
struct Claim {
  enum class Form { keyed, brackets, line };
  Form form = Form::line;
  std::vector<std::string> keys = {};     ///< Form::keyed: what the value stood under, lower case
  std::vector<std::string> written = {};  ///< the bytes read as the verdict: "score": 5
};

/// Whether one of the judged texts says the same in the same form: under one of the keys, anywhere; in double
/// brackets; as a line or a table's cell that has the value first, and nothing or a remark behind it. Or has
/// the bytes themselves.
bool occurs_in(const Claim& claim, const Value& value, std::span<const std::string> judged) noexcept;

/// Whether one of the judged texts holds the label or the number at all: in any context, the letters apart,
/// backwards; a label of one or two letters as a word. For verdicts that need to be beyond doubt.
bool mentioned_in(const Value& value, std::span<const std::string> judged) noexcept;

}  // namespace assay::judge
