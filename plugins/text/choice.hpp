// The letter that a reply to a multiple-choice question chooses.
#pragma once

#include <string_view>

namespace assay::text {

struct Choice {
  enum class Kind {
    none,      ///< the reply chooses nothing
    off_menu,  ///< it chooses a letter that is not offered
    chosen,
  };
  Kind kind = Kind::none;
  char letter = '\0';  ///< in upper case; '\0' for none

  bool operator==(const Choice&) const = default;
};

/// `menu` holds the letters offered, "ABCD". What says that it is the answer counts most: "The answer is
/// (B)", "Answer: **B**", "the correct option is B", "\boxed{B}". Only without that, a letter set apart
/// counts: "(B)",
/// "**B**", "[[B]]", "option B", or at the beginning ("B. Paris") or end ("I choose B.") of a line. Of
/// several, the last one. A reply that is one letter chooses it. Time is linear in the reply.
Choice find_choice(std::string_view reply, std::string_view menu);

}  // namespace assay::text
