#include "sandbox/runtime/host.hpp"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
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
constexpr size_t kBytesInFlight = 4U << 20;
constexpr auto kStartPatience = 5s;
constexpr std::chrono::duration<double> kQueueTime =
    10ms;                              // of work written ahead; more would only wait there
constexpr size_t kSmallestWindow = 2;  // one running, one behind it

constexpr std::chrono::minutes kCpuSoftLimit{30};  // the host is replaced

constexpr const char* kStoodStill = "the worker stood still meanwhile, and time went on";

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
      frames_(answer_limit(program_->limits)) {}

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
  flush();
  // The host says itself when the top level breaks its limits.
  head_since_ = standstill_.mark();
  head_deadline_ = head_since_ + kStartPatience + std::max(program_->limits.load, program_->limits.wall);
  arm_deadline();
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
      const auto answer = parser_.parse(*frame);
      if (!answer || answer->id != 0)
        co_return fail(ErrorKind::internal, "the host answered with what is no answer");
      if (!answer->has_outcome) co_return Result<void>();
      kill(Kill::unwanted);
      if (standstill_.any_since(head_since_)) co_return fail(ErrorKind::internal, kStoodStill);
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
    size_t answers = 0;
    while (const auto frame = frames_.next()) {
      if (!take_answer(*frame)) {
        kill(Kill::bad_answer);
        co_return;
      }
      answers++;
    }
    if (frames_.broken()) {
      kill(Kill::bad_answer);
      co_return;
    }
    if (answers > 0) note_progress(answers);
    if (answers > 0) on_progress();
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

bool Host::take_answer(std::string_view frame) {
  auto answer = parser_.parse(frame);
  if (answer && answer->candidate) return take_candidate(std::move(*answer->candidate));
  if (!answer || !answer->has_outcome || in_flight_.empty() || answer->id != head_id_) return false;
  Work work = std::move(in_flight_.front());
  in_flight_.pop_front();
  head_id_++;
  bytes_in_flight_ -= work.item.size();
  cpu_used_ += answer->outcome.usage.cpu;
  if (cpu_used_ > kCpuSoftLimit) leave();
  Outcome outcome = excuse(std::move(answer->outcome));
  head_changed();
  work.done(std::move(outcome));
  return true;
}

/// The evaluator waits for it, so there is one at a time, and it ends when the evaluator's own time does.
bool Host::take_candidate(Candidate candidate) {
  if (!program_->is_granted("candidate") || in_flight_.empty() || candidate_runs_) return false;
  candidate_runs_ = true;
  auto program = std::make_shared<Program>();
  program->name = kCandidate;
  program->language = kCandidate;
  program->limits = candidate.limits;
  const auto left = head_deadline_ - wire::kKillGrace - Clock::now();
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

void Host::note_progress(size_t answers) {
  const auto now = Clock::now();
  const std::chrono::duration<double> took = (now - last_progress_) / static_cast<double>(answers);
  per_item_ = (per_item_ * 7 + took) / 8;
  last_progress_ = last_active_ = now;
}

bool Host::has_room() const {
  if (!ready_ || is_leaving() || bytes_in_flight_ >= kBytesInFlight) return false;
  if (program_->is_granted("candidate"))  // the answer to its call is the next that it reads
    return in_flight_.empty();
  const double worth = kQueueTime / per_item_;
  const size_t window =
      worth >= static_cast<double>(window_limit_) ? window_limit_ : static_cast<size_t>(worth);
  return in_flight_.size() < std::clamp(window, std::min(kSmallestWindow, window_limit_), window_limit_);
}

void Host::send(Work work) {
  append_evaluate_request(out_, next_id_++, work.item);
  bytes_in_flight_ += work.item.size();
  in_flight_.push_back(std::move(work));
  if (in_flight_.size() > 1) return;
  last_progress_ = last_active_ = Clock::now();
  head_changed();
}

void Host::flush() {
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

void Host::head_changed() {
  if (in_flight_.empty()) return;
  head_since_ = standstill_.mark();
  head_deadline_ = head_since_ + program_->limits.wall + wire::kKillGrace;
  arm_deadline();
}

// The timer is not moved with every item: it looks at the deadline of the moment when it fires.
void Host::arm_deadline() {
  if (deadline_armed_ && deadline_timer_.expiry() <= head_deadline_) return;
  deadline_armed_ = true;
  deadline_timer_.expires_at(head_deadline_);  // ends an earlier wait with an error
  deadline_timer_.async_wait([self = shared_from_this()](boost::system::error_code error) {
    if (error) return;
    self->deadline_armed_ = false;
    if (self->is_idle()) return;
    if (Clock::now() >= self->head_deadline_)
      self->kill(Kill::timeout);
    else
      self->arm_deadline();
  });
}

void Host::kill(Kill reason) {
  if (killed_ != Kill::none) return;
  killed_ = reason;
  if (pidfd_) syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
}

Task<Outcome> Host::end(SpawnerClient* spawner) {
  if (killed_ == Kill::none && pidfd_) syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
  ready_ = false;
  deadline_timer_.cancel();
  boost::system::error_code ignored;
  stream_.close(ignored);
  std::optional<SpawnReply> reply;
  if (pidfd_) reply = co_await spawner->wait_end(jail_id_);
  pidfd_.reset();
  co_return excuse(explain_end(reply));
}

/// What the evaluator made of it counts only where we did our part. Called once for each item.
Outcome Host::excuse(Outcome outcome) {
  if (const auto spoilt = std::exchange(spoilt_, std::nullopt)) return *spoilt;
  if (outcome.verdict == Verdict::errored && outcome.error.kind == ErrorKind::timeout &&
      standstill_.any_since(head_since_))
    return Outcome::errored(ErrorKind::internal, kStoodStill);
  return outcome;
}

Outcome Host::explain_end(const std::optional<SpawnReply>& reply) const {
  using namespace wire;
  const auto& limits = program_->limits;
  const auto timeout = [&] {
    return Outcome::errored(ErrorKind::timeout,
                            "took longer than " + std::to_string(limits.wall.count()) + " ms");
  };
  switch (killed_) {
    case Kill::timeout:
      return timeout();
    case Kill::unwanted:
      return Outcome::errored(ErrorKind::cancelled, "the sandbox was closed");
    case Kill::bad_answer:
      return Outcome::errored(ErrorKind::bad_result, "the evaluator's process broke the protocol");
    case Kill::none:
      break;
  }
  if (!reply) return Outcome::errored(ErrorKind::internal, "the sandbox's spawner ended");
  if (!reply->signalled) {
    if (reply->status == kExitSpent)
      return Outcome::errored(ErrorKind::cancelled, "the host made way for another");
    if (reply->status == kExitTimeout) return timeout();
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
