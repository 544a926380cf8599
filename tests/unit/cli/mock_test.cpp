// What `assay mock-llm` computes: limits by a clock of the test's, delays, tokens, verdicts.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "cli/mock/limits.hpp"
#include "cli/mock/script.hpp"
#include "cli/mock/tokens.hpp"
#include "cli/mock/verdict.hpp"

using namespace assay;
using namespace assay::cli::mock;
using namespace std::chrono_literals;

TEST_CASE("a key that waits as it is told gets its whole rate, one that does not is counted") {
  const auto start = Clock::time_point() + 1h;
  Account account({600, std::nullopt, 1s}, start);  // ten a second
  auto now = start;
  int allowed = 0, refused = 0;
  for (uint64_t request = 0; now < start + 10s;) {
    const auto ruling = account.ask(request, 100, now);
    if (ruling.allowed) {
      ++allowed;
      ++request;
    } else {
      CHECK(ruling.wait > 0s);
      CHECK(ruling.wait <= 100ms);
      ++refused;
      now += ruling.wait;
    }
  }
  CHECK(allowed >= 109);  // what was in the bucket, and ten seconds of ten
  CHECK(allowed <= 110);
  CHECK(refused > 0);
  CHECK(account.counts().early_retries == 0);
  CHECK(account.counts().during_wait == 0);

  while (account.ask(999, 100, now).allowed) ++allowed;
  const auto ruling = account.ask(1000, 100, now);
  REQUIRE_FALSE(ruling.allowed);
  CHECK_FALSE(account.ask(1000, 100, now + ruling.wait / 2).allowed);
  CHECK(account.counts().early_retries == 1);
  CHECK(account.counts().during_wait == 1);
}

TEST_CASE("tokens are limited too, and a change of limits holds at once") {
  const auto start = Clock::time_point() + 1h;
  Account account({std::nullopt, 60'000, 1s}, start);  // a thousand a second
  CHECK(account.ask(1, 900, start).allowed);
  auto ruling = account.ask(2, 200, start);
  CHECK_FALSE(ruling.allowed);
  CHECK(ruling.by_tokens);
  CHECK(ruling.wait == 100ms);
  CHECK(account.ask(3, 1001, start).too_large);
  account.set({std::nullopt, 240'000, 1s}, start);
  CHECK(account.ask(2, 200, start).wait == 25ms);
  CHECK(account.ask(2, 200, start + 25ms).allowed);
  account.set({}, start + 25ms);
  CHECK(account.ask(4, 1'000'000, start + 25ms).allowed);
}

TEST_CASE("a log-normal delay has the mean and the 99th percentile it was given") {
  const auto latency = Latency::log_normal(500, 2000);
  REQUIRE(latency);
  std::mt19937_64 random(7);
  std::vector<double> times(100'000);
  for (double& time : times) time = std::chrono::duration<double, std::milli>(latency->draw(random)).count();
  double sum = 0;
  for (const double time : times) sum += time;
  CHECK(sum / static_cast<double>(times.size()) == Approx(500).epsilon(0.02));
  std::ranges::nth_element(times, times.begin() + 99'000);
  CHECK(times[99'000] == Approx(2000).epsilon(0.04));
  CHECK(Latency::log_normal(10, 10)->draw(random) == 10ms);
  CHECK_FALSE(Latency::log_normal(10, 9));
  CHECK_FALSE(Latency::log_normal(10, 200));
  CHECK_FALSE(Latency::log_normal(0, 0));
}

TEST_CASE("tokens make up their text") {
  for (const std::string_view text :
       {"", "hello world", "  a,b  ", "größer 世界", "{\"a\": 12345678}", "\xff\xfe"}) {
    std::string whole;
    for (const auto token : tokens_of(text)) {
      CHECK_FALSE(token.empty());
      whole += token;
    }
    CHECK(whole == text);
    CHECK(count_tokens(text) == tokens_of(text).size());
    CHECK(first_tokens(text, SIZE_MAX) == text);
  }
  CHECK(count_tokens("one two") == 2);
  CHECK(first_tokens("one two", 1) == "one");
  CHECK(count_tokens("世界") == 2);
}

TEST_CASE("texts in tags that have lines of their own are found") {
  using Texts = std::vector<std::string_view>;
  CHECK(tagged_texts("<a>\nx\n</a> and <b f=\"1\">\ny\nz\n</b>") == Texts{"x", "y\nz"});
  CHECK(tagged_texts("between <a> and </a>.") == Texts{});
  CHECK(tagged_texts("<a>\n</a>") == Texts{""});
  CHECK(tagged_texts("<a>\n<b>\nx\n</b>\n</a>") == Texts{"<b>\nx\n</b>"});
  CHECK(tagged_texts("<a>\nnever ended <b>\nx\n</b>") == Texts{"x"});
  CHECK(tagged_texts("1 < 2 <> <\n<1>\nx\n</1>") == Texts{});
  CHECK(word_of(find(Comparison::equal, "<a>\nYes\n</a><b>\nyes \n</b>")) == "TRUE");
  CHECK(word_of(find(Comparison::equal, "<a>\nYes\n</a>")) == "FALSE");
  CHECK(word_of(find(Comparison::contains, "<a>\nParis\n</a><b>\nit is paris.\n</b>")) == "TRUE");
  CHECK(word_of(find(Comparison::contains, "<a>\n\n</a><b>\nit is paris.\n</b>")) == "FALSE");
}
