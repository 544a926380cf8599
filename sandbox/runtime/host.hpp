// One jailed host process and the evaluations that it has been given.
#pragma once

#include <sys/types.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "core/async/task.hpp"
#include "core/outcome.hpp"
#include "sandbox/runtime/answer.hpp"
#include "sandbox/runtime/completions.hpp"
#include "sandbox/runtime/language.hpp"
#include "sandbox/runtime/program.hpp"
#include "sandbox/runtime/progress_page.hpp"
#include "sandbox/runtime/spawner_client.hpp"
#include "sandbox/runtime/standstill.hpp"

namespace assay::sandbox {

/// One evaluation asked for.
struct Work {
  std::string item;
  std::move_only_function<void(Outcome)> done;
  std::shared_ptr<const bool> unwanted;                ///< null: always wanted
  std::shared_ptr<Completions> completions = nullptr;  ///< null: there are no models
  /// How many may be under way in its host, itself among them. Fewer each time a host dies with several: the
  /// one at fault is alone in the end.
  size_t company = SIZE_MAX;

  bool is_unwanted() const { return unwanted && *unwanted; }
};

/// What has been given to a host and has no answer yet is its flights. Most hosts evaluate one after the
/// other and answer in order: the time of a flight begins when it is the first. One of plugins writes several
/// answers at once, and so may be at a later one than the first: a page that it shares says which it is at,
/// and since when. Others (`concurrent`) have many under way and answer in any order: there the time begins
/// when it is sent. Owned by shared pointers: its handlers keep it alive.
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
  /// Of a plugin that was asked for it, once started.
  const std::string& description() const { return description_; }

  /// Reads answers and calls the `done` of their work until the host is gone; `on_progress` after each batch.
  Task<> serve(std::function<void()> on_progress);

  /// Waits for the process to be gone; what the evaluation that it was at ended with.
  Task<Outcome> end(SpawnerClient* spawner);

  /// What has no answer, after end(): `guilty` is the one that the host died of, when that is known.
  struct Leftovers {
    std::optional<Work> guilty;
    std::deque<Work> others;
  };
  Leftovers take_leftovers(const Outcome& ending);

  /// Whether `next` can be written now without waiting long behind others.
  bool has_room(const Work& next) const;
  void send(Work work);
  /// Writes what send() gathered, as far as the socket takes it now; the rest follows by itself.
  void flush();
  /// Ends evaluations that nobody wants any more.
  void drop_unwanted();

  /// The process is killed; the first reason given is the one that counts.
  enum class Kill { none, timeout, unwanted, bad_answer, silent };
  void kill(Kill reason);

  size_t in_flight() const { return flights_.size(); }
  bool had_jail() const { return jail_id_ != 0; }
  bool is_plugin() const { return language_->name == kPlugin; }
  bool is_ready() const { return ready_; }
  bool is_idle() const { return ready_ && flights_.empty(); }
  /// Whether it may be given more; a host that has used much processor time is replaced before its hard
  /// limit.
  bool is_leaving() const { return leaving_ || killed_ != Kill::none; }
  void leave() { leaving_ = true; }
  Clock::time_point ready_since() const { return ready_since_; }
  Clock::time_point last_active() const { return last_active_; }
  void set_window(size_t window) { window_limit_ = window; }

 private:
  struct Flight {
    Work work;
    Clock::time_point since{};  ///< when its time began; not yet: 0
    Deadline deadline = Deadline::max();
    bool is_cancelled = false;  ///< the host was told; `deadline` is how long it may take over that
    // Of its completions that are under way, for which its time stands still.
    size_t asking = 0;
    size_t asked_bytes = 0;
    Clock::duration left{};
    std::shared_ptr<bool> over;         ///< told to them
    uint64_t asked = 0;                 ///< since it began
    std::set<ErrorKind> failed_with{};  ///< of them
  };
  using Flights = std::map<int64_t, Flight>;  // by the id of the request

  Task<Result<void>> load();
  bool read_answers();
  bool take_frame(std::string_view frame);
  bool take_answer(HostAnswer answer);
  bool may_end_with(const Flight& flight, const Outcome& outcome) const;
  bool take_candidate(Candidate candidate);
  bool take_model_call(int64_t id, ModelCall call);
  void completed(int64_t evaluation, int64_t id, size_t bytes, const Result<std::string>& reply);
  void note_progress();
  bool is_concurrent() const { return concurrent_ > 1; }
  bool reads_in_order() const;
  void flush_soon();
  void begin(Flight& flight, Clock::time_point since);
  Flights::const_iterator current() const;
  void look();
  void cancel(int64_t id, Flight& flight);
  static void conclude(Flight& flight);
  Deadline next_deadline() const;
  void arm(Deadline deadline);
  void deadline_passed();
  void recount_company();
  Flights::const_iterator guilty() const;
  Outcome late() const;
  Outcome excuse(Outcome outcome, Clock::time_point since);
  Outcome explain_end(const std::optional<SpawnReply>& reply) const;

  std::shared_ptr<const Program> program_;
  const Language* language_;
  asio::any_io_executor executor_;
  Submit submit_;
  Standstill& standstill_;
  uint64_t jail_id_ = 0;
  UniqueFd pidfd_, listener_;
  std::unique_ptr<ProgressPage> progress_;  // of plugins
  asio::posix::stream_descriptor stream_;
  asio::steady_timer deadline_timer_;
  bool deadline_armed_ = false;
  FrameBuffer frames_;
  AnswerParser parser_;
  size_t concurrent_ = 1;
  std::string description_;

  Flights flights_;
  int64_t next_id_ = 1;        // of the next request
  int64_t late_id_ = 0;        // of the flight for whose lateness the host was killed
  size_t answers_ = 0;         // since note_progress()
  size_t company_ = SIZE_MAX;  // the least that a flight bears
  std::string out_;            // frames not yet written
  size_t out_begin_ = 0;
  bool waiting_to_write_ = false;
  bool flushes_soon_ = false;
  Clock::time_point load_since_{};
  Deadline load_deadline_{};

  bool candidate_runs_ = false;
  std::optional<Outcome> spoilt_;  // what was our fault in the candidate of the first flight
  bool ready_ = false;
  bool leaving_ = false;
  Kill killed_ = Kill::none;
  Clock::time_point ready_since_{}, last_active_{}, last_progress_{};
  std::chrono::duration<double> per_item_{0.002};  // a moving mean, of our own measuring
  std::chrono::microseconds cpu_used_{0};
  size_t asked_bytes_ = 0;  // of the completions under way
  size_t bytes_in_flight_ = 0;
  size_t window_limit_ = 64;
};

/// The largest item that a host takes.
inline constexpr size_t kItemLimit = 15U << 20;

}  // namespace assay::sandbox
