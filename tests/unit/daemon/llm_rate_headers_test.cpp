#include "daemon/llm/rate_headers.hpp"

#include <catch2/catch.hpp>

namespace assay::llm {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

const Time kNow = Time(1'767'225'600'000ms);  // 2026-01-01T00:00:00Z

TEST_CASE("time: HTTP dates and RFC 3339", "[llm][time_text]") {
  CHECK(http_date_from("Thu, 01 Jan 2026 00:00:00 GMT") == kNow);
  CHECK(http_date_from("Sun, 06 Nov 1994 08:49:37 GMT") == Time(784'111'777'000ms));
  CHECK(rfc3339_from("2026-01-01T00:00:00Z") == kNow);
  CHECK(rfc3339_from("2026-01-01T01:30:00.25+01:30") == kNow + 250ms);
  CHECK(rfc3339_from("2025-12-31T19:00:00.123456789-05:00") == kNow + 123ms);
  CHECK(rfc3339_from("2024-02-29t00:00:00z"));
  for (const char* text :
       {"", "Thu, 01 Jan 2026 00:00:00", "Thu, 32 Jan 2026 00:00:00 GMT", "2026-01-01", "2026-01-01T00:00:00",
        "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00Zx", "2026-01-01T00:00:00+1:00", "2026-01-01T00:61:00Z"}) {
    INFO(text);
    CHECK_FALSE(http_date_from(text));
    CHECK_FALSE(rfc3339_from(text));
  }
}

TEST_CASE("time: Go durations", "[llm][time_text]") {
  const std::vector<std::pair<const char*, milliseconds>> rows = {{"1s", 1s},
                                                                  {"6m0s", 6min},
                                                                  {"20ms", 20ms},
                                                                  {"1h30s", 1h + 30s},
                                                                  {"1.5s", 1500ms},
                                                                  {"0s", 0ms},
                                                                  {"0", 0ms},
                                                                  {"250us", 1ms},
                                                                  {"1µs", 1ms},
                                                                  {"1.001s", 1001ms},
                                                                  {"0.1s20ms", 120ms},
                                                                  {"2m59.56s", 179'560ms},
                                                                  {"1h2m3s4ms", 1h + 2min + 3s + 4ms}};
  for (const auto& [text, duration] : rows) {
    INFO(text);
    CHECK(go_duration_from(text) == duration);
  }
  CHECK(go_duration_from("99999999999999h") == kLongestWait);
  for (const char* text : {"", "s", "1", "-1s", "1 s", "1d", "1s2", "1..2s", "infs", "1e3s", ".s"}) {
    INFO(text);
    CHECK_FALSE(go_duration_from(text));
  }
}

TEST_CASE("time: resets by their form and magnitude", "[llm][rate_headers]") {
  const std::vector<std::pair<const char*, Time>> rows = {
      {"12", kNow + 12s},
      {"0.5", kNow + 500ms},
      {"1767225660", kNow + 1min},
      {"1767225660.5", kNow + 60'500ms},
      {"1767225660000", kNow + 1min},
      {"6m0s", kNow + 6min},
      {"2026-01-01T00:00:30Z", kNow + 30s},
      {"Thu, 01 Jan 2026 00:00:05 GMT", kNow + 5s},
  };
  for (const auto& [text, time] : rows) {
    INFO(text);
    CHECK(reset_from(text, kNow) == time);
  }
  for (const char* text : {"", "soon", "-5", "nan", "1e400", "999999999999999999999"})
    CHECK_FALSE(reset_from(text, kNow));
}

TEST_CASE("rate headers: OpenAI", "[llm][rate_headers]") {
  const auto limits = rate_limits_from({{"x-ratelimit-limit-requests", "10000"},
                                        {"x-ratelimit-limit-tokens", "200000"},
                                        {"x-ratelimit-remaining-requests", "9999"},
                                        {"x-ratelimit-remaining-tokens", "199967"},
                                        {"x-ratelimit-reset-requests", "8.64s"},
                                        {"x-ratelimit-reset-tokens", "9ms"}},
                                       kNow);
  CHECK(limits.requests == Allowance{10'000, 9'999, kNow + 8640ms});
  CHECK(limits.tokens == Allowance{200'000, 199'967, kNow + 9ms});
  CHECK(limits.input_tokens == Allowance{});
  CHECK(limits.output_tokens == Allowance{});
}

TEST_CASE("rate headers: Anthropic", "[llm][rate_headers]") {
  const auto limits = rate_limits_from({{"anthropic-ratelimit-requests-limit", "50"},
                                        {"anthropic-ratelimit-requests-remaining", "49"},
                                        {"anthropic-ratelimit-requests-reset", "2026-01-01T00:00:01Z"},
                                        {"Anthropic-Ratelimit-Tokens-Limit", "60000"},
                                        {"anthropic-ratelimit-input-tokens-limit", "50000"},
                                        {"anthropic-ratelimit-input-tokens-remaining", "0"},
                                        {"anthropic-ratelimit-output-tokens-remaining", "7000"},
                                        {"anthropic-ratelimit-output-tokens-reset", "2026-01-01T00:00:42Z"}},
                                       kNow);
  CHECK(limits.requests == Allowance{50, 49, kNow + 1s});
  CHECK(limits.tokens.limit == 60'000);
  CHECK(limits.input_tokens == Allowance{50'000, 0, std::nullopt});
  CHECK(limits.output_tokens == Allowance{std::nullopt, 7'000, kNow + 42s});
}

TEST_CASE("rate headers: others", "[llm][rate_headers]") {
  const auto milliseconds_epoch = rate_limits_from(
      {{"X-RateLimit-Limit", "20"}, {"X-RateLimit-Remaining", "0"}, {"X-RateLimit-Reset", "1767225660000"}},
      kNow);
  CHECK(milliseconds_epoch.requests == Allowance{20, 0, kNow + 1min});
  const auto draft = rate_limits_from(
      {{"ratelimit-limit", "100, 100;w=60"}, {"ratelimit-remaining", "7"}, {"ratelimit-reset", "50"}}, kNow);
  CHECK(draft.requests == Allowance{100, 7, kNow + 50s});
  const auto nonsense = rate_limits_from({{"x-ratelimit-limit-requests", "many"},
                                          {"x-ratelimit-remaining-requests", "-1"},
                                          {"x-ratelimit-limit-tokens", "99999999999999999999"},
                                          {"x-ratelimit-reset-tokens", "later"}},
                                         kNow);
  CHECK(nonsense.requests == Allowance{});
  CHECK(nonsense.tokens == Allowance{});
}

}  // namespace
}  // namespace assay::llm
