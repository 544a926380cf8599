#include "sandbox/runtime/host.hpp"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "core/check.hpp"
#include "sandbox/runtime/wire/exit_code.hpp"

namespace assay::sandbox {
namespace {

using namespace std::chrono_literals;

constexpr size_t kReadSize = 64U << 10;
constexpr size_t kBytesInFlight = 4U << 20;             // ahead of need
constexpr size_t kConcurrentBytesInFlight = 32U << 20;  // all under way at once
constexpr auto kStartPatience = 5s;
constexpr std::chrono::duration<double> kQueueTime =
    10ms;                              // of work written ahead; more would only wait there
constexpr size_t kSmallestWindow = 2;  // one running, one behind it

// Of one evaluation, and of the requests together.
constexpr size_t kCompletionsAtOnce = 64;
constexpr size_t kCompletionBytesAtOnce = 16U << 20;
constexpr size_t kReplyLimit = 15U << 20;
constexpr uint64_t kCallsOfPlugins =
    1'000;  // of one evaluation at least; theirs are no loops of a user's code
// Of all evaluations of a host.
constexpr size_t kCompletionBytesOfHost = 64U << 20;
constexpr size_t kUnreadBytes = 64U << 20;  // of answers, besides items
constexpr std::chrono::hours kLongestCpu{24};

// After a host died with n flights each may have n / kParts of company: so few host starts find the one at
// fault among thousands, and few of the others wait for it.
constexpr size_t kParts = 8;

constexpr std::chrono::minutes kCpuSoftLimit{30};  // the host is replaced

constexpr auto kEndPatience = 200ms;  // between the end of what a process writes and its own

constexpr const char* kStoodStill = "the worker stood still meanwhile, and time went on";

/// Hosts keep to it themselves; a plugin is in its host's own process.
bool is_outsized(const Outcome& outcome, const Limits& limits) {
  constexpr size_t kBesides = 4096;  // the marks of what was left out
  size_t bytes = outcome.reason.size() + outcome.error.message.size();
  for (const auto& [name, value] : outcome.metrics) bytes += name.size() + sizeof value;
  return bytes > limits.result_bytes + kBesides || outcome.log.size() > limits.log_bytes + kBesides;
}

std::string signal_name(int signal) {
  const char* const name = sigabbrev_np(signal);
  return name != nullptr ? std::string("SIG") + name : "signal " + std::to_string(signal);
}

}  // namespace

Host::Host(asio::any_io_executor executor, std::shared_ptr<const Program> program, const Language* language,
           Submit submit, Standstill& standstill)
    : program_(std::move(program)),
      language_(language),
      executor_(executor),
      submit_(std::move(submit)),
      standstill_(standstill),
      stream_(executor),
      deadline_timer_(executor),
      frames_(answer_limit(program_->limits)),
      parser_(program_->may_ask_models()) {}

Task<Result<void>> Host::start(SpawnerClient* spawner, int host_fd, JailAccess access) {
  const JailLimits limits = jail_limits(*language_, program_->limits.memory_bytes);
  ASSAY_CO_TRY(SpawnerClient::Jail jail, co_await spawner->make(host_fd, language_->profile, limits, access));
  jail_id_ = jail.id;
  pidfd_ = std::move(jail.pidfd);
  listener_ = std::move(jail.listener);
  stream_.assign(jail.protocol.release());
  stream_.native_non_blocking(true);
  if (killed_ != Kill::none) {  // while it was being made
    const Kill reason = std::exchange(killed_, Kill::none);
    kill(reason);
  }
  append_initialize_request(out_, 0, *program_);
  if (is_plugin()) {
    ASSAY_CO_TRY(progress_, ProgressPage::make());
    const ssize_t sent = progress_->send_with(stream_.native_handle(), out_);
    if (sent < 0) co_return fail_errno(ErrorKind::internal, "the host cannot be written to", errno);
    out_begin_ = static_cast<size_t>(sent);
  }
  flush();
  // The host says itself when the top level breaks its limits.
  load_since_ = standstill_.mark();
  load_deadline_ = load_since_ + kStartPatience + std::max(program_->limits.load, program_->limits.wall);
  arm(load_deadline_);
  Result<void> loaded = co_await load();
  if (!loaded) co_return loaded;
  ready_ = true;
  ready_since_ = last_active_ = last_progress_ = Clock::now();
  co_return Result<void>();
}

// Reads until the answer to initialize is there.
Task<Result<void>> Host::load() {
  while (true) {
    if (const auto frame = frames_.next()) {
      auto answer = parser_.parse(*frame);
      if (!answer || answer->id != 0 || answer->candidate || answer->model_call)
        co_return fail(ErrorKind::internal, "the host answered with what is no answer");
      concurrent_ = answer->concurrent;
      description_ = std::move(answer->description);
      if (!answer->has_outcome) co_return Result<void>();
      kill(Kill::unwanted);
      if (standstill_.any_since(load_since_)) co_return fail(ErrorKind::internal, kStoodStill);
      co_return std::unexpected(answer->outcome.error);
    }
    boost::system::error_code error;
    co_await stream_.async_wait(asio::posix::stream_descriptor::wait_read,
                                asio::redirect_error(asio::use_awaitable, error));
    if (error || !read_answers()) {
      const auto what =
          killed_ == Kill::timeout ? "the host took too long to start" : "the host ended while starting";
      co_return fail(ErrorKind::internal, what);
    }
  }
}

Task<> Host::serve(std::function<void()> on_progress) {
  bool open = true;
  while (open) {
    while (const auto frame = frames_.next()) {
      if (!take_frame(*frame)) {
        kill(Kill::bad_answer);
        co_return;
      }
    }
    if (frames_.broken()) {
      kill(Kill::bad_answer);
      co_return;
    }
    if (answers_ > 0) {
      note_progress();
      on_progress();
    }
    boost::system::error_code error;
    co_await stream_.async_wait(asio::posix::stream_descriptor::wait_read,
                                asio::redirect_error(asio::use_awaitable, error));
    open = !error && read_answers();
  }
}

/// Reads what is there into frames_; false at the end.
bool Host::read_answers() {
  char buffer[kReadSize];
  const ssize_t count = ::recv(stream_.native_handle(), buffer, sizeof buffer, MSG_DONTWAIT);
  if (count < 0) return errno == EAGAIN || errno == EINTR;
  frames_.append({buffer, static_cast<size_t>(count)});
  return count > 0;
}

/// False for what breaks the protocol.
bool Host::take_frame(std::string_view frame) {
  auto answer = parser_.parse(frame);
  if (!answer) return false;
  if (answer->candidate) return take_candidate(std::move(*answer->candidate));
  if (answer->model_call) return take_model_call(answer->id, std::move(*answer->model_call));
  return take_answer(std::move(*answer));
}

bool Host::take_answer(HostAnswer answer) {
  const auto found = is_concurrent() ? flights_.find(answer.id) : flights_.begin();
  if (!answer.has_outcome || found == flights_.end() || found->first != answer.id ||
      !may_end_with(found->second, answer.outcome))
    return false;
  Flight flight = std::move(flights_.extract(found).mapped());
  answers_++;
  bytes_in_flight_ -= flight.work.item.size();
  conclude(flight);
  if (flight.work.company != SIZE_MAX) recount_company();
  cpu_used_ += std::min<std::chrono::microseconds>(answer.outcome.usage.cpu, kLongestCpu);
  if (cpu_used_ > kCpuSoftLimit) leave();
  Outcome outcome = flight.is_cancelled ? late() : std::move(answer.outcome);
  if (is_plugin() && is_outsized(outcome, program_->limits))
    outcome = Outcome::errored(ErrorKind::output_limit, "the result is larger than " +
                                                            std::to_string(program_->limits.result_bytes) +
                                                            " bytes, or the log than it may be");
  outcome = excuse(std::move(outcome), flight.since);
  if (flight.work.is_unwanted()) outcome = Outcome::errored(ErrorKind::cancelled, "nobody wants it any more");
  if (!is_concurrent() && !flights_.empty() && flights_.begin()->second.since == Clock::time_point{})
    begin(flights_.begin()->second, standstill_.mark());
  flight.work.done(std::move(outcome));
  return true;
}

/// Plugins judge, and say what comes of it; of code that asks models it is known what they failed with.
bool Host::may_end_with(const Flight& flight, const Outcome& outcome) const {
  return is_plugin() || outcome.verdict != Verdict::errored || !is_of_models(outcome.error.kind) ||
         flight.failed_with.contains(outcome.error.kind);
}

/// The evaluator waits for it, so there is one at a time, and it ends when the evaluator's own time does.
bool Host::take_candidate(Candidate candidate) {
  if (!program_->is_granted("candidate") || is_concurrent() || flights_.empty() || candidate_runs_)
    return false;
  candidate_runs_ = true;
  auto program = std::make_shared<Program>();
  program->name = kCandidate;
  program->language = kCandidate;
  program->limits = candidate.limits;
  const Flight& asks = flights_.begin()->second;
  const auto left = (asks.asking > 0 ? asks.left : asks.deadline - Clock::now()) - wire::kKillGrace;
  const auto wall_ms =
      std::max<int64_t>(1, std::chrono::duration_cast<std::chrono::milliseconds>(left).count());
  std::string item = R"({"wall_ms":)" + std::to_string(wall_ms) + R"(,"program":)" + candidate.item + '}';
  submit_(std::move(program), std::move(item), [weak = weak_from_this()](Outcome outcome) {
    const auto self = weak.lock();
    if (!self || !self->stream_.is_open()) return;
    self->candidate_runs_ = false;
    if (outcome.verdict == Verdict::errored && outcome.error.kind == ErrorKind::internal)
      self->spoilt_ = outcome;
    append_candidate_answer(self->out_, outcome);
    self->flush();
  });
  return true;
}

bool Host::take_model_call(int64_t id, ModelCall call) {
  const auto found = is_concurrent() ? flights_.find(call.evaluation) : flights_.begin();
  if (found == flights_.end() || found->first != call.evaluation) return false;
  Flight& flight = found->second;
  const auto refuse = [&](ErrorKind kind, std::string message) {
    append_completion(out_, id, fail(kind, std::move(message)));
    flush();
    return true;
  };
  if (!program_->may_ask_models())
    return refuse(ErrorKind::config,
                  R"(the evaluator was not granted llm: add grants = ["llm"] to its definition)");
  if (!flight.work.completions) return refuse(ErrorKind::config, "this worker has no models");
  if (flight.is_cancelled) return refuse(ErrorKind::cancelled, "the evaluation is cancelled");
  const uint64_t wanted = program_->limits.llm_calls;
  const uint64_t most = is_plugin() ? std::max(wanted, kCallsOfPlugins) : wanted;
  if (flight.asked >= most)
    return refuse(ErrorKind::config, "the evaluator made more than " + std::to_string(most) +
                                         " model calls for one item: its limits may have a larger llm_calls");
  flight.asked++;
  const size_t bytes = call.request.size();
  if (flight.asking >= kCompletionsAtOnce || flight.asked_bytes + bytes > kCompletionBytesAtOnce)
    return refuse(ErrorKind::config, "an evaluation may have 64 completions of 16 MiB together under way");
  if (asked_bytes_ + bytes > kCompletionBytesOfHost)
    return refuse(ErrorKind::config, "the evaluations of a host may have 64 MiB of completions under way");
  if (flight.asking++ == 0) {
    flight.left = flight.deadline - Clock::now();
    flight.deadline = Deadline::max();
  }
  flight.asked_bytes += bytes;
  asked_bytes_ += bytes;
  if (!flight.over) flight.over = std::make_shared<bool>(false);
  flight.work.completions->complete(
      std::move(call.request), flight.over,
      [weak = weak_from_this(), evaluation = call.evaluation, id, bytes](const Result<std::string>& reply) {
        if (const auto self = weak.lock()) self->completed(evaluation, id, bytes, reply);
      });
  return true;
}

void Host::completed(int64_t evaluation, int64_t id, size_t bytes, const Result<std::string>& reply) {
  const auto found = flights_.find(evaluation);
  if (!stream_.is_open() || found == flights_.end()) return;
  Flight& flight = found->second;
  if (!reply) flight.failed_with.insert(reply.error().kind);
  flight.asked_bytes -= bytes;
  asked_bytes_ -= bytes;
  if (--flight.asking == 0 && !flight.is_cancelled) {
    flight.deadline = Clock::now() + flight.left;
    arm(flight.deadline);
  }
  if (reply && reply->size() > kReplyLimit)
    append_completion(out_, id, fail(ErrorKind::config, "the model's answer is larger than 15 MiB"));
  else
    append_completion(out_, id, reply);
  flush_soon();
}

/// Once for all that comes in one turn of the loop.
void Host::flush_soon() {
  if (std::exchange(flushes_soon_, true)) return;
  asio::post(executor_, [self = shared_from_this()] {
    self->flushes_soon_ = false;
    self->flush();
  });
}

void Host::note_progress() {
  const auto now = Clock::now();
  const std::chrono::duration<double> took =
      (now - last_progress_) / static_cast<double>(std::exchange(answers_, 0));
  per_item_ = (per_item_ * 7 + took) / 8;
  last_progress_ = last_active_ = now;
}

bool Host::has_room(const Work& next) const {
  if (!ready_ || is_leaving() || flights_.size() >= std::min(company_, next.company)) return false;
  if (is_concurrent()) return flights_.size() < concurrent_ && bytes_in_flight_ < kConcurrentBytesInFlight;
  if (reads_in_order()) return flights_.empty();
  const double worth = kQueueTime / per_item_;
  const size_t window =
      worth >= static_cast<double>(window_limit_) ? window_limit_ : static_cast<size_t>(worth);
  return bytes_in_flight_ < kBytesInFlight &&
         flights_.size() < std::clamp(window, std::min(kSmallestWindow, window_limit_), window_limit_);
}

/// The answer to its call is the next that it reads.
bool Host::reads_in_order() const {
  return !is_plugin() && (program_->is_granted("candidate") || program_->may_ask_models());
}

void Host::send(Work work) {
  const int64_t id = next_id_++;
  append_evaluate_request(out_, id, work.item);
  bytes_in_flight_ += work.item.size();
  company_ = std::min(company_, work.company);
  Flight& flight = flights_.emplace_hint(flights_.end(), id, Flight{std::move(work)})->second;
  if (flights_.size() == 1) last_progress_ = last_active_ = Clock::now();
  if (is_concurrent() || flights_.size() == 1) begin(flight, standstill_.mark());
}

void Host::flush() {
  if (!stream_.is_open()) return;
  if (out_.size() - out_begin_ > kUnreadBytes + bytes_in_flight_) return kill(Kill::bad_answer);
  if (waiting_to_write_) return;
  while (out_begin_ < out_.size()) {
    const ssize_t count = ::send(stream_.native_handle(), out_.data() + out_begin_, out_.size() - out_begin_,
                                 MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count >= 0) {
      out_begin_ += static_cast<size_t>(count);
    } else if (errno == EAGAIN) {
      waiting_to_write_ = true;
      stream_.async_wait(asio::posix::stream_descriptor::wait_write,
                         [self = shared_from_this()](boost::system::error_code error) {
                           self->waiting_to_write_ = false;
                           if (!error) self->flush();
                         });
      return;
    } else if (errno != EINTR) {
      break;  // the host is gone; the reader sees the end too
    }
  }
  out_.clear();
  out_begin_ = 0;
}

void Host::begin(Flight& flight, Clock::time_point since) {
  flight.since = since;
  // One of several is cancelled first; else the host ends by itself what is late, or is killed.
  const auto grace = is_concurrent() ? Clock::duration::zero() : wire::kKillGrace;
  flight.deadline = flight.since + program_->limits.wall + grace;
  arm(flight.deadline);
}

/// The flight that a host which evaluates in order is at; end() when it has none.
Host::Flights::const_iterator Host::current() const {
  const auto found = progress_ ? flights_.find(progress_->evaluation()) : flights_.end();
  return found == flights_.end() ? flights_.begin() : found;
}

/// Those before the current flight have ended, but their answers are not written yet. Its time counts from
/// when it was first seen at the latest, whatever the host says.
void Host::look() {
  if (is_concurrent() || flights_.empty()) return;
  Flight& at = flights_.at(current()->first);
  if (at.since != Clock::time_point{}) return;
  const auto now = standstill_.mark();
  begin(at, std::clamp(progress_->began(), std::min(flights_.begin()->second.since, now), now));
}

/// What may have stayed behind of it in the host goes with the host.
void Host::cancel(int64_t id, Flight& flight) {
  conclude(flight);
  flight.is_cancelled = true;
  flight.deadline = Clock::now() + wire::kKillGrace;
  append_cancel(out_, id);
  arm(flight.deadline);
  leave();
}

/// Nobody needs its completions any more.
void Host::conclude(Flight& flight) {
  if (flight.over) *flight.over = true;
}

Deadline Host::next_deadline() const {
  if (!ready_) return load_deadline_;
  if (flights_.empty()) return Deadline::max();
  if (!is_concurrent()) {
    const Flight& at = current()->second;
    return at.since == Clock::time_point{} ? flights_.begin()->second.deadline : at.deadline;
  }
  Deadline next = Deadline::max();
  for (const auto& [id, flight] : flights_) next = std::min(next, flight.deadline);
  return next;
}

// The timer is not moved with every flight: it looks at the deadlines of the moment when it fires.
void Host::arm(Deadline deadline) {
  if (killed_ != Kill::none || deadline == Deadline::max()) return;
  if (deadline_armed_ && deadline_timer_.expiry() <= deadline) return;
  deadline_armed_ = true;
  deadline_timer_.expires_at(deadline);  // ends an earlier wait with an error
  deadline_timer_.async_wait([self = shared_from_this()](boost::system::error_code error) {
    if (error) return;
    self->deadline_armed_ = false;
    self->look();
    if (Clock::now() >= self->next_deadline()) self->deadline_passed();
    self->arm(self->next_deadline());
  });
}

void Host::deadline_passed() {
  if (!is_concurrent() && !flights_.empty()) late_id_ = current()->first;
  if (!ready_ || !is_concurrent()) return kill(Kill::timeout);
  const auto now = Clock::now();
  for (auto& [id, flight] : flights_) {
    if (flight.deadline > now) continue;
    if (flight.is_cancelled) {  // it does not even give up: the host's thread is stuck, in the first such
      late_id_ = id;
      return kill(Kill::timeout);
    }
    cancel(id, flight);
  }
  flush();
}

void Host::drop_unwanted() {
  if (!is_concurrent()) {
    if (!flights_.empty() && flights_.begin()->second.work.is_unwanted()) kill(Kill::unwanted);
    return;
  }
  for (auto& [id, flight] : flights_)
    if (flight.work.is_unwanted() && !flight.is_cancelled) cancel(id, flight);
  flush();
}

void Host::recount_company() {
  company_ = SIZE_MAX;
  for (const auto& [id, flight] : flights_) company_ = std::min(company_, flight.work.company);
}

void Host::kill(Kill reason) {
  if (killed_ != Kill::none) return;
  killed_ = reason;
  if (pidfd_) syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
}

Task<Outcome> Host::end(SpawnerClient* spawner) {
  look();
  ready_ = false;
  // It ends by itself, unless only its end of the socket is closed.
  deadline_timer_.expires_after(kEndPatience);
  deadline_timer_.async_wait([self = shared_from_this()](boost::system::error_code error) {
    if (!error) self->kill(Kill::silent);
  });
  boost::system::error_code ignored;
  stream_.close(ignored);
  std::optional<SpawnReply> reply;
  if (pidfd_) reply = co_await spawner->wait_end(jail_id_);
  deadline_timer_.cancel();
  pidfd_.reset();
  const auto found = guilty();
  co_return excuse(explain_end(reply), found == flights_.end() ? load_since_ : found->second.since);
}

/// The flight that the host died of, if it died of one; end() when it could be any of several.
Host::Flights::const_iterator Host::guilty() const {
  if (!is_concurrent() && killed_ != Kill::timeout) return current();
  if (flights_.size() == 1) return flights_.begin();
  return killed_ == Kill::timeout ? flights_.find(late_id_) : flights_.end();
}

Host::Leftovers Host::take_leftovers(const Outcome& ending) {
  Leftovers left;
  const bool is_blameless = ending.error.kind == ErrorKind::cancelled;
  const auto found = is_blameless ? flights_.cend() : guilty();
  const size_t company =
      is_blameless || found != flights_.cend() ? SIZE_MAX : std::max<size_t>(1, flights_.size() / kParts);
  const int64_t id = found == flights_.cend() ? 0 : found->first;
  for (auto& [flight_id, flight] : std::exchange(flights_, {})) {
    conclude(flight);
    if (flight_id == id) {
      left.guilty = std::move(flight.work);
      continue;
    }
    flight.work.company = std::min(flight.work.company, company);
    left.others.push_back(std::move(flight.work));
  }
  return left;
}

/// What the evaluator made of it counts only where we did our part. Called once for each item.
Outcome Host::excuse(Outcome outcome, Clock::time_point since) {
  if (const auto spoilt = std::exchange(spoilt_, std::nullopt)) return *spoilt;
  if (outcome.verdict == Verdict::errored && outcome.error.kind == ErrorKind::timeout &&
      standstill_.any_since(since))
    return Outcome::errored(ErrorKind::internal, kStoodStill);
  return outcome;
}

Outcome Host::late() const {
  return Outcome::errored(ErrorKind::timeout,
                          "took longer than " + std::to_string(program_->limits.wall.count()) + " ms");
}

Outcome Host::explain_end(const std::optional<SpawnReply>& reply) const {
  using namespace wire;
  const auto& limits = program_->limits;
  switch (killed_) {
    case Kill::timeout:
      return late();
    case Kill::unwanted:
      return Outcome::errored(ErrorKind::cancelled, "the sandbox was closed");
    case Kill::bad_answer:
      return Outcome::errored(ErrorKind::bad_result, "the evaluator's process broke the protocol");
    case Kill::silent:
      return Outcome::errored(ErrorKind::crashed, "the evaluator's process closed its socket");
    case Kill::none:
      break;
  }
  if (!reply) return Outcome::errored(ErrorKind::internal, "the sandbox's spawner ended");
  if (!reply->signalled) {
    if (reply->status == kExitSpent && !is_plugin())
      return Outcome::errored(ErrorKind::cancelled, "the host made way for another");
    if (reply->status == kExitTimeout) return late();
    if (reply->status == kExitCpuLimit)
      return Outcome::errored(ErrorKind::cpu_limit, "used more than " + std::to_string(limits.cpu.count()) +
                                                        " ms of processor time");
    return Outcome::errored(ErrorKind::crashed,
                            "the evaluator's process exited with code " + std::to_string(reply->status));
  }
  switch (reply->status) {
    case SIGSYS:
      return Outcome::errored(ErrorKind::policy_violation,
                              "the evaluator's process made a forbidden system call");
    case SIGXCPU:
      return Outcome::errored(ErrorKind::cpu_limit, "the evaluator's process used up its processor time");
    case SIGKILL:
      return Outcome::errored(
          ErrorKind::memory_limit,
          "the evaluator's process was killed by the kernel, most likely for want of memory");
    default:
      return Outcome::errored(ErrorKind::crashed,
                              "the evaluator's process was ended by " + signal_name(reply->status));
  }
}

}  // namespace assay::sandbox
