// What one run may spend on models, and what it has spent.
//
// A hard limit, kept by reservation: before a call is sent the most it can cost is set aside; when it is over
// what it did cost is spent and the rest is free again. So the sum of what is spent and what may still be is
// never above the limit. Calls wait for each other's reservations, first come first served; when nothing is
// set aside any more and a call still does not fit, it ends as `billing`.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "daemon/llm/price.hpp"
#include "daemon/llm/waiting_line.hpp"

namespace assay::llm {

/// Where the limit of a run is shared between workers: hands out more of it.
class SpendSource {
 public:
  virtual ~SpendSource() = default;
  /// More of the run's limit, at least `wanted` if there is that much; 0 when nothing is left. An error (the
  /// source could not be asked) ends the call that needed it. In nano-dollars. It ends by itself: nobody
  /// else is asked for meanwhile.
  virtual Task<Result<int64_t>> more(int64_t wanted) = 0;
};

/// Money in nano-dollars.
struct Spend {
  int64_t spent = 0;           ///< priced calls
  int64_t estimated = 0;       ///< the part of it that no provider told: lost answers, missing usage
  int64_t priced_calls = 0;    ///< that were spent on, lost ones included
  int64_t unpriced_calls = 0;  ///< whose cost is not known
  int64_t input_tokens = 0, cached_tokens = 0, output_tokens = 0;
};

/// "$1.50", "$0.000012": as few digits as tell it exactly, at least cents.
std::string dollars(int64_t nano_dollars);

/// Used on one executor; outlives its calls (they share it).
class Purse {
 public:
  /// `limit`: nullopt, and no source: none. With a source the limit is what that has handed out already.
  Purse(asio::any_io_executor executor, std::optional<int64_t> limit,
        std::shared_ptr<SpendSource> source = nullptr)
      : limit_(source && !limit ? std::optional<int64_t>(0) : limit),
        source_(std::move(source)),
        line_(executor),
        freed_(executor) {}

  bool limited() const { return limit_.has_value(); }
  /// Sets `most` aside, once it fits. `billing` when it never will, `timeout` at `until`, `cancelled`.
  Task<Result<void>> reserve(int64_t most, Deadline until);
  /// Frees `reserved`; the call was spent on and cost `cost`, or nobody knows what.
  void settle(int64_t reserved, const std::optional<Cost>& cost, const TokenUsage& usage);
  /// Frees `reserved`; nothing was spent.
  void release(int64_t reserved);
  const Spend& spend() const { return spend_; }
  int64_t reserved() const { return reserved_; }
  /// Of the limit, neither spent nor set aside; 0 without a limit.
  int64_t left() const;

 private:
  Task<Result<void>> make_room(int64_t most, Deadline until);
  Task<Result<void>> why_not(Deadline until);
  void free(int64_t reserved);

  std::optional<int64_t> limit_;
  std::shared_ptr<SpendSource> source_;
  WaitingLine line_;   ///< for the turn
  WaitingLine freed_;  ///< whose turn it is, for room
  bool busy_ = false;  ///< it is somebody's turn
  Spend spend_;
  int64_t reserved_ = 0;
};

}  // namespace assay::llm
