// What a model was found not to take, so that it is asked in vain once and not every time.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/llm/adapt.hpp"
#include "daemon/llm/waiting_line.hpp"

namespace assay::llm {

/// Of one model at one endpoint, for the life of the process.
class Learned {
 public:
  explicit Learned(asio::any_io_executor executor) : line_(executor) {}

  /// Nothing is known, and nobody is finding out.
  bool is_empty() const {
    return !settled_ && !probing_ && parameters_.empty() && mode_ == StructureMode::schema;
  }
  /// Whether apply() may change it.
  bool concerns(const Request& request) const {
    return !parameters_.empty() || (request.structure && request.structure->mode < mode_);
  }
  /// Changes the request as earlier failures taught; says what was done.
  std::vector<std::string> apply(Request& request, Dialect dialect) const;
  /// A lesson for the calls to come: whether it is a new one. nullopt when the request cannot be changed (any
  /// more), so that the failure is final.
  std::optional<bool> learn(const Request& request, const Failure& failure, Dialect dialect);

  /// The first call that asks for structured output finds out how; the others wait for its end, until
  /// `patience` after its beginning, and not beyond `deadline`. True: this is the first, and found() or
  /// gave_up() must follow.
  Task<bool> probe(std::chrono::milliseconds patience, Deadline deadline);
  /// It is known how: of the first, or of one that did not wait for it any longer.
  void found();
  void gave_up();

 private:
  StructureMode mode_ = StructureMode::schema;
  std::vector<std::string> parameters_;  ///< not taken, in the order found
  bool settled_ = false;
  bool probing_ = false;
  Deadline since_{};  ///< of the probing
  WaitingLine line_;
};

}  // namespace assay::llm
