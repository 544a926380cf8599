#include "sandbox/runtime/process/interpreter.hpp"

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>

#include "sandbox/runtime/process/result.hpp"
#include "sandbox/runtime/wire/json_reader.hpp"

namespace assay::sandbox::process {
namespace {

constexpr size_t kHeader = 4;
struct CallMark {
  std::string_view method, mark;
};
// As the runners write them.
constexpr std::array kCallMarks = {CallMark{wire::kRunCandidate, R"({"call":"run_candidate","params":)"},
                                   CallMark{wire::kComplete, R"({"call":"llm.complete","params":)"}};
constexpr int kDeathMs = 100;               // from a kill to the interpreter's word of it
constexpr size_t kResultSlack = 64U << 10;  // beyond the result: JSON's escapes, the message of an error
constexpr int kChannelBytes = 64 << 10;     // the kernel doubles it; two of read_some() take more

struct Channel {
  UniqueFd ours, theirs;
};

std::optional<Channel> make_channel() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return std::nullopt;
  Channel channel{UniqueFd(ends[0]), UniqueFd(ends[1])};
  if (fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) return std::nullopt;
  // However much the machine gives to sockets: what one item leaves in it must not be left for the next.
  if (setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &kChannelBytes, sizeof kChannelBytes) != 0)
    return std::nullopt;
  return channel;
}

/// Of text only: Node takes a pipe for a stream that it may write to at once, and a socket not.
std::optional<Channel> make_log() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return std::nullopt;
  Channel channel{UniqueFd(ends[0]), UniqueFd(ends[1])};
  if (fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) return std::nullopt;
  return channel;
}

std::string framed(std::string_view text) {
  std::string frame(kHeader, '\0');
  for (size_t i = 0; i < kHeader; i++) frame[i] = static_cast<char>(text.size() >> (8 * i) & 0xFF);
  frame += text;
  return frame;
}

/// What the runners are told of a call.
std::string reply_of(const Result<std::string_view>& answer) {
  if (answer) return R"({"result":)" + std::string(*answer) + '}';
  std::string reply = R"({"error":{"kind":)";
  wire::append_json_string(reply, to_string(answer.error().kind));
  reply += R"(,"message":)";
  wire::append_json_string(reply, answer.error().message);
  return reply + "}}";
}

/// Of the first frame in `bytes`.
size_t frame_size(std::string_view bytes) {
  size_t size = 0;
  for (size_t i = 0; i < kHeader && i < bytes.size(); i++)
    size |= size_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  return size;
}

void kill_process(int pidfd) {
  syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
}

int reap(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

Result<std::unique_ptr<Interpreter>> Interpreter::start(const InterpreterPlan& plan,
                                                        const wire::EvaluatorLimits& limits,
                                                        const Surroundings& surroundings) {
  // The loader would pass over a library that is not there.
  const bool is_there = surroundings.library_fd < 0 ? access(surroundings.lock_library.c_str(), R_OK) == 0
                                                    : fcntl(surroundings.library_fd, F_GETFD) >= 0;
  if (!is_there) return fail(ErrorKind::internal, "libassay-lock.so is not there; reinstall assay");
  auto control = make_channel(), results = make_channel(), log = make_log();
  const UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!control || !results || !log || !null) return fail(ErrorKind::internal, "cannot make channels");
  ChildPlan child;
  child.argv = plan.argv;
  child.environment = base_environment(surroundings.has_namespaces);
  child.environment.insert(child.environment.end(), plan.environment.begin(), plan.environment.end());
  child.environment.push_back("LD_PRELOAD=" + surroundings.lock_library);
  child.fds = {null.get(), log->theirs.get(), log->theirs.get(), control->theirs.get(),
               results->theirs.get()};
  if (surroundings.library_fd >= 0) child.fds.push_back(surroundings.library_fd);
  child.folder = plan.folder;
  child.policy = Policy::interpreter;
  child.signals = surroundings.signals;
  child.files = surroundings.has_namespaces ? Files::own : Files::none;
  child.memory_bytes = plan.memory_bytes;
  child.address_space_bytes = plan.address_space_bytes;
  child.cpu_seconds = plan.cpu_seconds;
  child.ruleset = surroundings.ruleset;
  ASSAY_TRY(Child process, start_child(child));
  std::unique_ptr<Interpreter> interpreter(
      new Interpreter(std::move(process), plan.forks, limits, surroundings));
  interpreter->control_ = std::move(control->ours);
  interpreter->results_ = std::move(results->ours);
  interpreter->log_end_ = std::move(log->ours);
  return interpreter;
}

Interpreter::~Interpreter() {
  if (!process_.pidfd) return;
  kill_process(process_.pidfd.get());
  reap(process_.pid);
}

std::string Interpreter::load_request(const wire::EvaluatorSource& source) {
  std::string request = R"({"evaluator":)";
  wire::append_json_string(request, source.name);
  request += R"(,"source":)";
  wire::append_json_string(request, source.source);
  request += R"(,"grants":[)";
  for (const std::string& grant : source.grants) {
    if (!request.ends_with('[')) request += ',';
    wire::append_json_string(request, grant);
  }
  request += R"(],"params":)" + source.params + '}';
  return request;
}

void Interpreter::send(std::string_view text) {
  input_ = framed(text);
  written_ = 0;
  result_.clear();
  reply_.clear();
  failures_.clear();
  record_bytes_ = 0;
  log_.start(limits_.log_bytes);
  end_ = End::none;
  killed_.reset();
  item_ = UniqueFd();
  started_ = false;
  last_ = {};
  write_input();
}

void Interpreter::watch(Deadlines& deadlines) {
  while (end_ == End::none) {
    pollfd polled[] = {
        {control_.get(), static_cast<short>(POLLIN | (written_ < input_.size() ? POLLOUT : 0)), 0},
        {results_.get(), static_cast<short>(POLLIN | (reply_.empty() ? 0 : POLLOUT)), 0},
        {log_end_.get(), POLLIN, 0},
        {process_.pidfd.get(), POLLIN, 0},
        {calls_ ? caller_.fd() : -1, POLLIN, 0}};
    const int count = poll(polled, std::size(polled), killed_ ? kDeathMs : deadlines.patience());
    if ((count < 0 && errno != EINTR) || (count == 0 && killed_) || polled[3].revents != 0) end_ = End::lost;
    if (const auto due = deadlines.due(); due && !killed_) stop(limit_error(*due, deadlines.limits()));
    if ((polled[2].revents & POLLIN) != 0) take_log();
    if ((polled[1].revents & POLLIN) != 0) take_results(deadlines);
    if ((polled[1].revents & POLLOUT) != 0) write_reply(deadlines);
    if (polled[4].revents != 0) answer_call(deadlines);
    if ((polled[0].revents & POLLOUT) != 0) write_input();
    if ((polled[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) take_record(deadlines);
  }
  // Even where its word that the item has ended came before: the next item would find it dead.
  if (was_killed_) end_ = End::lost;
  // Whoever could write here is dead or waits for us: what there is now is all.
  take_results(deadlines);
  take_log();
}

void Interpreter::write_input() {
  const ssize_t count =
      ::send(control_.get(), input_.data() + written_, input_.size() - written_, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (count > 0) written_ += static_cast<size_t>(count);
}

void Interpreter::take_log() {
  read_some(log_end_.get(), [&](std::string_view text) { log_.append(text); });
}

void Interpreter::take_results(Deadlines& deadlines) {
  const size_t limit = std::max(6 * limits_.result_bytes, wire::kCallLimit) + kResultSlack;
  read_some(results_.get(), [&](std::string_view text) {
    result_.append(text.substr(0, limit + 1 - result_.size()));
    if (result_.size() > limit && !killed_) stop(limit_error(ErrorKind::output_limit, limits_));
  });
  take_call(deadlines);
}

/// A whole frame that is a call goes to the pool; anything else is the result, or the beginning of one.
void Interpreter::take_call(Deadlines& deadlines) {
  if (calls_ || !reply_.empty() || killed_ || !loaded_ || result_.size() < kHeader) return;
  const auto* const call = std::ranges::find_if(kCallMarks, [&](const CallMark& known) {
    return std::string_view(result_).substr(kHeader).starts_with(known.mark);
  });
  if (call == kCallMarks.end()) return;
  const size_t size = frame_size(result_);
  if (result_.size() < kHeader + size) return;
  const std::string_view frame = std::string_view(result_).substr(kHeader, size);
  wire::JsonReader reader(frame);
  if (!reader.skip() || !reader.at_end()) return;
  calls_ = true;
  waits_for_model_ = call->method == wire::kComplete;
  if (waits_for_model_) deadlines.stand_still();
  caller_.call(call->method, frame.substr(call->mark.size(), frame.size() - call->mark.size() - 1));
  result_.erase(0, kHeader + size);
}

void Interpreter::answer_call(Deadlines& deadlines) {
  const auto answer = caller_.answer();
  if (!answer) return;
  calls_ = false;
  if (waits_for_model_) deadlines.go_on();
  if (!*answer) failures_.insert(answer->error().kind);
  reply_ = framed(reply_of(*answer));
  write_reply(deadlines);
}

void Interpreter::write_reply(Deadlines& deadlines) {
  const ssize_t count = ::send(results_.get(), reply_.data(), reply_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (count > 0) reply_.erase(0, static_cast<size_t>(count));
  if (count < 0 && errno != EAGAIN && errno != EINTR) reply_.clear();  // it does not want to know
  take_call(deadlines);                                                // another may have come meanwhile
}

void Interpreter::take_record(Deadlines& deadlines) {
  const ssize_t count = recv(control_.get(), reinterpret_cast<char*>(&record_) + record_bytes_,
                             sizeof record_ - record_bytes_, 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) {
    end_ = End::lost;
    return;
  }
  record_bytes_ += static_cast<size_t>(count);
  if (record_bytes_ < sizeof record_) return;
  record_bytes_ = 0;
  last_ = record_;
  // Each kind has its time. An evaluator that writes records itself could pair an item of its own with the
  // result of another, or keep us busy: its interpreter is given up.
  if (!is_due(record_.kind)) {
    end_ = End::lost;
    return;
  }
  switch (record_.kind) {
    case Record::started:
      started_ = true;
      item_ = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, record_.value, 0)));
      deadlines.watch(record_.value);
      if (killed_) stop(Error(*killed_));
      break;
    case Record::ended:
      end_ = End::ended;
      break;
    case Record::loaded:
      end_ = End::loaded;
      loaded_ = true;
      break;
    case Record::refused:
      end_ = End::refused;
      break;
    case Record::not_started:
      end_ = End::not_started;
      break;
    default:  // is never due
      break;
  }
}

bool Interpreter::awaits_answer() const {
  int unread = 0;
  return calls_ || !reply_.empty() || (ioctl(results_.get(), SIOCOUTQ, &unread) == 0 && unread > 0);
}

bool Interpreter::is_due(int32_t kind) const {
  switch (kind) {
    case Record::started:
    case Record::not_started:
      return forks_ && loaded_ && !started_;
    case Record::ended:
      return loaded_;
    case Record::loaded:
    case Record::refused:
      return !loaded_;
    default:
      return false;
  }
}

/// Kills the item's process, or the interpreter when there is none to be seen. Without namespaces the
/// interpreter's word for a process could be any of this machine's: then the interpreter, whose children die
/// with it.
void Interpreter::stop(Error reason) {
  killed_ = std::move(reason);
  if (item_ && has_namespaces_) return kill_process(item_.get());
  kill_process(process_.pidfd.get());
  was_killed_ = true;
}

void Interpreter::conclude(const Accounting& accounting, wire::Answer& answer) {
  std::optional<Error> loss;
  if (end_ == End::lost) loss = error_of_loss();
  if (accounting.killed_for_memory()) {
    answer.error = limit_error(ErrorKind::memory_limit, limits_);
  } else if (killed_) {
    answer.error = killed_;
  } else if (loss) {
    answer.error = std::move(loss);
  } else if (end_ == End::not_started) {
    answer.error =
        Error{ErrorKind::pids_limit,
              "no process could be started for the item: the evaluator's top level has taken them all"};
  } else if (auto error = error_of_status(end_ == End::ended ? last_.value : 0)) {
    if (error->kind == ErrorKind::evaluator_error) {
      error->kind = ErrorKind::crashed;
      error->message = "the process of the item " + error->message + " without an answer";
    }
    answer.error = std::move(error);
  } else {
    read_frame(answer);
  }
}

/// How the process itself came to its end.
std::optional<Error> Interpreter::error_of_loss() {
  if (!process_.pidfd) return Error{ErrorKind::crashed, "the interpreter ended"};
  kill_process(process_.pidfd.get());
  const int status = reap(process_.pid);
  process_.pidfd.reset();
  // SIGKILL is ours: the interpreter had closed its end.
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
    return Error{ErrorKind::crashed, "the interpreter broke off"};
  auto error = error_of_status(status).value_or(Error{ErrorKind::crashed, "the interpreter ended"});
  if (error.kind == ErrorKind::evaluator_error) error.kind = ErrorKind::crashed;
  return error;
}

void Interpreter::read_frame(wire::Answer& answer) const {
  const size_t size = frame_size(result_);
  if (result_.empty()) {
    answer.error = Error{ErrorKind::crashed, "the process of the item ended without an answer"};
  } else if (result_.size() != kHeader + size) {
    answer.error = Error{ErrorKind::bad_result, "the evaluator's process answered with what is no answer"};
  } else if (size > limits_.result_bytes && end_ != End::refused) {
    answer.error = limit_error(ErrorKind::output_limit, limits_);
  } else {
    read_result(std::string_view(result_).substr(kHeader), answer, failures_);
  }
}

Error loading_error(Interpreter& interpreter, const Accounting& accounting) {
  wire::Answer answer;
  interpreter.conclude(accounting, answer);
  Error error =
      answer.error.value_or(Error{ErrorKind::config, "the evaluator answered while it was being loaded"});
  if (error.kind != ErrorKind::internal) error.kind = ErrorKind::config;
  if (interpreter.end() == Interpreter::End::refused) return error;
  error.message = "loading the evaluator: " + error.message;
  append_tail(error.message, interpreter.log());
  return error;
}

}  // namespace assay::sandbox::process
