// What model calls cost: prices, the cost of a usage, and an estimate where the provider told no usage.
//
// Money is whole nano-dollars (1e-9 USD), so that a million costs add up exactly. int64_t holds nine billion
// dollars; a cost above is cut there.
#pragma once

#include <cstdint>
#include <optional>

#include "daemon/llm/completion.hpp"

namespace assay::llm {

/// Nano-dollars per million tokens: $0.15 is 150,000,000. Where a class has no price of its own, reading from
/// the cache costs what input costs, and writing to it 1.25 times (5 minutes) and twice (1 hour) that: the
/// most that providers ask, so that spend is never told too low.
struct Prices {
  int64_t input = 0;
  int64_t output = 0;
  std::optional<int64_t> cached, cache_write_5m, cache_write_1h;
  int batch_permille = 500;  ///< what a batch call costs, in thousandths of the above
};

/// Their sum, or the most that there is: money of providers that lie does not wrap around.
int64_t added(int64_t nano_dollars, int64_t more);

/// From dollars per million tokens, to the nearest nano-dollar; `config` naming `field` unless it is from 0
/// to a million.
Result<int64_t> price_from(double dollars, std::string_view field);

struct Cost {
  int64_t nano_dollars = 0;
  bool estimated = false;  ///< of a usage that is
  bool operator==(const Cost&) const = default;
};

enum class Tier { standard, batch };

/// nullopt: unpriced, which is not free: a free model has prices of 0. The exact sum over the classes is
/// rounded up once, to the next nano-dollar.
std::optional<Cost> cost_of(const TokenUsage& usage, const std::optional<Prices>& prices,
                            Tier tier = Tier::standard);

/// About how many tokens a text is: one for every four bytes of ASCII, rounded up, and one for every other
/// character. English text has about that many in the tokenizers of today, code and other scripts are within
/// half of it.
int64_t estimate_tokens(std::string_view text);

/// The usage of a call that the provider told none of: estimate_tokens of every text, 4 for each message,
/// 1,600 for each image (what one of 1.15 megapixels costs). Marked as estimated.
TokenUsage estimate_usage(const Request& request, const Reply& reply);
/// The same of a call that brought no answer but may be billed: as much output as it could have had, or 0
/// without a limit.
TokenUsage estimate_usage(const Request& request);

}  // namespace assay::llm
