// Private to the dialects: what dialect.cpp asks of each, and what they share.
#pragma once

#include <string>
#include <vector>

#include "daemon/llm/dialect.hpp"

namespace assay::llm {

/// An answer of 2xx being read. Refers to what decode() was given, so it lives no longer than that call.
class Reading {
 public:
  Reading(const Answer& answer, Time now, std::string_view key, const Request* asked)
      : answer_(answer), now_(now), key_(key), asked_(asked) {}

  [[nodiscard]] std::unexpected<Failure> malformed(std::string_view what) const;
  [[nodiscard]] std::unexpected<Failure> failed(const ProviderError& error) const;
  /// Final: of `kind`, with a message of our own that ends in what the model wrote, quoted.
  [[nodiscard]] std::unexpected<Failure> refused(ErrorKind kind, std::string_view what,
                                                 std::string_view wrote = {}) const;
  /// A tool call from its arguments: JSON as a string, or an object. `judge_parse` for what is no object.
  [[nodiscard]] std::expected<ToolCall, Failure> tool_call(std::string_view name,
                                                           const Json& arguments) const;

 private:
  const Answer& answer_;
  Time now_;
  std::string_view key_;
  const Request* asked_;
};

namespace chat {
/// The body, a JSON object; names what it leaves out. The schema is one: it was checked.
Result<std::string> body(const Request& request, std::vector<std::string>& left_out);
std::expected<Reply, Failure> read(const Json& body, const Reading& reading);
}  // namespace chat

namespace responses {
Result<std::string> body(const Request& request, std::vector<std::string>& left_out);
std::expected<Reply, Failure> read(const Json& body, const Reading& reading);
}  // namespace responses

namespace anthropic {
Result<std::string> body(const Request& request, std::vector<std::string>& left_out);
std::expected<Reply, Failure> read(const Json& body, const Reading& reading);
}  // namespace anthropic

}  // namespace assay::llm
