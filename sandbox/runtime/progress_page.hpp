// The pool's side of sandbox/runtime/wire/progress.hpp.
#pragma once

#include <memory>

#include "core/async/task.hpp"
#include "core/fd.hpp"
#include "sandbox/runtime/wire/progress.hpp"

namespace assay::sandbox {

class ProgressPage {
 public:
  /// Of a fixed size: nobody can take it away from under us.
  static Result<std::unique_ptr<ProgressPage>> make();
  ProgressPage(const ProgressPage&) = delete;
  ProgressPage& operator=(const ProgressPage&) = delete;
  ~ProgressPage();

  /// Sends the beginning of `text` over the socket, and the page with it: the bytes sent, or -1 and errno.
  ssize_t send_with(int socket, std::string_view text) const;

  /// The evaluation that the host says it began last, and when.
  int64_t evaluation() const { return page_->evaluation.load(); }
  Clock::time_point began() const { return Clock::time_point(std::chrono::nanoseconds(page_->began.load())); }

 private:
  ProgressPage(UniqueFd fd, wire::Progress* page) : fd_(std::move(fd)), page_(page) {}

  UniqueFd fd_;
  wire::Progress* page_;
};

}  // namespace assay::sandbox
