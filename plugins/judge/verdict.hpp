// From a model's reply to a verdict, or to the reason why there is none.
//
// Where the judge was given a code (the nonce), the verdict is what stands under the code's key, in the
// arguments of a tool call or any JSON object of the text: two that differ, or the key in what is no JSON
// object, are judge_parse. Nothing else is one, but for a reply of one line that is the verdict.
//
// Without a code, first to last; the first place that has one decides:
//   1. a tool call's arguments, and a text that is nothing but JSON objects (fenced or not): verdicts that
//      differ are judge_parse
//   2. the last of: JSON objects with a verdict in prose, lines ("GRADE: C"), double brackets ("[[A]]")
//   3. a line that is a verdict and nothing else: the last line, else the first
//
// What must not be the judged text's own (echo.hpp), else it is judge_parse: a verdict that 1 to 3 found must
// not be said there in the same form, however it is spelled; one that 2 or 3 found in a text with another
// that differs, and the line in place of the code's key, must not have their label or number there at all.
//
// Before that: a refusal that the provider reports is judge_refusal; a reply that was cut, whatever it holds,
// is judge_truncated; one that was withheld, content_filter. An empty reply is judge_parse. A reply without a
// verdict that begins as refusals do is judge_refusal. No failure is ever a score.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "plugins/judge/common.hpp"
#include "plugins/judge/contract.hpp"
#include "plugins/judge/scan.hpp"

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
  std::optional<Span> place = {};  ///< the value's bytes in Reply::text; nothing for a tool call's
};

/// `contract` is checked; `nonce` is the code that the judge was told to put into the key, or empty; `judged`
/// are the texts that went into the prompt (Rendered::judged).
Result<Verdict> read_verdict(const Reply& reply, const Contract& contract, std::string_view nonce = {},
                             std::span<const std::string> judged = {}) noexcept;

}  // namespace assay::judge
