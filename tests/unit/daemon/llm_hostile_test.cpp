// One evaluator against all others that share its worker: what it asks must end nobody else's calls, change
// nobody else's requests, and cost no more than the run's limit.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/unit/daemon/broker_world.hpp"

namespace assay::llm {
namespace {

using namespace test_world;

/// A 400 that repeats whatever the request has besides what is known, as OpenAI's do; with `old` in words
/// alone.
std::optional<Act> complaint(const Seen& seen, bool old) {
  static const std::set<std::string> kKnown = {"model",           "messages", "temperature", "max_tokens",
                                               "response_format", "tools",    "tool_choice"};
  const auto body = *parse_json(seen.body);
  for (const auto& [name, value] : body.items()) {
    if (kKnown.contains(name)) continue;
    Json error = {{"message", old ? "Unrecognized request argument supplied: " + dump_json(value)
                                  : "Unknown parameter: '" + name + "'."}};
    if (!old) error.update({{"param", name}, {"code", "unknown_parameter"}});
    return Act{.status = "400 Bad", .body = dump_json(Json{{"error", error}})};
  }
  return std::nullopt;
}

TEST_CASE("Broker: a request for more tokens than there are stops nobody else", "[llm][hostile]") {
  const auto configured = GENERATE("", "tokens_per_minute = 60000");
  const std::string headers =
      "x-ratelimit-limit-tokens: 60000\r\nx-ratelimit-remaining-tokens: 59000\r\n"
      "x-ratelimit-limit-requests: 60000\r\nx-ratelimit-remaining-requests: 59000\r\n";
  World world(
      [&](const Seen& seen, int) {
        const bool too_much = parse_json(seen.body)->value("max_tokens", 0) > 16384;
        return too_much
                   ? Act{.status = "400 Bad", .body = refusal("invalid_value", "max_tokens is too large")}
                   : Act{.body = reply("yes"), .headers = headers};
      },
      configured);
  world.run([&](Broker& broker) -> Task<> {
    const auto before = co_await ask(broker, request(), caller());
    CHECK(before);
    const auto absurd = co_await ask(broker, request(R"(,"params":{"max_tokens":1000000000000})"), caller());
    check_error(absurd, ErrorKind::config, "max_tokens: must be a whole number from 1 to 1000000");
    const auto large = co_await ask(broker, request(R"(,"params":{"max_tokens":1000000})"), caller());
    check_error(large, ErrorKind::config, "max_tokens is too large");
    const auto after = co_await ask(broker, request(), caller(10s));
    CHECK(after);
  });
}

TEST_CASE("Broker: an answer that claims more tokens than there are is told no usage", "[llm][hostile]") {
  World world(
      [&](const Seen&, int number) {
        auto body = *parse_json(reply("yes"));
        if (number == 0)
          body["usage"] = {{"prompt_tokens", 1'000'000'000'000}, {"completion_tokens", 1'000'000'000'000}};
        return Act{.body = dump_json(body)};
      },
      "tokens_per_minute = 600000");
  world.run([&](Broker& broker) -> Task<> {
    const auto lied = co_await ask(broker, request(), caller());
    REQUIRE(lied);
    CHECK((*lied)["usage"]["estimated"] == true);
    const auto after = co_await ask(broker, request(), caller(10s));
    CHECK(after);
  });
}

TEST_CASE("Broker: a wait of years parks for an hour", "[llm][hostile]") {
  World world([](const Seen&, int) {
    return Act{.status = "429 Slow",
               .body = refusal("rate_limit_exceeded"),
               .headers = "Retry-After: 100000000\r\n"};
  });
  world.run([&](Broker& broker) -> Task<> {
    const auto answer = co_await ask(broker, request(), caller());
    check_error(answer, ErrorKind::rate_limited, "asked to wait");
    CHECK(broker.status().accounts[0].parked_for > 59min);
    CHECK(broker.status().accounts[0].parked_for <= 1h);
  });
}

TEST_CASE("Broker: words of a complaint that the asker wrote pause nobody", "[llm][hostile]") {
  const bool old = GENERATE(true, false);
  World world([&](const Seen& seen, int) {
    const auto model = parse_json(seen.body)->value("model", "");
    if (model != "priced")
      return Act{.status = "400 Bad",
                 .body = dump_json(Json{{"error", {{"message", model + " is not a valid model ID"}}}})};
    return complaint(seen, old).value_or(Act{.body = reply("yes")});
  });
  world.run([&](Broker& broker) -> Task<> {
    for (const char* rest : {R"(,"params":{"user":"billing hard limit"})",
                             R"(,"params":{"metadata":{"x":"Insufficient Credits"}})",
                             R"(,"params":{"metadata":{"api key":"not valid"},"user":"API key not valid"})",
                             R"(,"params":{"user":"invalid_api_key"})",
                             R"(,"params":{"billing hard limit":1})", R"(,"params":{"invalid_api_key":1})"}) {
      INFO(rest);
      co_await ask(broker, request(rest), caller());
      const auto honest = co_await ask(broker, request(), caller());
      CHECK(honest);
      CHECK(broker.status().accounts[0].paused.empty());
    }
    for (const char* model : {"p/billing hard limit", "p/invalid_api_key"}) {
      co_await ask(broker, request("", model), caller());
      const auto honest = co_await ask(broker, request(), caller());
      CHECK(honest);
    }
  });
}

TEST_CASE("Broker: what is no parameter's name, or nearly one of ours, is not forwarded", "[llm][hostile]") {
  World world([](const Seen&, int) { return Act{.body = reply("yes")}; }, "forward = [\"x-y.z_1\"]");
  world.run([&](Broker& broker) -> Task<> {
    for (const char* name : {"Temperature", "top-p", "maxTokens", "Response_Format", "toolChoice",
                             "billing hard limit", "a\\nb", "", "Max.Tokens", "STREAM", "x\\u00e9"}) {
      INFO(name);
      const auto answer =
          co_await ask(broker, request(R"(,"params":{")" + std::string(name) + "\":1}"), caller());
      check_error(answer, ErrorKind::config, "");
    }
    const auto longest =
        co_await ask(broker, request(R"(,"params":{")" + std::string(65, 'a') + "\":1}"), caller());
    check_error(longest, ErrorKind::config, "1 to 64 letters");
    CHECK(world.server.seen().empty());
    const auto allowed = co_await ask(broker, request(R"(,"params":{"x-y.z_1":1})"), caller());
    CHECK(allowed);
  });
}

TEST_CASE("Broker: a refusal that names what one request forwards changes no other request",
          "[llm][hostile]") {
  // Says of a forwarded member what would be a lesson if it were of a parameter of ours.
  World world([](const Seen& seen, int) {
    const auto body = *parse_json(seen.body);
    if (body.contains("user"))
      return Act{.status = "400 Bad",
                 .body = dump_json(Json{
                     {"error", {{"message", "user is not supported: " + body["user"].get<std::string>()}}}})};
    return Act{.body = reply("yes")};
  });
  world.run([&](Broker& broker) -> Task<> {
    for (const char* echo : {"'temperature'", "response_format json_schema", "tools"}) {
      const auto attack = co_await ask(broker,
                                       request(R"(,"params":{"temperature":0.5,"user":")" +
                                               std::string(echo) + "\"}" + std::string(kSchema)),
                                       caller());
      CHECK_FALSE(attack);  // nothing of it can be left out that would help
      const auto judge =
          co_await ask(broker, request(R"(,"params":{"temperature":0.3})" + std::string(kSchema)), caller());
      REQUIRE(judge);
      CHECK_FALSE(judge->contains("changes"));
      const auto sent = *parse_json(world.server.seen().back().body);
      CHECK(sent["temperature"] == 0.3);
      CHECK(sent["response_format"]["type"] == "json_schema");
    }
  });
}

TEST_CASE("Broker: a forwarded member that is not taken is left out of that call alone", "[llm][hostile]") {
  World world(
      [](const Seen& seen, int) { return complaint(seen, false).value_or(Act{.body = reply("yes")}); });
  world.run([&](Broker& broker) -> Task<> {
    for (int i = 1; i <= 2; ++i) {
      const auto answer =
          co_await ask(broker, request(R"(,"params":{"temperature":0.5,"top_k":5})"), caller());
      REQUIRE(answer);
      CHECK((*answer)["changes"] == Json({"top_k left out"}));
      CHECK(world.server.seen().size() == static_cast<size_t>(2 * i));
    }
  });
}

TEST_CASE("Broker: a schema that is at fault does not weaken the structure of others", "[llm][hostile]") {
  World world([](const Seen& seen, int) {
    const auto body = *parse_json(seen.body);
    const bool bad = body.contains("response_format") && seen.body.contains("maxLength");
    return bad ? Act{.status = "400 Bad",
                     .body = dump_json(
                         Json{{"error",
                               {{"message",
                                 "response_format: in ('properties', 'a'), 'maxLength' is not permitted."},
                                {"param", "response_format"}}}})}
               : Act{.body = reply("{}")};
  });
  world.run([&](Broker& broker) -> Task<> {
    const std::string faulty =
        R"(,"schema":{"name":"v","schema":{"type":"object","properties":{"a":{"maxLength":5}}}})";
    const auto first = co_await ask(broker, request(faulty), caller());
    REQUIRE(first);
    CHECK_THAT(dump_json((*first)["changes"]), Catch::Contains("asked by tool instead of schema"));
    const auto other = co_await ask(broker, request(std::string(kSchema)), caller());
    REQUIRE(other);
    CHECK_FALSE(other->contains("changes"));
  });
}

TEST_CASE("Broker: a reply is kept as the answer to what was sent, not to what was asked for",
          "[llm][hostile]") {
  BrokerOptions options;
  const test::TemporaryFolder cache;
  options.cache_folder = cache.path("replies");
  bool takes_temperature = false;
  World world(
      [&](const Seen& seen, int number) {
        if (!takes_temperature && seen.body.contains("temperature"))
          return Act{.status = "400 Bad",
                     .body = dump_json(Json{{"error",
                                             {{"message", "Unsupported parameter"},
                                              {"param", "temperature"},
                                              {"code", "unsupported_parameter"}}}})};
        return Act{.body = reply("answer " + std::to_string(number))};
      },
      "", "", options);
  const std::string zero = request(R"(,"params":{"temperature":0})");
  const auto purse = std::make_shared<Purse>(world.loop.get_executor(), 1'000'000'000);
  world.run([&](Broker& broker) -> Task<> {
    const auto first = co_await ask(broker, zero, caller());
    REQUIRE(first);
    CHECK((*first)["changes"] == Json({"temperature left out"}));
    const auto again = co_await ask(broker, zero, caller());
    CHECK((*again)["from_cache"] == true);
    const auto limited = co_await ask(broker, zero, caller(20s, purse));
    CHECK((*limited)["from_cache"] == true);
    CHECK(world.server.seen().size() == 2);

    // Who does not know yet what the model does not take finds out, and pays nothing.
    auto next = Broker::start(world.loop.get_executor(), *Models::parse(world.toml, "models.toml"), options);
    REQUIRE(next);
    const auto found = co_await ask(**next, zero, caller());
    CHECK((*found)["from_cache"] == true);
    CHECK((*next)->status().cache_hits == 1);
    CHECK((*next)->status().cache_misses == 0);
    co_await (*next)->close();
    CHECK(world.server.seen().size() == 3);

    // Where it is taken the reply without it is none.
    takes_temperature = true;
    auto last = Broker::start(world.loop.get_executor(), *Models::parse(world.toml, "models.toml"), options);
    REQUIRE(last);
    const auto asked = co_await ask(**last, zero, caller());
    CHECK((*asked)["from_cache"] == false);
    co_await (*last)->close();
  });
}

TEST_CASE("Broker: names of models that are none make nobody forget", "[llm][hostile]") {
  World world([](const Seen& seen, int) {
    const auto body = *parse_json(seen.body);
    if (body["model"] != "priced" && body["model"] != "unlisted")
      return Act{.status = "404 Not Found", .body = refusal("model_not_found")};
    if (body.contains("temperature"))
      return Act{.status = "400 Bad",
                 .body = dump_json(Json{{"error", {{"message", "Unsupported"}, {"param", "temperature"}}}})};
    return Act{.body = reply("yes")};
  });
  world.run([&](Broker& broker) -> Task<> {
    const std::string warm = R"(,"params":{"temperature":0.5})";
    for (const char* model : {"p/priced", "p/unlisted"}) co_await ask(broker, request(warm, model), caller());
    for (int i = 0; i < 1001; ++i) co_await ask(broker, request("", "p/none-" + std::to_string(i)), caller());
    const size_t before = world.server.seen().size();
    for (const char* model : {"p/priced", "p/unlisted"}) co_await ask(broker, request(warm, model), caller());
    CHECK(world.server.seen().size() == before + 2);
  });
}

TEST_CASE("Broker: parameters that may cost more than the limits know of are not passed on",
          "[llm][hostile]") {
  World world([](const Seen&, int) { return Act{.body = reply("yes")}; }, "",
              "[models.\"p/free\"]\nprice = { input = 1, output = 1 }\nforward = [\"n_predict\"]\n"
              "max_output_tokens = 100\n");
  world.run([&](Broker& broker) -> Task<> {
    for (const char* name :
         {"n_predict", "models", "route", "fallbacks", "plugins", "service_tier", "web_search_options",
          "api_base", "base_url", "api_key", "extra_headers", "best_of", "extra_body", "prediction"}) {
      const auto answer =
          co_await ask(broker, request(R"(,"params":{")" + std::string(name) + "\":1}"), caller());
      check_error(answer, ErrorKind::config, std::string(name) + ": is not passed on");
      check_error(answer, ErrorKind::config, "forward = [\"" + std::string(name) + "\"]");
    }
    const auto format = co_await ask(broker, request(R"(,"params":{"text":{"format":{}}})"), caller());
    check_error(format, ErrorKind::config, "text: ");
    const auto output = co_await ask(broker, request(R"(,"params":{"max_tokens":101})", "p/free"), caller());
    check_error(output, ErrorKind::config, "max_output_tokens in models.toml");
    CHECK(world.server.seen().empty());
    const auto harmless = co_await ask(broker, request(R"(,"params":{"top_k":5})"), caller());
    CHECK(harmless);
    const auto allowed = co_await ask(broker, request(R"(,"params":{"n_predict":5})", "p/free"), caller());
    CHECK(allowed);
    CHECK((*parse_json(world.server.seen().back().body))["n_predict"] == 5);
  });
}

std::string image(const std::string& url, const std::string& model = "p/priced") {
  return R"({"model":")" + model +
         R"(","params":{"max_tokens":10},"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":")" +
         url + "\"}}]}]}";
}

TEST_CASE("Broker: images cost what models.toml says, and are fetched only where it allows that",
          "[llm][hostile]") {
  const bool fetches = GENERATE(true, false);
  World world([](const Seen&, int) { return Act{.body = reply("yes")}; }, fetches ? "image_urls = true" : "",
              "[models.\"p/eyes\"]\nprice = { input = 1, output = 10 }\nimage_tokens = 50000\n");
  world.run([&](Broker& broker) -> Task<> {
    const auto address = co_await ask(broker, image("https://example.org/a.png"), caller());
    CHECK(address.has_value() == fetches);
    if (!address) check_error(address, ErrorKind::config, "image_urls = true");
    for (const char* url : {"file:///etc/passwd", "data:application/pdf;base64,QQ==", "ftp://h/a.png"}) {
      const auto other = co_await ask(broker, image(url), caller());
      check_error(other, ErrorKind::config, "must be a data URL");
    }
    const std::string data = "data:image/png;base64," + std::string(100'000, 'A');
    const auto free = co_await ask(broker, image(data), caller());
    CHECK(free);
    const auto purse = std::make_shared<Purse>(world.loop.get_executor(), 65'000'000);
    const auto unknown = co_await ask(broker, image(data), caller(20s, purse));
    check_error(unknown, ErrorKind::config, "image_tokens");
    const auto fits = co_await ask(broker, image(data, "p/eyes"), caller(20s, purse));
    CHECK(fits);
    // An image is 50,000 tokens at $1, 1.25 times that to be written to the cache.
    const auto poor = std::make_shared<Purse>(world.loop.get_executor(), 60'000'000);
    const auto larger = co_await ask(broker, image(data, "p/eyes"), caller(20s, poor));
    CHECK(larger.has_value() == false);
  });
}

TEST_CASE("Broker: with a limit, what nobody told costs the most that it could", "[llm][hostile]") {
  const bool lost = GENERATE(true, false);
  World world([&](const Seen&, int) {
    auto body = *parse_json(reply("ok"));
    body.erase("usage");
    return lost ? Act{.manner = Manner::close} : Act{.body = dump_json(body)};
  });
  world.run([&](Broker& broker) -> Task<> {
    const auto purse = std::make_shared<Purse>(world.loop.get_executor(), 1'000'000'000);
    Caller who = caller(20s, purse);
    who.lost = std::make_shared<ModelUse>();
    const auto answer = co_await ask(
        broker, request(R"(,"params":{"max_tokens":100})", "p/priced", std::string(2000, '*')), who);
    // 3,000 tokens of input and more at $1.25, 100 of output at $10.
    const int64_t each = 4'750'000;
    if (lost) {
      check_error(answer, ErrorKind::transport, "given up after 4 attempts");
      CHECK(purse->spend().spent > 4 * each);
      CHECK(who.lost->nano_dollars == purse->spend().spent);
      CHECK(who.lost->estimated == 4);
    } else {
      REQUIRE(answer);
      CHECK(purse->spend().spent > each);
      CHECK((*answer)["cost"].get<double>() == Approx(static_cast<double>(purse->spend().spent) * 1e-9));
      CHECK(*who.lost == ModelUse{});
    }
    CHECK(purse->spend().estimated == purse->spend().spent);
    CHECK(purse->reserved() == 0);
  });
}

TEST_CASE("Broker: a key that comes back as the id of a request stays here", "[llm][hostile]") {
  const auto status = GENERATE("200 OK", "400 Bad");
  World world([&](const Seen&, int) {
    return Act{
        .status = status, .body = reply("yes"), .headers = "x-request-id: " + std::string(kKey) + "\r\n"};
  });
  world.run([&](Broker& broker) -> Task<> {
    // ask() and check_error() look for the key.
    const auto answer = co_await ask(broker, request(), caller());
    if (!answer) check_error(answer, ErrorKind::config, "");
    CHECK(world.server.seen().size() == 1);
  });
}

}  // namespace
}  // namespace assay::llm
