// The usage a provider tells, brought to one meaning (TokenUsage): OpenAI counts cached tokens and reasoning
// inside its totals, Anthropic leaves cached tokens out of its input.
#pragma once

#include <optional>

#include "daemon/llm/completion.hpp"

namespace assay::llm {

/// From the "usage" of chat completions (prompt_tokens, …) or of responses (input_tokens, …). nullopt when it
/// lacks the two totals, or one is no number of tokens: better estimated than made up.
std::optional<TokenUsage> usage_from_openai(const Json& usage);

/// From the "usage" of Anthropic messages; nullopt likewise.
std::optional<TokenUsage> usage_from_anthropic(const Json& usage);

}  // namespace assay::llm
