// What a provider says went wrong, read from the many shapes in which bodies say so.
//
//   {"error":{"message","type","code","param"}}            OpenAI and most others; code may be a number
//   {"type":"error","error":{"type","message"},…}          Anthropic
//   {"error":"…"}, {"message":"…","type","code"}           Ollama, vLLM, gateways
//   {"detail":"…"}, {"detail":[{"loc":[…],"msg":"…"}]}     FastAPI servers
//   [{"error":{…}}]                                        Gemini
#pragma once

#include <optional>
#include <string>

#include "core/json.hpp"

namespace assay::llm {

struct ProviderError {
  std::string message;  ///< may be empty
  std::string code;     ///< error.code, or error.type where there is none: "insufficient_quota"; may be empty
  std::string type;     ///< error.type, or Gemini's status
  std::string param;    ///< the parameter at fault, where told: "temperature", "messages[0].role"
  int status = 0;       ///< an HTTP status given as the code, else 0
};

/// nullopt: the body speaks of no error ("error": null is none).
std::optional<ProviderError> provider_error_from(const Json& body);

/// The HTTP status an error without one of its own (of a 200) stands for: by its code and type, else 500.
int status_of(const ProviderError& error);

}  // namespace assay::llm
