#include "daemon/llm/price.hpp"

#include <algorithm>
#include <cmath>

namespace assay::llm {
namespace {

constexpr int64_t kTokensPerMessage = 4;
constexpr int64_t kTokensPerImage = 1600;
constexpr double kMostDollars = 1e6;

// 128 bits: five classes of at most 1e8 tokens at 2e15 nano-dollars and a factor of 4,000 are below 1e29.
__extension__ using Wide = __int128;

int64_t input_estimate(const Request& request) {
  int64_t tokens = 0;
  for (const auto& message : request.messages) {
    tokens += kTokensPerMessage;
    for (const auto& part : message.parts)
      tokens += part.type == Part::Type::image ? kTokensPerImage : estimate_tokens(part.text);
  }
  if (request.structure) tokens += estimate_tokens(request.structure->schema);
  return tokens;
}

}  // namespace

int64_t added(int64_t nano_dollars, int64_t more) {
  int64_t sum = 0;
  return __builtin_add_overflow(nano_dollars, more, &sum) ? INT64_MAX : sum;
}

Result<int64_t> price_from(double dollars, std::string_view field) {
  if (!(dollars >= 0 && dollars <= kMostDollars))
    return fail(ErrorKind::config,
                std::string(field) + ": must be dollars per million tokens, from 0 to 1000000");
  return std::llround(dollars * 1e9);
}

std::optional<Cost> cost_of(const TokenUsage& usage, const std::optional<Prices>& prices, Tier tier) {
  if (!prices) return std::nullopt;
  const Wide input = prices->input;
  const auto part = [](int64_t tokens, Wide price) { return Wide(tokens) * price; };
  // In quarters of a nano-dollar per million tokens, since 1.25 times a price is one.
  const auto or_else = [](const std::optional<int64_t>& own, Wide quarters) {
    return own ? Wide(*own) * 4 : quarters;
  };
  const Wide quarters = part(usage.input, input * 4) +
                        part(usage.cached, or_else(prices->cached, input * 4)) +
                        part(usage.cache_write_5m, or_else(prices->cache_write_5m, input * 5)) +
                        part(usage.cache_write_1h, or_else(prices->cache_write_1h, input * 8)) +
                        part(usage.output, Wide(prices->output) * 4);
  const Wide permille = tier == Tier::batch ? prices->batch_permille : 1000;
  constexpr Wide kUnit = Wide(4) * 1'000'000 * 1000;
  const Wide cost = (quarters * permille + kUnit - 1) / kUnit;
  return Cost{static_cast<int64_t>(std::min<Wide>(cost, INT64_MAX)), usage.estimated};
}

int64_t estimate_tokens(std::string_view text) {
  int64_t ascii = 0, others = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80)
      ++ascii;
    else if (byte >= 0xC0)  // the first byte of a character
      ++others;
  }
  return (ascii + 3) / 4 + others;
}

TokenUsage estimate_usage(const Request& request, const Reply& reply) {
  TokenUsage usage;
  usage.estimated = true;
  usage.input = input_estimate(request);
  usage.reasoning = estimate_tokens(reply.reasoning);
  usage.output = usage.reasoning + estimate_tokens(reply.text) + estimate_tokens(reply.refusal);
  if (reply.tool) usage.output += estimate_tokens(reply.tool->arguments);
  return usage;
}

TokenUsage estimate_usage(const Request& request) {
  TokenUsage usage;
  usage.estimated = true;
  usage.input = input_estimate(request);
  usage.output = request.parameters.max_tokens.value_or(0);
  return usage;
}

}  // namespace assay::llm
