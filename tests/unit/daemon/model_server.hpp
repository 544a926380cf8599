// A model endpoint for tests: a real HTTP server on loopback that does to each request what a script says,
// well-behaved or not.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <string>
#include <vector>

#include "core/async/scope.hpp"

namespace assay::test {

class ModelServer {
 public:
  struct Seen {
    Clock::time_point when;
    std::string head;
    std::string body;
    int connection = 0;
  };
  struct Act {
    enum class Manner {
      answer,
      black_hole,   ///< never answers
      drip,         ///< a byte of the answer each 10 ms
      half,         ///< half of the answer, then closes
      close,        ///< closes without an answer
      reset,        ///< resets without an answer
      close_after,  ///< answers, then closes without having said so
    };
    std::string status = "200 OK";
    std::string body;
    std::string headers = {};  ///< each with its line end
    std::chrono::milliseconds delay{0};
    Manner manner = Manner::answer;
  };
  /// `number` counts requests from 0.
  using Script = std::function<Act(const Seen&, int number)>;

  ModelServer(asio::io_context& loop, Script script)
      : acceptor_(loop, {asio::ip::make_address("127.0.0.1"), 0}),
        script_(std::move(script)),
        scope_(loop.get_executor()) {
    scope_.spawn("model server", serve());
  }

  std::string url() const {
    return "http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()) + "/v1";
  }
  const std::vector<Seen>& seen() const { return seen_; }
  int most_at_once() const { return most_; }
  Task<> stop() {
    scope_.cancel();
    co_await scope_.join();
  }

 private:
  using Socket = asio::ip::tcp::socket;
  static constexpr auto kQuiet = asio::as_tuple(asio::use_awaitable);

  Task<> serve() {
    for (int connection = 0;; ++connection) {
      auto [error, socket] = co_await acceptor_.async_accept(kQuiet);
      if (error) co_return;
      scope_.spawn("connection", talk(std::move(socket), connection));
    }
  }

  Task<> talk(Socket socket, int connection) {
    asio::streambuf buffer;
    for (bool open = true; open;) {
      Seen seen;
      const auto [error, bytes] = co_await asio::async_read_until(socket, buffer, "\r\n\r\n", kQuiet);
      if (error) co_return;
      seen.head = take(buffer, bytes);
      const size_t at = seen.head.find("Content-Length: ");
      const size_t length = at == std::string::npos ? 0 : std::stoul(seen.head.substr(at + 16));
      while (buffer.size() < length) {
        const auto [body_error, got] = co_await socket.async_read_some(buffer.prepare(65536), kQuiet);
        if (body_error) co_return;
        buffer.commit(got);
      }
      seen.body = take(buffer, length);
      seen.when = Clock::now();
      seen.connection = connection;
      seen_.push_back(seen);
      most_ = std::max(most_, ++at_once_);
      const Act act = script_(seen, static_cast<int>(seen_.size()) - 1);
      open = co_await answer(socket, act);
      --at_once_;
    }
  }

  static Task<bool> answer(Socket& socket, const Act& act) {
    using enum Act::Manner;
    if (act.delay.count() > 0) {
      const bool slept = co_await sleep_until(Clock::now() + act.delay);
      if (!slept) co_return false;
    }
    std::string text = "HTTP/1.1 " + act.status + "\r\nContent-Length: " + std::to_string(act.body.size()) +
                       "\r\n" + act.headers + "\r\n" + act.body;
    if (act.manner == black_hole) {
      co_await sleep_until(Clock::now() + std::chrono::minutes(10));
      co_return false;
    }
    if (act.manner == reset) socket.set_option(asio::socket_base::linger(true, 0));
    if (act.manner == close || act.manner == reset) co_return false;
    if (act.manner == half) text.resize(text.size() / 2);
    const size_t step = act.manner == drip ? 1 : text.size();
    for (size_t at = 0; at < text.size(); at += step) {
      const auto [error, bytes] =
          co_await asio::async_write(socket, asio::buffer(text.data() + at, step), kQuiet);
      if (error) co_return false;
      if (act.manner != drip) continue;
      const bool slept = co_await sleep_until(Clock::now() + std::chrono::milliseconds(10));
      if (!slept) co_return false;
    }
    co_return act.manner == Act::Manner::answer;
  }

  static std::string take(asio::streambuf& buffer, size_t n) {
    std::string text(static_cast<const char*>(buffer.data().data()), n);
    buffer.consume(n);
    return text;
  }

  asio::ip::tcp::acceptor acceptor_;
  Script script_;
  std::vector<Seen> seen_;
  int at_once_ = 0, most_ = 0;
  Scope scope_;
};

}  // namespace assay::test
