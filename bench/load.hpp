// Keeping a pool busy, and how long that took.
#pragma once

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sandbox/runtime/pool.hpp"

namespace assay::bench {

/// What a measurement cannot go on without: ends the program with the reason when it is not there.
template <class T>
T need(Result<T> result) {
  if (result) {
    if constexpr (std::is_void_v<T>)
      return;
    else
      return std::move(*result);
  }
  std::fprintf(stderr, "%s\n", result.error().message.c_str());
  std::exit(3);
}

/// Runs `task` on a loop of its own.
inline void run_to_end(std::function<Task<>(boost::asio::any_io_executor)> task) {
  boost::asio::io_context context(1);
  boost::asio::co_spawn(context, task(context.get_executor()), [](std::exception_ptr error) {
    if (error) std::rethrow_exception(error);
  });
  context.run();
}

/// Durations of one kind of work, in microseconds.
class Latencies {
 public:
  void add(Clock::duration took) {
    values_.push_back(std::chrono::duration<double, std::micro>(took).count());
    sorted_ = false;
  }
  void add(const Latencies& others) {
    values_.insert(values_.end(), others.values_.begin(), others.values_.end());
    sorted_ = false;
  }
  size_t count() const { return values_.size(); }
  double at(double part) {
    if (values_.empty()) return 0;
    if (!std::exchange(sorted_, true)) std::ranges::sort(values_);
    return values_[std::min(values_.size() - 1, static_cast<size_t>(part * static_cast<double>(count())))];
  }
  double p50() { return at(0.5); }
  double p99() { return at(0.99); }
  double max() { return at(1); }

 private:
  std::vector<double> values_;
  bool sorted_ = false;
};

/// Keeps `in_flight` evaluations of one program under way until `count` have ended.
class Load {
 public:
  using MakeItem = std::function<std::string(size_t index)>;
  using Check = std::function<void(size_t index, const Outcome& outcome)>;

  Load(boost::asio::any_io_executor executor, sandbox::Pool& pool,
       std::shared_ptr<const sandbox::Program> program, MakeItem make_item, Check check)
      : pool_(pool),
        program_(std::move(program)),
        make_item_(std::move(make_item)),
        check_(std::move(check)),
        done_(executor, Clock::time_point::max()) {}

  /// Evaluations a second.
  Task<double> run(size_t count, size_t in_flight) {
    need(co_await pool_.prepare(program_));
    wanted_ = count;
    const auto began = Clock::now();
    while (submitted_ < std::min(in_flight, count)) submit();
    boost::system::error_code ignored;
    co_await done_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
    co_return static_cast<double>(count) / std::chrono::duration<double>(Clock::now() - began).count();
  }

  Latencies& latencies() { return latencies_; }

 private:
  void submit() {
    const size_t index = submitted_++;
    std::string item = make_item_(index);
    const auto sent = Clock::now();
    pool_.submit(program_, std::move(item), [this, index, sent](Outcome outcome) {
      latencies_.add(Clock::now() - sent);
      check_(index, outcome);
      if (submitted_ < wanted_) submit();
      if (latencies_.count() == wanted_) done_.cancel();
    });
  }

  sandbox::Pool& pool_;
  std::shared_ptr<const sandbox::Program> program_;
  MakeItem make_item_;
  Check check_;
  boost::asio::steady_timer done_;
  Latencies latencies_;
  size_t submitted_ = 0, wanted_ = 0;
};

}  // namespace assay::bench
