#include "daemon/asking.hpp"

#include <catch2/catch.hpp>

using namespace assay;
using namespace assay::daemon;

TEST_CASE("asking: what a reply cost, to the nano-dollar; what has no price is said to have none",
          "[daemon][asking]") {
  CHECK(use_of(R"({"text":"x","usage":{"input":100,"cached":40,"output":20,"reasoning":5,"estimated":true},
                   "cost":0.000123456,"from_cache":false})") == ModelUse{.calls = 1,
                                                                         .input_tokens = 100,
                                                                         .cached_tokens = 40,
                                                                         .output_tokens = 20,
                                                                         .reasoning_tokens = 5,
                                                                         .nano_dollars = 123'456,
                                                                         .estimated = 1});
  CHECK(use_of(R"({"text":"x","usage":{"input":1,"output":1}})").unpriced == 1);
  const ModelUse kept = use_of(R"({"text":"x","from_cache":true,"cost":0})");
  CHECK((kept.from_cache == 1 && kept.unpriced == 0 && kept.nano_dollars == 0));
  CHECK(use_of("not JSON").calls == 1);
}

TEST_CASE("asking: no cost is more than an outcome may say", "[daemon][asking]") {
  for (const char* cost : {"9000001", "9.3e9", "1e300"})
    CHECK(use_of(R"({"text":"x","cost":)" + std::string(cost) + "}").nano_dollars == 9'000'000'000'000'000);
  CHECK(use_of(R"({"text":"x","cost":-1})").nano_dollars == 0);
}
