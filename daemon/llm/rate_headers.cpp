#include "daemon/llm/rate_headers.hpp"

#include <charconv>
#include <initializer_list>
#include <string>

namespace assay::llm {
namespace {

/// The number at the front: "100, 100;w=60" is 100.
std::optional<int64_t> count_from(std::string_view text) {
  int64_t value = 0;
  const auto [stopped, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole =
      stopped == text.data() + text.size() || *stopped == ',' || *stopped == ';' || *stopped == ' ';
  if (problem != std::errc() || !whole || value < 0) return std::nullopt;
  return value;
}

/// Fills what `into` lacks from "PREFIX…limit…SUFFIX" and its siblings.
void fill(Allowance& into, const Headers& headers, const std::string& prefix, const std::string& suffix,
          Time now) {
  if (!into.limit) into.limit = count_from(header(headers, prefix + "limit" + suffix));
  if (!into.remaining) into.remaining = count_from(header(headers, prefix + "remaining" + suffix));
  if (!into.reset) into.reset = reset_from(header(headers, prefix + "reset" + suffix), now);
}

}  // namespace

std::optional<Time> reset_from(std::string_view text, Time now) {
  if (const auto number = number_from(text)) {
    if (*number < 1e9) return now + wait_from(*number * 1000);
    const double since_epoch = *number < 1e11 ? *number * 1000 : *number;
    if (since_epoch > 1e14) return std::nullopt;  // after the year 5000: no time at all
    return Time(std::chrono::milliseconds(static_cast<int64_t>(since_epoch)));
  }
  if (const auto duration = go_duration_from(text)) return now + *duration;
  if (const auto time = rfc3339_from(text)) return time;
  return http_date_from(text);
}

RateLimits rate_limits_from(const Headers& headers, Time now) {
  RateLimits limits;
  fill(limits.requests, headers, "anthropic-ratelimit-requests-", "", now);
  fill(limits.tokens, headers, "anthropic-ratelimit-tokens-", "", now);
  fill(limits.input_tokens, headers, "anthropic-ratelimit-input-tokens-", "", now);
  fill(limits.output_tokens, headers, "anthropic-ratelimit-output-tokens-", "", now);
  for (const char* prefix : {"x-ratelimit-", "ratelimit-"}) {
    fill(limits.requests, headers, prefix, "-requests", now);
    fill(limits.tokens, headers, prefix, "-tokens", now);
    fill(limits.requests, headers, prefix, "", now);
  }
  return limits;
}

}  // namespace assay::llm
