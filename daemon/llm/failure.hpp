// Why a model call brought no reply, and what to do about it.
//
// The rules, in the order in which they are asked (each with the facts of evaluation-practice §2.3):
//   money           402; insufficient_quota and codes of credit, spend or billing; "credit balance is too
//   low" context         context_length_exceeded, or the words of the servers that have no code; 413; and a
//   429 for
//                   a request larger than a whole minute's tokens, which no waiting helps
//   content filter  by code or words
//   structure       the endpoint has no such structured output: ask in the next weaker way
//   parameter       the model does not take it: leave it out, once
//   model           no such model or deployment; other 404s are a wrong base URL
//   key             401, 403
//   passing         408, 409, 429, 5xx but 501 and 505
//   anything else   400, 422, …: our request is at fault
// Providers repeat in their words what they were asked. So words that stand in the request itself are no
// ground for what concerns others: an account without money, a key that is refused, what a model takes.
// A header `x-should-retry` decides where the choice is only between retrying and not.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "core/error.hpp"
#include "daemon/llm/completion.hpp"
#include "daemon/llm/exchange.hpp"
#include "daemon/llm/provider_error.hpp"
#include "daemon/llm/time_text.hpp"

namespace assay::llm {

enum class Remedy {
  none,              ///< the same call would fail again
  retry,             ///< the same call may work later, after `retry_after` or the caller's own back-off
  pay,               ///< the account is out of money: pause it and tell a person, once
  change_parameter,  ///< the model does not take `parameter`: adapt() the request and ask again, once
  weaker_structure,  ///< no such structured output here: adapt() the request and ask again
};
std::string_view to_string(Remedy remedy);

struct Failure {
  Error error;  ///< the message quotes the provider, cut and without keys (daemon/llm/quote.hpp)
  Remedy remedy = Remedy::none;
  std::optional<std::chrono::milliseconds> retry_after;  ///< as the provider asked, up to kLongestWait
  std::string parameter;  ///< of change_parameter, as the body names it: "temperature"
  /// Of change_parameter and weaker_structure: every request to the model would be refused so. Else it may be
  /// about what this one says, and nothing is to be learned from it for others.
  bool of_model = false;
  int status = 0;                   ///< of HTTP; 0: no answer came
  std::string request_id;           ///< for the provider's support; may be empty
  std::optional<TokenUsage> usage;  ///< of an answer that is of no use, but was counted
  /// No usage was told, yet the provider may have done the work: count an estimate as spent.
  bool possibly_billed = false;
};

/// An answer that is no reply. `key` is the secret the call was made with; it never appears in the result.
/// `asked`: what was asked, where that is known.
Failure failure_of(const Answer& answer, Time now, std::string_view key, const Request* asked = nullptr);
/// The same when the error was found inside an answer of 2xx.
Failure failure_of(const Answer& answer, const ProviderError& error, Time now, std::string_view key,
                   const Request* asked = nullptr);

/// An answer of 2xx that is not what the dialect promises: `transport`, to be retried.
Failure malformed(const Answer& answer, std::string_view what, std::string_view key);

/// The exchange itself failed, with an error of http::Client. `sent`: the request may have reached the
/// provider.
Failure failure_without_answer(Error error, bool sent);

/// How long the provider asks to wait: retry-after-ms before retry-after, in seconds or as a date.
std::optional<std::chrono::milliseconds> retry_after(const Headers& headers, Time now);

}  // namespace assay::llm
