// One jailed host process and the items it has been given.
#pragma once

#include <sys/types.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "core/async/task.hpp"
#include "core/outcome.hpp"
#include "sandbox/runtime/answer.hpp"
#include "sandbox/runtime/language.hpp"
#include "sandbox/runtime/program.hpp"
#include "sandbox/runtime/spawner_client.hpp"
#include "sandbox/runtime/standstill.hpp"

namespace assay::sandbox {

/// One evaluation asked for.
struct Work {
  std::string item;
  std::move_only_function<void(Outcome)> done;
  std::shared_ptr<const bool> unwanted;  ///< null: always wanted

  bool is_unwanted() const { return unwanted && *unwanted; }
};

/// A host answers in order, so what is in flight is a queue. Owned by shared pointers: its handlers keep it
/// alive.
class Host : public std::enable_shared_from_this<Host> {
 public:
  /// How a host has a candidate run: Pool::submit.
  using Submit = std::function<void(std::shared_ptr<const Program>, std::string item,
                                    std::move_only_function<void(Outcome)> done)>;
  Host(asio::any_io_executor executor, std::shared_ptr<const Program> program, const Language* language,
       Submit submit, Standstill& standstill);

  /// Makes the jail and has the program loaded; `config` when that fails because of the program.
  Task<Result<void>> start(SpawnerClient* spawner, int host_fd, JailAccess access);
  /// Of JailAccess::proxy, once started.
  UniqueFd take_listener() { return std::move(listener_); }

  /// Reads answers and calls the `done` of their work until the host is gone; `on_progress` after each batch.
  Task<> serve(std::function<void()> on_progress);

  /// Waits for the process to be gone; what the item at the head ended with.
  Task<Outcome> end(SpawnerClient* spawner);

  /// Items that can be written now without any waiting long behind others.
  bool has_room() const;
  void send(Work work);
  /// Writes what send() gathered, as far as the socket takes it now; the rest follows by itself.
  void flush();

  /// The process is killed; the first reason given is the one that counts.
  enum class Kill { none, timeout, unwanted, bad_answer };
  void kill(Kill reason);

  std::deque<Work>& in_flight() { return in_flight_; }
  bool had_jail() const { return jail_id_ != 0; }
  bool is_ready() const { return ready_; }
  bool is_idle() const { return ready_ && in_flight_.empty(); }
  /// Whether it may be given more; a host that has used much processor time is replaced before its hard
  /// limit.
  bool is_leaving() const { return leaving_ || killed_ != Kill::none; }
  void leave() { leaving_ = true; }
  Clock::time_point ready_since() const { return ready_since_; }
  Clock::time_point last_active() const { return last_active_; }
  void set_window(size_t window) { window_limit_ = window; }

 private:
  Task<Result<void>> load();
  bool read_answers();
  bool take_answer(std::string_view frame);
  bool take_candidate(Candidate candidate);
  void note_progress(size_t answers);
  void arm_deadline();
  void head_changed();
  Outcome excuse(Outcome outcome);
  Outcome explain_end(const std::optional<SpawnReply>& reply) const;

  std::shared_ptr<const Program> program_;
  const Language* language_;
  asio::any_io_executor executor_;
  Submit submit_;
  Standstill& standstill_;
  uint64_t jail_id_ = 0;
  UniqueFd pidfd_, listener_;
  asio::posix::stream_descriptor stream_;
  asio::steady_timer deadline_timer_;
  FrameBuffer frames_;
  AnswerParser parser_;

  std::deque<Work> in_flight_;
  int64_t next_id_ = 1;  // of the next request
  int64_t head_id_ = 1;  // of the request at the head of in_flight_
  std::string out_;      // frames not yet written
  size_t out_begin_ = 0;
  bool waiting_to_write_ = false;
  Clock::time_point head_since_{};
  Deadline head_deadline_{};
  bool deadline_armed_ = false;

  bool candidate_runs_ = false;
  std::optional<Outcome> spoilt_;  // what was our fault in the candidate of the item at the head
  bool ready_ = false;
  bool leaving_ = false;
  Kill killed_ = Kill::none;
  Clock::time_point ready_since_{}, last_active_{}, last_progress_{};
  std::chrono::duration<double> per_item_{0.002};  // a moving mean, of our own measuring
  std::chrono::microseconds cpu_used_{0};
  size_t bytes_in_flight_ = 0;
  size_t window_limit_ = 64;
};

/// The largest item that a host takes.
inline constexpr size_t kItemLimit = 15U << 20;

}  // namespace assay::sandbox
