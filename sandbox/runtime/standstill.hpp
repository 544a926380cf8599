// Notices that this process stood still: it was stopped, its container frozen, or the machine did not get to
// it.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>

#include "core/async/task.hpp"

namespace assay::sandbox {

/// The clock goes on meanwhile, for the jails too, so whatever was waited for looks late: that says nothing
/// about an evaluator. A timer that ticks tells the one from the other. Belongs to its executor's thread.
class Standstill {
 public:
  /// A tick that is as late as this was not the loop's own doing.
  static constexpr std::chrono::milliseconds kLate{1'000};

  /// Watches from now on.
  explicit Standstill(asio::any_io_executor executor);
  ~Standstill() { stop(); }
  Standstill(const Standstill&) = delete;
  Standstill& operator=(const Standstill&) = delete;

  /// Leaves nothing for the loop to wait for.
  void stop();

  /// The time now, for any_since().
  Clock::time_point mark();

  /// Whether there was one that ended after `mark`.
  bool any_since(Clock::time_point mark);

 private:
  void wait();
  void look();

  asio::steady_timer tick_;
  Clock::time_point looked_ = Clock::now();
  Clock::time_point ended_ = Clock::time_point::min();
  std::shared_ptr<bool> watching_ =
      std::make_shared<bool>(true);  // outlives us for a tick that is on its way
};

}  // namespace assay::sandbox
