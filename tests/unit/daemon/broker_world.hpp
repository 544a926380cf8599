// A broker before a model server of the test's own.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "core/fd.hpp"
#include "core/json.hpp"
#include "daemon/llm/broker.hpp"
#include "tests/unit/core/loop.hpp"
#include "tests/unit/daemon/model_server.hpp"
#include "tests/unit/temporary_folder.hpp"

namespace assay::llm::test_world {

using namespace std::chrono_literals;
using Manner = test::ModelServer::Act::Manner;
using Act = test::ModelServer::Act;
using Seen = test::ModelServer::Seen;

inline constexpr std::string_view kKey = "sk-test-1234567890abcdef";

inline std::string reply(const std::string& text, int input = 10, int output = 5) {
  return dump_json(Json{{"model", "m-1"},
                        {"choices", {{{"finish_reason", "stop"}, {"message", {{"content", text}}}}}},
                        {"usage", {{"prompt_tokens", input}, {"completion_tokens", output}}}});
}

inline std::string refusal(const std::string& code, const std::string& message = "no") {
  return dump_json(Json{{"error", {{"message", message}, {"code", code}}}});
}

/// What is written to stderr, and so the log, while this lives.
class Log {
 public:
  Log() : file_(folder_.path("log")), saved_(::fcntl(2, F_DUPFD_CLOEXEC, 3)) {
    const auto fd = open_cloexec(file_, O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(fd->get(), 2);
  }
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
  ~Log() { ::dup2(saved_.get(), 2); }
  std::string text() const { return *read_file(file_, 1 << 20); }
  size_t lines_with(std::string_view words) const {
    size_t count = 0;
    const std::string all = text();
    for (size_t at = all.find(words); at != std::string::npos; at = all.find(words, at + 1)) ++count;
    return count;
  }

 private:
  test::TemporaryFolder folder_;
  std::string file_;
  UniqueFd saved_;
};

struct World {
  explicit World(test::ModelServer::Script script, const std::string& provider = "",
                 const std::string& models = "", BrokerOptions given = {})
      : server(loop, std::move(script)), options(std::move(given)) {
    folder.write("key", std::string(kKey) + "\n");
    ::chmod(folder.path("key").c_str(), 0600);
    options.first_backoff = 5ms;
    toml = "[providers.p]\napi = \"chat.completions\"\nbase_url = \"" + server.url() + "\"\nkey_file = \"" +
           folder.path("key") + "\"\n" + provider +
           "\n[models.\"p/priced\"]\nprice = { input = 1, output = 10 }\n" + models;
  }

  /// Runs `body` with a broker, closes it, and stops the server.
  void run(const std::function<Task<>(Broker&)>& body) {
    const auto whole = [&]() -> Task<> {
      auto models = Models::parse(toml, "models.toml");
      REQUIRE(models);
      auto broker = Broker::start(loop.get_executor(), std::move(*models), options);
      REQUIRE(broker);
      co_await body(**broker);
      const size_t left = (*broker)->status().calls;
      CHECK(left == 0);
      for (const auto& account : (*broker)->status().accounts) CHECK(account.in_flight == 0);
      co_await (*broker)->close();
      co_await server.stop();
    };
    test::run(loop, whole());
  }

  asio::io_context loop;
  test::TemporaryFolder folder;
  test::ModelServer server;
  BrokerOptions options;
  std::string toml;
};

inline std::string request(const std::string& rest = "", const std::string& model = "p/priced",
                           const std::string& text = "hi") {
  return R"({"model":")" + model + R"(","messages":[{"role":"user","content":")" + text + "\"}]" + rest + "}";
}

inline constexpr std::string_view kSchema = R"(,"schema":{"name":"v","schema":{"type":"object"}})";

inline Caller caller(std::chrono::milliseconds time = 20s, std::shared_ptr<Purse> purse = nullptr) {
  return {std::move(purse), Clock::now() + time, nullptr};
}

inline Task<Result<Json>> ask(Broker& broker, std::string json, Caller who) {
  WaitingLine ended(co_await asio::this_coro::executor);
  std::optional<Result<std::string>> answer;
  bool inside = true;
  broker.complete(std::move(json), std::move(who), [&](Result<std::string> got) {
    CHECK_FALSE(inside);
    CHECK_FALSE(answer);
    answer = std::move(got);
    ended.wake_all();
  });
  inside = false;
  while (!answer) co_await ended.wait(Clock::now() + 60s);
  if (!*answer) co_return std::unexpected(answer->error());
  CHECK_THAT(**answer, !Catch::Contains("sk-test"));
  co_return *parse_json(**answer);
}

inline void check_error(const Result<Json>& answer, ErrorKind kind, const std::string& words) {
  REQUIRE_FALSE(answer);
  CHECK(to_string(answer.error().kind) == to_string(kind));
  CHECK_THAT(answer.error().message, Catch::Contains(words));
  CHECK_THAT(answer.error().message, !Catch::Contains("sk-test"));
}

}  // namespace assay::llm::test_world
