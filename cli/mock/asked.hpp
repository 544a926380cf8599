// What a client asks a mock for: a completion, in the words of one of three APIs. Private to this folder: it
// brings simdjson.
#pragma once

#include <simdjson.h>

#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "cli/mock/script.hpp"

namespace assay::cli::mock {

enum class Dialect {
  chat,       ///< OpenAI chat completions
  responses,  ///< OpenAI responses
  messages,   ///< Anthropic messages
};

/// Why there is no answer, as providers say it.
struct Complaint {
  int status = 400;
  std::string message;
  std::string type = "invalid_request_error";
  std::string param, code;  ///< "" is null
};

struct Asked {
  Dialect dialect = Dialect::chat;
  std::string model;
  std::string conversation;  ///< the texts of all messages, a line between them
  size_t last_at = 0, last_size = 0;
  Structure structure = Structure::text;
  std::string tool;                              ///< the one that is to be called
  std::optional<simdjson::dom::element> schema;  ///< valid until the parser's next document
  std::optional<size_t> max_tokens;
  bool logprobs = false;
  size_t top_logprobs = 0;

  /// The last message of the user; the last of all when the user said nothing.
  std::string_view last() const { return std::string_view(conversation).substr(last_at, last_size); }
};

std::expected<Asked, Complaint> read_asked(Dialect dialect, simdjson::dom::element body);

}  // namespace assay::cli::mock
