// What an endpoint says of its limits in the headers of every answer, whatever the dialect.
//
//   x-ratelimit-{limit,remaining,reset}-{requests,tokens}              OpenAI: reset as a Go duration
//   anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}    RFC 3339
//   ratelimit-{limit,remaining,reset}, x-ratelimit-{…}                 others: of requests; reset as seconds,
//                                                                      seconds or milliseconds since 1970
#pragma once

#include <cstdint>
#include <optional>

#include "daemon/llm/exchange.hpp"
#include "daemon/llm/time_text.hpp"

namespace assay::llm {

/// Each field nullopt when it was not said, or was no number.
struct Allowance {
  std::optional<int64_t> limit;      ///< in a whole window
  std::optional<int64_t> remaining;  ///< until `reset`
  std::optional<Time> reset;         ///< when `remaining` is `limit` again
  bool operator==(const Allowance&) const = default;
};

struct RateLimits {
  Allowance requests;
  Allowance tokens;  ///< input and output together, or whichever the provider counts
  Allowance input_tokens, output_tokens;
};

RateLimits rate_limits_from(const Headers& headers, Time now);

/// A reset in any of the forms above. A bare number below 1e9 is seconds from now, below 1e11 seconds since
/// 1970, else milliseconds since 1970.
std::optional<Time> reset_from(std::string_view text, Time now);

}  // namespace assay::llm
