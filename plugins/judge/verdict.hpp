// From a model's reply to a verdict, or to the reason why there is none.
//
// Where the verdict is looked for, first to last; the first place that has one decides:
//   1. the nonce's key, in the arguments of a tool call or any JSON object of the text: two that differ, or
//   the
//      key in what is no JSON object, are judge_parse
//   2. a tool call's arguments, and a text that is nothing but JSON objects (fenced or not): verdicts that
//   differ
//      are judge_parse
//   3. the last of: JSON objects with a verdict in prose, lines ("GRADE: C"), double brackets ("[[A]]")
//   4. a line that is a verdict and nothing else: the last line, else the first
// A verdict that 2 to 4 found and that stands in the judged text as well is judge_parse: it may be a
// quotation. (Not so a reply that is one bare label or number: nothing is quoted there, and "TRUE" is in too
// many texts.)
//
// Before that: a refusal that the provider reports is judge_refusal; a reply that was cut, whatever it holds,
// is judge_truncated; one that was withheld, content_filter. An empty reply is judge_parse. A reply without a
// verdict that begins as refusals do is judge_refusal. No failure is ever a score.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "plugins/judge/common.hpp"
#include "plugins/judge/contract.hpp"

namespace assay::judge {

inline constexpr size_t kReplyLimit = 1024 * 1024;  ///< bytes; more is judge_parse
inline constexpr size_t kReasonLimit = 4096;        ///< bytes of reasoning that are kept

/// What the provider answered.
struct Reply {
  std::string text;
  std::string tool_arguments;  ///< of the forced tool call, JSON; empty: no call
  std::string refusal;         ///< the provider's own field; empty: none
  std::string finish_reason;   ///< as the provider spells it: "stop", "length", "max_tokens", "refusal", …
};

enum class Channel { nonce, tool, json, line, brackets, bare };
std::string_view to_string(Channel channel) noexcept;

struct Verdict {
  double score = 0;    ///< finite
  std::string label;   ///< as the contract spells it; empty for a number
  std::string reason;  ///< the judge's reasoning, at most kReasonLimit bytes and an ellipsis; may be empty
  Channel channel = Channel::bare;
};

/// `contract` is checked; `nonce` is the fence's, or empty; `judged` are the texts that went into the prompt
/// (Rendered::judged).
Result<Verdict> read_verdict(const Reply& reply, const Contract& contract, std::string_view nonce = {},
                             std::span<const std::string> judged = {}) noexcept;

}  // namespace assay::judge
