#include "daemon/llm/price.hpp"

#include <catch2/catch.hpp>
#include <limits>

namespace assay::llm {
namespace {

Prices dollars(double input, double output) {
  return {.input = *price_from(input, "input"), .output = *price_from(output, "output")};
}

TEST_CASE("price: dollars per million tokens", "[llm][price]") {
  CHECK(price_from(0.15, "p") == 150'000'000);
  CHECK(price_from(0.0375, "p") == 37'500'000);
  CHECK(price_from(0, "p") == 0);
  for (const double bad :
       {-0.01, 1e7, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    const auto price = price_from(bad, "models.x.price.input");
    REQUIRE_FALSE(price);
    CHECK(price.error().kind == ErrorKind::config);
    CHECK(price.error().message.starts_with("models.x.price.input:"));
  }
}

TEST_CASE("cost: each class at its price", "[llm][price]") {
  Prices prices = dollars(3, 15);
  TokenUsage usage{.input = 1000, .cached = 2000, .cache_write_5m = 400, .cache_write_1h = 100, .output = 50};
  // 1000·3 + 2000·3 + 400·3.75 + 100·6 + 50·15 micro-dollars
  CHECK(cost_of(usage, prices) == Cost{(3000 + 6000 + 1500 + 600 + 750) * 1000, false});
  prices.cached = *price_from(0.30, "cached");
  prices.cache_write_5m = *price_from(3.75, "write");
  prices.cache_write_1h = *price_from(6, "write");
  CHECK(cost_of(usage, prices) == Cost{(3000 + 600 + 1500 + 600 + 750) * 1000, false});
  CHECK(cost_of(usage, prices, Tier::batch) == Cost{6450 * 1000 / 2, false});
  usage.reasoning = 40;  // already in the output
  CHECK(cost_of(usage, prices)->nano_dollars == 6'450'000);
}

TEST_CASE("cost: exact, rounded up once", "[llm][price]") {
  const Prices prices = dollars(0.0375, 0.0001);  // 37.5 and 0.1 nano-dollars a token
  CHECK(cost_of({.input = 1}, prices)->nano_dollars == 38);
  CHECK(cost_of({.input = 2}, prices)->nano_dollars == 75);
  CHECK(cost_of({.output = 1}, prices)->nano_dollars == 1);
  CHECK(cost_of({.output = 10}, prices)->nano_dollars == 1);
  CHECK(cost_of({.output = 11}, prices)->nano_dollars == 2);
  CHECK(cost_of({.input = 1, .output = 5}, prices)->nano_dollars == 38);
  CHECK(cost_of({.cache_write_5m = 4}, prices)->nano_dollars == 188);  // 187.5
  const TokenUsage most{kTokenLimit, kTokenLimit, kTokenLimit, kTokenLimit, kTokenLimit};
  CHECK(cost_of(most, dollars(1e6, 1e6))->nano_dollars == 625'000'000'000'000'000);  // 6.25 dollars a token
  CHECK(added(INT64_MAX - 1, 1) == INT64_MAX);
  CHECK(added(INT64_MAX, INT64_MAX) == INT64_MAX);
}

TEST_CASE("cost: unpriced is not free", "[llm][price]") {
  CHECK_FALSE(cost_of({.input = 5}, std::nullopt));
  CHECK(cost_of({.input = 5}, Prices{}) == Cost{0, false});
  TokenUsage usage{.input = 5};
  usage.estimated = true;
  CHECK(cost_of(usage, dollars(1, 1))->estimated);
}

TEST_CASE("estimate: by the stated rule, and marked", "[llm][price]") {
  CHECK(estimate_tokens("") == 0);
  CHECK(estimate_tokens("a") == 1);
  CHECK(estimate_tokens("abcd") == 1);
  CHECK(estimate_tokens("abcde") == 2);
  CHECK(estimate_tokens("日本語") == 3);
  CHECK(estimate_tokens("ab日") == 2);
  Request request{"m", {{Role::user, {{Part::Type::text, "12345678"}, {Part::Type::image, "u"}}}}, {}, {}};
  request.structure = Structure{"s", "{\"type\":\"object\"}"};
  Reply reply;
  reply.text = "yes!";
  reply.reasoning = "hm, hm, ";
  CHECK(estimate_usage(request, reply) ==
        TokenUsage{.input = 4 + 2 + 1600 + 5, .output = 3, .reasoning = 2, .estimated = true});
  CHECK(estimate_usage(request).output == 0);
  request.parameters.max_tokens = 99;
  CHECK(estimate_usage(request) == TokenUsage{.input = 1611, .output = 99, .estimated = true});
}

}  // namespace
}  // namespace assay::llm
