#include "daemon/llm/broker.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <random>

#include "tests/unit/daemon/broker_world.hpp"

namespace assay::llm {
namespace {

using namespace std::chrono_literals;
using namespace test_world;

/// Many at once; in the order of the requests.
Task<std::vector<Result<Json>>> ask_all(Broker& broker, std::vector<std::string> requests, Caller who) {
  const auto executor = co_await asio::this_coro::executor;
  std::vector<Result<Json>> answers(requests.size());
  Scope scope(executor);
  const auto one = [&](size_t i) -> Task<> {
    answers[i] = co_await ask(broker, std::move(requests[i]), who);
  };
  for (size_t i = 0; i < requests.size(); ++i) scope.spawn("ask", one(i));
  co_await scope.join();
  co_return answers;
}

std::vector<std::string> numbered(int count, const std::string& rest = "") {
  std::vector<std::string> requests;
  for (int i = 0; i < count; ++i) requests.push_back(request(rest, "p/priced", "item " + std::to_string(i)));
  return requests;
}

TEST_CASE("Broker: a completion goes out as the provider wants it and comes back as the contract has it",
          "[llm][broker]") {
  World world([](const Seen&, int) { return Act{.body = reply("yes", 1000, 100)}; });
  world.run([&](Broker& broker) -> Task<> {
    const auto answer = co_await ask(broker, request(R"(,"params":{"max_tokens":7})"), caller());
    REQUIRE(answer);
    CHECK((*answer)["text"] == "yes");
    CHECK((*answer)["finish"] == "stop");
    CHECK((*answer)["usage"]["input"] == 1000);
    CHECK((*answer)["cost"].get<double>() == Approx(0.001 + 0.001));
    CHECK((*answer)["from_cache"] == false);
    const auto& seen = world.server.seen().at(0);
    CHECK_THAT(seen.head, Catch::StartsWith("POST /v1/chat/completions HTTP/1.1\r\n"));
    CHECK_THAT(seen.head, Catch::Contains("Authorization: Bearer " + std::string(kKey) + "\r\n"));
    CHECK((*parse_json(seen.body))["model"] == "priced");
    CHECK((*parse_json(seen.body))["max_tokens"] == 7);
    const auto unpriced = co_await ask(broker, request("", "p/other"), caller());
    REQUIRE(unpriced);
    CHECK_FALSE(unpriced->contains("cost"));
    CHECK(broker.status().outcomes.at("ok") == 2);
    CHECK(broker.status().spend.unpriced_calls == 1);
    CHECK(broker.status().spend.spent == 2'000'000);
  });
}

TEST_CASE("Broker: a connection is used again", "[llm][broker]") {
  World world([](const Seen&, int) { return Act{.body = reply("yes")}; });
  world.run([&](Broker& broker) -> Task<> {
    for (int i = 0; i < 5; ++i) {
      const auto answer = co_await ask(broker, request(), caller());
      CHECK(answer);
    }
    CHECK(world.server.seen().back().connection == 0);
  });
}

TEST_CASE("Broker: what no provider is asked", "[llm][broker]") {
  World world([](const Seen&, int) { return Act{.body = reply("yes")}; });
  world.run([&](Broker& broker) -> Task<> {
    const auto unknown = co_await ask(broker, request("", "q/x"), caller());
    check_error(unknown, ErrorKind::model_not_found, "q/x");
    const auto bad = co_await ask(broker, request(R"(,"stream":true)"), caller());
    check_error(bad, ErrorKind::config, "stream");
    const auto purse = std::make_shared<Purse>(world.loop.get_executor(), 1'000'000'000);
    const auto unpriced = co_await ask(broker, request("", "p/other"), caller(20s, purse));
    check_error(unpriced, ErrorKind::config, "no price");
    CHECK(world.server.seen().empty());
  });
}

TEST_CASE("Broker: passing failures are tried again", "[llm][broker]") {
  const auto [status, kind] =
      GENERATE(table<std::string, std::string>({{"500 Oops", "server_error"},
                                                {"503 Busy", "overloaded"},
                                                {"529 Overloaded", "overloaded_error"},
                                                {"429 Slow", "rate_limit_exceeded"},
                                                {"408 Late", "timeout"},
                                                {"200 OK", "server_error"}}));
  World world([&](const Seen&, int number) {
    return number < 2 ? Act{.status = status, .body = refusal(kind)} : Act{.body = reply("yes")};
  });
  world.run([&](Broker& broker) -> Task<> {
    const auto answer = co_await ask(broker, request(), caller());
    REQUIRE(answer);
    CHECK(world.server.seen().size() == 3);
    CHECK(broker.status().retries == 2);
  });
}

TEST_CASE("Broker: answers that are none are tried again, and may have been billed", "[llm][broker]") {
  const auto act = GENERATE(Act{.body = "{\"choices\":[{\"mess"}, Act{.body = ""}, Act{.body = "<html>"},
                            Act{.body = reply("yes"), .manner = Manner::half}, Act{.manner = Manner::close},
                            Act{.manner = Manner::reset});
  World world([&](const Seen&, int number) { return number == 0 ? act : Act{.body = reply("yes")}; });
  world.run([&](Broker& broker) -> Task<> {
    const auto purse = std::make_shared<Purse>(world.loop.get_executor(), 1'000'000'000);
    const auto answer = co_await ask(broker, request(R"(,"params":{"max_tokens":50})"), caller(20s, purse));
    REQUIRE(answer);
    CHECK(world.server.seen().size() == 2);
    CHECK(purse->spend().priced_calls == 2);
    CHECK(purse->spend().estimated >= 500'000);  // 50 tokens at $10 per million
    CHECK(purse->reserved() == 0);
  });
}

TEST_CASE("Broker: a kept connection that is dead is not silently used twice", "[llm][broker]") {
  World world([](const Seen&, int) { return Act{.body = reply("yes"), .manner = Manner::close_after}; });
  world.run([&](Broker& broker) -> Task<> {
    for (int i = 0; i < 5; ++i) {
      const auto answer = co_await ask(broker, request(), caller());
      CHECK(answer);
    }
    CHECK(world.server.seen().size() == 5);
  });
}

TEST_CASE("Broker: a call without an end gives up, and says what happened", "[llm][broker]") {
  SECTION("black hole") {
    World world([](const Seen&, int) { return Act{.manner = Manner::black_hole}; });
    world.run([&](Broker& broker) -> Task<> {
      const auto answer = co_await ask(broker, request(), caller(200ms));
      check_error(answer, ErrorKind::timeout, "given up after 1 attempt");
      CHECK(broker.status().spend.estimated > 0);
    });
  }
  SECTION("slow drip") {
    World world(
        [](const Seen&, int) { return Act{.body = reply(std::string(1000, 'x')), .manner = Manner::drip}; });
    world.run([&](Broker& broker) -> Task<> {
      const auto answer = co_await ask(broker, request(), caller(200ms));
      check_error(answer, ErrorKind::timeout, "given up");
    });
  }
  SECTION("an attempt ends by the provider's timeout, and those that may be billed have an end") {
    World world([](const Seen&, int) { return Act{.manner = Manner::black_hole}; }, "timeout = \"50ms\"");
    world.run([&](Broker& broker) -> Task<> {
      const auto answer = co_await ask(broker, request(), caller());
      check_error(answer, ErrorKind::timeout, "given up after 4 attempts");
      CHECK(world.server.seen().size() == 4);
    });
  }
  SECTION("give_up of the provider") {
    World world([](const Seen&, int) { return Act{.status = "500 Oops", .body = "oops"}; },
                "give_up = \"100ms\"");
    world.run([&](Broker& broker) -> Task<> {
      const auto answer = co_await ask(broker, request(), caller());
      check_error(answer, ErrorKind::transport, "given up after");
      CHECK(broker.status().spend.spent == 0);
    });
  }
  SECTION("nobody there") {
    World world([](const Seen&, int) { return Act{}; });
    const size_t at = world.toml.find("base_url");
    world.toml.replace(at, world.toml.find('\n', at) - at, "base_url = \"http://127.0.0.1:1/v1\"");
    world.run([&](Broker& broker) -> Task<> {
      const auto answer = co_await ask(broker, request(), caller(100ms));
      check_error(answer, ErrorKind::transport, "http://127.0.0.1:1/v1");
      CHECK(broker.status().spend.spent == 0);
    });
  }
}

TEST_CASE("Broker: Retry-After parks the account: nothing is sent before it", "[llm][broker]") {
  const std::string header = GENERATE("retry-after-ms: 300\r\n", "Retry-After: 0.3\r\n");
  World world([&](const Seen&, int number) {
    return number == 0 ? Act{.status = "429 Slow", .body = refusal("rate_limit_exceeded"), .headers = header}
                       : Act{.body = reply("yes")};
  });
  world.run([&](Broker& broker) -> Task<> {
    const auto executor = co_await asio::this_coro::executor;
    Scope scope(executor);
    const auto one = [&](std::string json) -> Task<> {
      const auto answer = co_await ask(broker, std::move(json), caller());
      CHECK(answer);
    };
    scope.spawn("first", one(request("", "p/priced", "first")));
    while (broker.status().accounts[0].parked_for == 0ms) co_await sleep_until(Clock::now() + 1ms);
    for (int i = 0; i < 10; ++i) scope.spawn("later", one(request("", "p/priced", "later")));
    co_await test::settle();
    CHECK(broker.status().accounts[0].in_flight == 0);
    CHECK(broker.status().accounts[0].waiting == 11);
    co_await scope.join();
    const auto& seen = world.server.seen();
    REQUIRE(seen.size() == 12);
    for (size_t i = 1; i < seen.size(); ++i) CHECK(seen[i].when - seen[0].when >= 300ms);
    CHECK_THAT(seen[1].body, Catch::Contains("first"));  // it has its old place
  });
}

TEST_CASE("Broker: who cannot wait for Retry-After ends at once", "[llm][broker]") {
  World world([](const Seen&, int) {
    return Act{
        .status = "429 Slow", .body = refusal("rate_limit_exceeded"), .headers = "Retry-After: 3600\r\n"};
  });
  world.run([&](Broker& broker) -> Task<> {
    const auto began = Clock::now();
    const auto answer = co_await ask(broker, request(), caller(60s));
    check_error(answer, ErrorKind::rate_limited, "asked to wait 3600 s more");
    const auto next = co_await ask(broker, request(), caller(60s));
    check_error(next, ErrorKind::rate_limited, "asked to wait");
    CHECK(Clock::now() - began < 30s);
    CHECK(world.server.seen().size() == 1);
    CHECK(broker.status().accounts[0].refused == 1);
  });
}

TEST_CASE("Broker: no money pauses the account with one message", "[llm][broker]") {
  bool paid = false;
  BrokerOptions options;
  options.probe_after = 100ms;
  World world(
      [&](const Seen&, int) {
        return paid ? Act{.body = reply("yes")}
                    : Act{.status = "429 Too Many",
                          .body = refusal("insufficient_quota", "You exceeded your quota")};
      },
      "", "", options);
  const Log log;
  world.run([&](Broker& broker) -> Task<> {
    const auto answers = co_await ask_all(broker, numbered(200), caller());
    for (const auto& answer : answers) check_error(answer, ErrorKind::billing, "You exceeded your quota");
    CHECK(world.server.seen().size() <= 32);
    CHECK(broker.status().accounts[0].paused == "billing");
    CHECK(log.lines_with("a model provider is paused") == 1);
    paid = true;
    Result<Json> answer = fail(ErrorKind::internal, "not asked");
    const auto until = Clock::now() + 20s;
    while (!answer && Clock::now() < until) {
      co_await sleep_until(Clock::now() + 20ms);
      answer = co_await ask(broker, request(), caller());
    }
    CHECK(answer);
    CHECK(broker.status().accounts[0].paused.empty());
    CHECK(log.lines_with("a model provider answers again") == 1);
  });
  CHECK_THAT(log.text(), !Catch::Contains("sk-test"));
}

TEST_CASE("Broker: a wrong key pauses with one message until the key file changes", "[llm][broker]") {
  World world([](const Seen& seen, int) {
    const bool right = seen.head.contains("Bearer sk-right\r\n");
    return right ? Act{.body = reply("yes")}
                 : Act{.status = "401 Unauthorized",
                       .body = refusal("invalid_api_key", "Incorrect API key provided: " + std::string(kKey)),
                       .delay = 5ms};
  });
  const Log log;
  world.run([&](Broker& broker) -> Task<> {
    const auto answers = co_await ask_all(broker, numbered(300), caller());
    for (const auto& answer : answers) check_error(answer, ErrorKind::auth, world.folder.path("key"));
    CHECK(world.server.seen().size() <= 32);
    const auto again = co_await ask(broker, request(), caller());
    check_error(again, ErrorKind::auth, "Incorrect API key");
    const size_t before = world.server.seen().size();
    CHECK(before <= 32);
    CHECK(log.lines_with("a model provider is paused") == 1);
    world.folder.write("key", "sk-right");
    const auto after = co_await ask_all(broker, numbered(20), caller());
    CHECK(after[0]);
    const auto all = co_await ask_all(broker, numbered(20), caller());
    for (const auto& answer : all) CHECK(answer);
    CHECK(broker.status().accounts[0].paused.empty());
  });
  CHECK_THAT(log.text(), !Catch::Contains("sk-test") && !Catch::Contains("sk-right"));
}

TEST_CASE("Broker: a model that the key may not use pauses no other", "[llm][broker]") {
  World world([](const Seen& seen, int) {
    return seen.body.contains("forbidden") ? Act{.status = "403 Forbidden", .body = refusal("no_access")}
                                           : Act{.body = reply("yes")};
  });
  world.run([&](Broker& broker) -> Task<> {
    for (int i = 0; i < 3; ++i) {
      const auto refused = co_await ask(broker, request("", "p/forbidden"), caller());
      check_error(refused, ErrorKind::auth, "403");
      const auto answer = co_await ask(broker, request(), caller());
      CHECK(answer);
    }
    CHECK(world.server.seen().size() == 4);
  });
}

TEST_CASE("Broker: redirects are not followed with the key", "[llm][broker]") {
  World world([](const Seen&, int) {
    return Act{.status = "307 Temporary Redirect", .headers = "Location: /v1/elsewhere\r\n"};
  });
  world.run([&](Broker& broker) -> Task<> {
    const auto answer = co_await ask(broker, request(), caller());
    check_error(answer, ErrorKind::config, "307");
    CHECK(world.server.seen().size() == 1);
  });
}

TEST_CASE("Broker: how structured output is asked for is found out once", "[llm][broker]") {
  World world([](const Seen& seen, int) {
    const auto body = *parse_json(seen.body);
    if (body.contains("tools"))
      return Act{.status = "400 Bad", .body = refusal("unsupported", "tools is not supported"), .delay = 5ms};
    if (body.contains("response_format") && body["response_format"]["type"] == "json_schema")
      return Act{.status = "400 Bad",
                 .body = refusal("unsupported", "response_format json_schema is not supported"),
                 .delay = 5ms};
    return Act{.body = reply("{}"), .delay = 5ms};
  });
  world.run([&](Broker& broker) -> Task<> {
    const auto answers = co_await ask_all(broker, numbered(50, std::string(kSchema)), caller());
    for (const auto& answer : answers) {
      REQUIRE(answer);
      CHECK_THAT(dump_json((*answer)["changes"]), Catch::Contains("asked by json_object"));
    }
    CHECK(world.server.seen().size() == 52);
    const auto plain = co_await ask(broker, request(), caller());
    CHECK_FALSE(plain->contains("changes"));
  });
}

TEST_CASE("Broker: an endpoint that does not refuse at once takes what it was asked", "[llm][broker]") {
  World world(
      [](const Seen&, int number) {
        return Act{.body = reply("{}"),
                   .manner = number == 0 ? Act::Manner::black_hole : Act::Manner::answer};
      },
      "", "", {.probe_patience = 10ms});
  world.run([&](Broker& broker) -> Task<> {
    const auto answers = co_await ask_all(broker, numbered(4, std::string(kSchema)), caller(3s));
    check_error(answers[0], ErrorKind::timeout, "");
    for (size_t i = 1; i < answers.size(); ++i) CHECK(answers[i]);
  });
}

TEST_CASE("Broker: when the first cannot find out how, the next does", "[llm][broker]") {
  World world([](const Seen&, int number) {
    return number == 0 ? Act{.status = "400 Bad", .body = refusal("context_length_exceeded")}
                       : Act{.body = reply("{}")};
  });
  world.run([&](Broker& broker) -> Task<> {
    const auto answers = co_await ask_all(broker, numbered(3, std::string(kSchema)), caller());
    check_error(answers[0], ErrorKind::context_too_long, "");
    CHECK(answers[1]);
    CHECK(answers[2]);
  });
}

TEST_CASE("Broker: a parameter that is not taken is left out from then on", "[llm][broker]") {
  World world([](const Seen& seen, int) {
    const auto body = *parse_json(seen.body);
    for (const char* name : {"temperature", "max_tokens"})
      if (body.contains(name))
        return Act{.status = "400 Bad",
                   .body = dump_json(Json{{"error",
                                           {{"message", "Unsupported parameter"},
                                            {"param", name},
                                            {"code", "unsupported_parameter"}}}})};
    return Act{.body = reply("yes")};
  });
  world.run([&](Broker& broker) -> Task<> {
    const std::string params = R"(,"params":{"temperature":0.3,"max_tokens":9})";
    for (int i = 0; i < 3; ++i) {
      const auto answer = co_await ask(broker, request(params), caller());
      REQUIRE(answer);
      CHECK_THAT(dump_json((*answer)["changes"]),
                 Catch::Contains("temperature left out") &&
                     Catch::Contains("max_completion_tokens instead of max_tokens"));
    }
    CHECK(world.server.seen().size() == 5);
    CHECK((*parse_json(world.server.seen().back().body))["max_completion_tokens"] == 9);
  });
}

TEST_CASE("Broker: what cannot be helped ends after one attempt", "[llm][broker]") {
  const auto [status, code, kind] = GENERATE(table<std::string, std::string, ErrorKind>(
      {{"400 Bad", "context_length_exceeded", ErrorKind::context_too_long},
       {"400 Bad", "content_filter", ErrorKind::content_filter},
       {"404 Not Found", "model_not_found", ErrorKind::model_not_found},
       {"422 Bad", "invalid", ErrorKind::config}}));
  World world([&](const Seen&, int) {
    return Act{.status = status, .body = refusal(code), .headers = "x-request-id: req_7\r\n"};
  });
  world.run([&](Broker& broker) -> Task<> {
    const auto answer = co_await ask(broker, request(), caller());
    check_error(answer, kind, "model p/priced: ");
    check_error(answer, kind, "(request req_7)");
    CHECK(world.server.seen().size() == 1);
  });
}

TEST_CASE("Broker: temperature 0 is asked once, at once and over restarts", "[llm][broker]") {
  BrokerOptions options;
  const test::TemporaryFolder cache;
  options.cache_folder = cache.path("replies");
  World world(
      [](const Seen&, int number) {
        return Act{.body = reply("answer " + std::to_string(number)), .delay = 10ms};
      },
      "", "", options);
  const std::string zero = request(R"(,"params":{"temperature":0})");
  const auto purse = std::make_shared<Purse>(world.loop.get_executor(), 1'000'000'000);
  world.run([&](Broker& broker) -> Task<> {
    const auto answers = co_await ask_all(broker, std::vector<std::string>(20, zero), caller(20s, purse));
    int fresh = 0;
    for (const auto& answer : answers) {
      REQUIRE(answer);
      CHECK((*answer)["text"] == "answer 0");
      if ((*answer)["from_cache"] == false)
        ++fresh;
      else
        CHECK((*answer)["cost"] == 0.0);
    }
    CHECK(fresh == 1);
    CHECK(broker.status().coalesced == 19);
    CHECK(world.server.seen().size() == 1);
    const auto again = co_await ask(broker, zero, caller(20s, purse));
    CHECK((*again)["from_cache"] == true);
    CHECK(broker.status().cache_hits == 1);
    CHECK(purse->spend().priced_calls == 1);
    // Not what was not asked to be kept, and not what differs.
    const auto off = co_await ask(broker, request(R"(,"params":{"temperature":0},"cache":false)"), caller());
    CHECK((*off)["text"] == "answer 1");
    const auto warm = co_await ask(broker, request(), caller());
    CHECK((*warm)["text"] == "answer 2");
    const auto other = co_await ask(broker, request(R"(,"params":{"temperature":0,"seed":1})"), caller());
    CHECK((*other)["text"] == "answer 3");
    for (const char* vote : {"1", "2", "1", "2"}) {
      const auto voted =
          co_await ask(broker, request(R"(,"cache":"vote )" + std::string(vote) + "\""), caller());
      CHECK((*voted)["text"] == "answer " + std::to_string(vote == std::string("1") ? 4 : 5));
    }
    auto models = Models::parse(world.toml, "models.toml");
    auto next = Broker::start(world.loop.get_executor(), std::move(*models), options);
    REQUIRE(next);
    const auto after = co_await ask(**next, zero, caller());
    CHECK((*after)["text"] == "answer 0");
    CHECK((*after)["from_cache"] == true);
    co_await (*next)->close();
  });
}

TEST_CASE("Broker: only good replies are kept", "[llm][broker]") {
  BrokerOptions options;
  const test::TemporaryFolder cache;
  options.cache_folder = cache.path("replies");
  const auto finish = GENERATE("length", "content_filter", "stop");
  World world(
      [&](const Seen&, int) {
        auto body = *parse_json(reply(finish == std::string("stop") ? "" : "cut"));
        body["choices"][0]["finish_reason"] = finish;
        return Act{.body = dump_json(body)};
      },
      "", "", options);
  world.run([&](Broker& broker) -> Task<> {
    for (int i = 0; i < 2; ++i) co_await ask(broker, request(R"(,"cache":true)"), caller());
    CHECK(world.server.seen().size() == 2);
  });
}

TEST_CASE("Broker: who waits for an equal call makes its own when that one fails", "[llm][broker]") {
  World world([](const Seen&, int number) {
    return number == 0 ? Act{.manner = Manner::black_hole} : Act{.body = reply("yes")};
  });
  world.run([&](Broker& broker) -> Task<> {
    const auto executor = co_await asio::this_coro::executor;
    Scope scope(executor);
    const auto first = [&]() -> Task<> {
      const auto answer = co_await ask(broker, request(R"(,"cache":true)"), caller(100ms));
      check_error(answer, ErrorKind::timeout, "");
    };
    scope.spawn("first", first());
    while (world.server.seen().empty()) co_await sleep_until(Clock::now() + 1ms);
    const auto second = co_await ask(broker, request(R"(,"cache":true)"), caller());
    REQUIRE(second);
    CHECK((*second)["from_cache"] == false);
    co_await scope.join();
  });
}

TEST_CASE("Broker: a run's limit is never exceeded, whatever fails", "[llm][broker]") {
  std::minstd_rand random(7);
  int64_t billed = 0;  // by the provider, in nano-dollars: input 1000, output 10,000 a token
  World world([&](const Seen& seen, int) -> Act {
    const auto fate = std::uniform_int_distribution<int>(0, 9)(random);
    const int input = static_cast<int>(seen.body.size() / 3);
    const int output = std::uniform_int_distribution<int>(1, 100)(random);
    if (fate == 0) return {.status = "500 Oops", .body = "{}"};
    billed += input * 1000LL + output * 10'000LL;
    if (fate == 1) return {.manner = Manner::close};
    if (fate == 2) return {.body = "{"};
    return {.body = reply("yes", input, output), .delay = std::chrono::milliseconds(output / 10)};
  });
  world.run([&](Broker& broker) -> Task<> {
    const auto purse = std::make_shared<Purse>(world.loop.get_executor(), 50'000'000);
    const auto answers =
        co_await ask_all(broker, numbered(300, R"(,"params":{"max_tokens":100})"), caller(60s, purse));
    int ok = 0, refused = 0;
    for (const auto& answer : answers) {
      if (answer) ++ok;
      if (!answer && answer.error().kind == ErrorKind::billing) {
        ++refused;
        CHECK_THAT(answer.error().message, Catch::Contains("the run's spend limit of $0.05 is reached"));
      }
    }
    CHECK(ok > 30);
    CHECK(refused > 50);
    CHECK(purse->reserved() == 0);
    CHECK(purse->spend().spent <= 50'000'000);
    CHECK(billed <= 50'000'000);
    CHECK(purse->spend().spent >= 40'000'000);
  });
}

TEST_CASE("Broker: an output without a limit gets one where money has", "[llm][broker]") {
  World world([](const Seen&, int) { return Act{.body = reply("yes")}; }, "",
              "[models.\"p/long\"]\nprice = { input = 1, output = 10 }\nmax_output_tokens = 1234\n");
  world.run([&](Broker& broker) -> Task<> {
    const auto purse = std::make_shared<Purse>(world.loop.get_executor(), 1'000'000'000);
    for (const char* model : {"p/priced", "p/long"}) {
      const auto answer = co_await ask(broker, request("", model), caller(20s, purse));
      CHECK(answer);
    }
    const auto unlimited = co_await ask(broker, request(), caller());
    CHECK(unlimited);
    const auto& seen = world.server.seen();
    CHECK((*parse_json(seen.at(0).body))["max_tokens"] == 4096);
    CHECK((*parse_json(seen.at(1).body))["max_tokens"] == 1234);
    CHECK_FALSE(parse_json(seen.at(2).body)->contains("max_tokens"));
  });
}

TEST_CASE("Broker: no more at once than allowed, and first come first served", "[llm][broker]") {
  World world([](const Seen&, int) { return Act{.body = reply("yes"), .delay = 5ms}; }, "max_in_flight = 3");
  world.run([&](Broker& broker) -> Task<> {
    const auto answers = co_await ask_all(broker, numbered(30), caller());
    for (const auto& answer : answers) CHECK(answer);
    CHECK(world.server.most_at_once() == 3);
    for (int i = 0; i < 30; i += 3)
      for (int j = 0; j < 3; ++j) {
        const std::string body = world.server.seen().at(static_cast<size_t>(i + j)).body;
        const auto number = std::stoi(body.substr(body.find("item ") + 5));
        CHECK(number / 3 == i / 3);
      }
  });
}

TEST_CASE("Broker: a full line refuses more", "[llm][broker]") {
  World world([](const Seen&, int) { return Act{.body = reply("yes"), .delay = 20ms}; },
              "max_in_flight = 1\nmax_waiting = 5");
  world.run([&](Broker& broker) -> Task<> {
    const auto answers = co_await ask_all(broker, numbered(10), caller());
    const auto ok = std::ranges::count_if(answers, [](const auto& answer) { return answer.has_value(); });
    CHECK(ok == 6);
    check_error(answers[9], ErrorKind::rate_limited, "5 calls are waiting");
  });
}

TEST_CASE("Broker: requests a minute are kept to", "[llm][broker]") {
  World world([](const Seen&, int) { return Act{.body = reply("yes")}; },
              "requests_per_minute = 1200");  // 20 a second
  world.run([&](Broker& broker) -> Task<> {
    co_await ask_all(broker, numbered(26), caller());
    const auto& seen = world.server.seen();
    REQUIRE(seen.size() == 26);
    // 6 may go at once; each of the rest takes 50 ms.
    CHECK(seen.back().when - seen.front().when >= 950ms);
  });
}

TEST_CASE("Broker: what an answer says of its limits slows the next", "[llm][broker]") {
  World world(
      [](const Seen&, int) {
        return Act{.body = reply("yes"),
                   .headers = "x-ratelimit-limit-requests: 6000\r\nx-ratelimit-remaining-requests: 5\r\n"};
      },
      "start_in_flight = 1\nmax_in_flight = 1");
  world.run([&](Broker& broker) -> Task<> {
    co_await ask_all(broker, numbered(27), caller());
    const auto& seen = world.server.seen();
    REQUIRE(seen.size() == 27);
    // 25 a second, of which 7 may go at once.
    CHECK(seen.back().when - seen.front().when >= 700ms);
  });
}

TEST_CASE("Broker: an unwanted call is cancelled soon, also while it waits", "[llm][broker]") {
  World world([](const Seen&, int) { return Act{.manner = Manner::black_hole}; }, "max_in_flight = 1");
  world.run([&](Broker& broker) -> Task<> {
    const auto executor = co_await asio::this_coro::executor;
    const auto unwanted = std::make_shared<bool>(false);
    Scope scope(executor);
    int ended = 0;
    const auto one = [&](std::string rest) -> Task<> {
      Caller who = caller();
      who.unwanted = unwanted;
      const auto answer = co_await ask(broker, request(rest), std::move(who));
      check_error(answer, ErrorKind::cancelled, "");
      ++ended;
    };
    for (const char* rest : {"", "", R"(,"cache":true)", R"(,"cache":true)"}) scope.spawn("one", one(rest));
    while (world.server.seen().empty()) co_await sleep_until(Clock::now() + 1ms);
    const auto began = Clock::now();
    *unwanted = true;
    co_await scope.join();
    CHECK(ended == 4);
    CHECK(Clock::now() - began < 10s);
    CHECK(broker.status().accounts[0].waiting == 0);
    // It was sent, so it may be billed.
    CHECK(broker.status().spend.priced_calls == 1);
  });
}

TEST_CASE("Broker: close ends every call, and takes no more", "[llm][broker]") {
  World world([](const Seen&, int) { return Act{.manner = Manner::black_hole}; });
  world.run([&](Broker& broker) -> Task<> {
    const auto executor = co_await asio::this_coro::executor;
    Scope scope(executor);
    const auto one = [&]() -> Task<> {
      const auto answer = co_await ask(broker, request(), caller(600s));
      check_error(answer, ErrorKind::cancelled, "");
    };
    for (int i = 0; i < 100; ++i) scope.spawn("one", one());
    while (world.server.seen().size() < 32) co_await sleep_until(Clock::now() + 1ms);
    co_await broker.close();
    co_await scope.join();
    const auto late = co_await ask(broker, request(), caller());
    check_error(late, ErrorKind::cancelled, "");
  });
}

TEST_CASE("Broker: a key file that is not there is told at the start", "[llm][broker]") {
  World world([](const Seen&, int) { return Act{}; });
  std::filesystem::remove(world.folder.path("key"));
  const auto broker = Broker::start(world.loop.get_executor(), *Models::parse(world.toml, "models.toml"), {});
  REQUIRE_FALSE(broker);
  CHECK(broker.error().kind == ErrorKind::config);
  CHECK_THAT(broker.error().message,
             Catch::Contains("provider p") && Catch::Contains(world.folder.path("key")));
  const auto stop = [&]() -> Task<> { co_await world.server.stop(); };
  test::run(world.loop, stop());
}

TEST_CASE("Broker: missing usage is estimated and said to be", "[llm][broker]") {
  World world([](const Seen&, int) {
    auto body = *parse_json(reply("four words are here"));
    body.erase("usage");
    return Act{.body = dump_json(body)};
  });
  world.run([&](Broker& broker) -> Task<> {
    const auto answer = co_await ask(broker, request(), caller());
    REQUIRE(answer);
    CHECK((*answer)["usage"]["estimated"] == true);
    CHECK((*answer)["usage"]["output"] == 5);
    CHECK(broker.status().spend.estimated == broker.status().spend.spent);
  });
}

}  // namespace
}  // namespace assay::llm
