#include "daemon/llm/usage.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "daemon/llm/members.hpp"

namespace assay::llm {
namespace {

int64_t count_or_zero(const Json& json, std::string_view name) {
  return count_of(member(json, name)).value_or(0);
}

}  // namespace

std::optional<TokenUsage> usage_from_openai(const Json& usage) {
  const bool chat = !member(usage, "prompt_tokens").is_null();
  const auto read = count_of(member(usage, chat ? "prompt_tokens" : "input_tokens"));
  const auto written = count_of(member(usage, chat ? "completion_tokens" : "output_tokens"));
  if (!read || !written) return std::nullopt;
  const Json& read_details = member(usage, chat ? "prompt_tokens_details" : "input_tokens_details");
  const Json& written_details = member(usage, chat ? "completion_tokens_details" : "output_tokens_details");
  TokenUsage out;
  out.cached = count_or_zero(read_details, "cached_tokens");
  out.cache_write_5m = count_or_zero(read_details, "cache_write_tokens");
  out.input = std::max<int64_t>(0, *read - out.cached - out.cache_write_5m);
  out.reasoning = count_or_zero(written_details, "reasoning_tokens");
  // More reasoning than output: this server counts it beside, not inside.
  out.output = out.reasoning > *written ? std::min(*written + out.reasoning, kTokenLimit) : *written;
  return out;
}

std::optional<TokenUsage> usage_from_anthropic(const Json& usage) {
  const auto read = count_of(member(usage, "input_tokens"));
  const auto written = count_of(member(usage, "output_tokens"));
  if (!read || !written) return std::nullopt;
  TokenUsage out;
  out.input = *read;
  out.output = *written;
  out.cached = count_or_zero(usage, "cache_read_input_tokens");
  const Json& writes = member(usage, "cache_creation");
  out.cache_write_1h = count_or_zero(writes, "ephemeral_1h_input_tokens");
  const auto total = count_of(member(usage, "cache_creation_input_tokens"));
  out.cache_write_5m =
      std::max(count_or_zero(writes, "ephemeral_5m_input_tokens"), total.value_or(0) - out.cache_write_1h);
  return out;
}

}  // namespace assay::llm
