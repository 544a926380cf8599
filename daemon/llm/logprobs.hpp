// Log probabilities of tokens, in the three shapes of OpenAI and what is compatible with it:
//   chat completions  {"content":[{"token","logprob","top_logprobs":[{"token","logprob"}]}]}
//   responses         the list alone
//   completions       {"tokens":[…],"token_logprobs":[…],"top_logprobs":[{token: logprob}]}
#pragma once

#include <optional>
#include <vector>

#include "daemon/llm/completion.hpp"

namespace assay::llm {

/// Empty when there are none; nullopt when they are none of the shapes: a score must not be made of them.
std::optional<std::vector<TokenLogprob>> logprobs_from(const Json& json);

}  // namespace assay::llm
