// The three ways in which models are spoken to. A dialect makes a call of a request and a reply, or a
// failure, of the answer; sending is somebody else's.
//
//   openai_chat         POST /chat/completions: OpenAI, Azure, vLLM, llama.cpp, Ollama, OpenRouter, …
//   openai_responses    POST /responses: OpenAI, Azure
//   anthropic_messages  POST /messages: Anthropic
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "daemon/llm/completion.hpp"
#include "daemon/llm/exchange.hpp"
#include "daemon/llm/failure.hpp"

namespace assay::llm {

enum class Dialect { openai_chat, openai_responses, anthropic_messages };
std::string_view to_string(Dialect dialect);
/// `config` that lists the names.
Result<Dialect> dialect_from(std::string_view name);

/// Anthropic wants a limit of every request; this is it where the request has none.
inline constexpr int64_t kAnthropicMaxTokens = 4096;

struct Endpoint {
  Dialect dialect = Dialect::openai_chat;
  bool azure = false;       ///< the key travels in `api-key` instead of `Authorization: Bearer`
  std::string api_version;  ///< "2024-10-21": sent as ?api-version=…; empty: not sent
};

/// `config` that names what of the request this dialect cannot say at all.
Result<Call> build(const Endpoint& endpoint, const Request& request);

/// Reads an answer. `key`: the secret the call was made with, which no failure quotes; `asked`: what was
/// asked, where that is known. When the answer is a reply: `tool` is set exactly when `finish` is `tool`, and
/// texts are UTF-8.
std::expected<Reply, Failure> decode(Dialect dialect, const Answer& answer, Time now, std::string_view key,
                                     const Request* asked = nullptr);

}  // namespace assay::llm
