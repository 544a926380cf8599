// How far a long task is: one line that is redrawn on a terminal, now and then a plain line in a log.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <optional>
#include <string>

namespace assay::cli {

/// Has no thread and no timer: it draws inside update() and finish(), when enough time has passed. The caller
/// gives the time, which is what makes it testable.
class Progress {
 public:
  using Clock = std::chrono::steady_clock;
  enum class Unit { items, bytes };
  struct Options {
    bool terminal = false;
    size_t width = 80;                           ///< columns of the terminal
    std::chrono::milliseconds redraw{100};       ///< on a terminal
    std::chrono::milliseconds plain_line{5000};  ///< elsewhere
  };
  struct State {
    std::string phase;  ///< "uploading", "evaluating"; a new one starts the rate anew
    uint64_t done = 0;
    uint64_t total = 0;  ///< 0 when unknown
    uint64_t errors = 0;
    Unit unit = Unit::items;
  };

  /// `out` stays the caller's and must live longer.
  Progress(std::FILE* out, Options options) : out_(out), options_(options) {}
  void update(const State& state, Clock::time_point now = Clock::now());
  /// A line of its own that says what the task waits for, when that is news; empty: it waits no longer.
  void note_waiting(const std::string& what, Clock::time_point now = Clock::now());
  /// Draws the last state and ends the line; nothing when nothing was ever drawn.
  void finish(Clock::time_point now = Clock::now());

 private:
  struct Sample {
    Clock::time_point at;
    uint64_t done;
  };
  void draw(Clock::time_point now);
  std::string line() const;
  std::string amount(uint64_t value) const;
  double rate() const;  ///< a second, over the last samples; 0 when unknown

  std::FILE* out_;
  Options options_;
  State state_;
  std::deque<Sample> samples_;
  std::optional<Clock::time_point> drawn_;
  std::string last_line_;
  std::string waiting_;
};

}  // namespace assay::cli
