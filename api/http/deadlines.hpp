// How long a client may keep the server waiting.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <memory>

#include "core/async/task.hpp"
#include "core/http/listener.hpp"

namespace assay::api {

/// Cancels the operations of a socket when time is up, and leaves it open: a client that was too slow is told
/// so. (beast::tcp_stream closes the socket, and nothing can be said any more.)
class Deadlines {
 public:
  explicit Deadlines(http::Socket& socket) : state_(std::make_shared<State>(socket)) {}
  ~Deadlines() { disarm(); }
  Deadlines(const Deadlines&) = delete;
  Deadlines& operator=(const Deadlines&) = delete;

  void arm(Clock::duration time);
  /// True: time was up.
  bool disarm();

 private:
  struct State {
    explicit State(http::Socket& socket_) : socket(socket_), timer(socket_.get_executor()) {}
    http::Socket& socket;  // touched only while armed, and its owner disarms
    asio::steady_timer timer;
    uint64_t round = 0;
    bool expired = false;
  };
  static void wait(std::shared_ptr<State> state, Clock::duration time);

  std::shared_ptr<State> state_;
};

/// A bucket of patience: full at first, emptied by waiting, filled again by bytes. So one byte now and then
/// does not hold a connection for ever, and a burst buys no more than one pause.
class Pace {
 public:
  Pace(Clock::duration patience, size_t bytes_per_second)
      : patience_(patience), left_(patience), rate_(bytes_per_second) {}

  /// How long the next wait may last.
  Clock::duration left() const { return left_; }
  void waited(Clock::duration time, size_t bytes);

 private:
  Clock::duration patience_, left_;
  size_t rate_;
};

}  // namespace assay::api
