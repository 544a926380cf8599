// Evaluators that are programs: the item as JSON on standard input, the result as JSON on standard output,
// standard error is the log. One item is all that a jail ever runs.
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <memory>

#include "sandbox/runtime/process/child.hpp"
#include "sandbox/runtime/process/result.hpp"
#include "sandbox/runtime/wire/json_reader.hpp"

namespace assay::sandbox::process {
namespace {

constexpr const char* kScript = "/tmp/evaluator";
constexpr size_t kParamsLimit = 64U << 10;

bool make_output_pipe(UniqueFd& ours, UniqueFd& theirs, bool we_read) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  ours = UniqueFd(ends[we_read ? 0 : 1]);
  theirs = UniqueFd(ends[we_read ? 1 : 0]);
  return fcntl(ours.get(), F_SETFL, O_NONBLOCK) == 0;
}

class Command : public Runtime {
 public:
  Command(wire::EvaluatorSource source, std::vector<std::string> argv, Surroundings surroundings)
      : source_(std::move(source)), surroundings_(surroundings) {
    plan_.argv = std::move(argv);
    plan_.environment = base_environment(surroundings.has_namespaces);
    plan_.environment.push_back("ASSAY_PARAMS=" + source_.params);
    plan_.policy = Policy::command;
    plan_.signals = surroundings.signals;
    // The group limits all processes together, and tells of it.
    if (!surroundings.accounting.has_group()) plan_.memory_bytes = source_.limits.memory_bytes;
    plan_.cpu_seconds = static_cast<uint64_t>(source_.limits.cpu.count() / 1000 + 2);
    plan_.ruleset = surroundings.ruleset;
  }

  wire::Answer evaluate(std::string_view item) override {
    spent_ = true;
    wire::Answer answer;
    log_.start(source_.limits.log_bytes);
    accounting().start();
    Deadlines deadlines(source_.limits);
    deadlines.watch(accounting());
    run(item, deadlines, answer);
    answer.wall = deadlines.elapsed();
    answer.log = log_.text();
    return answer;
  }

  bool is_spent() const override { return spent_; }

 private:
  Accounting& accounting() { return surroundings_.accounting; }

  void run(std::string_view item, Deadlines& deadlines, wire::Answer& answer) {
    UniqueFd in, out, err, their_in, their_out, their_err;
    if (!make_output_pipe(in, their_in, false) || !make_output_pipe(out, their_out, true) ||
        !make_output_pipe(err, their_err, true)) {
      answer.error = Error{ErrorKind::internal, "cannot make pipes"};
      return;
    }
    plan_.fds = {their_in.get(), their_out.get(), their_err.get()};
    auto child = start_child(plan_);
    if (!child) {
      answer.error = child.error();
      return;
    }
    for (UniqueFd* fd : {&their_in, &their_out, &their_err}) fd->reset();
    deadlines.watch(child->pid);
    const std::string input = with_text(item) + "\n";
    watch(*child, input, in, out, err, deadlines);
    finish(*child, out, err, answer);
  }

  /// Until the program has ended or was killed.
  void watch(const Child& child, std::string_view input, UniqueFd& in, UniqueFd& out, UniqueFd& err,
             Deadlines& deadlines) {
    while (true) {
      pollfd polled[] = {{child.pidfd.get(), POLLIN, 0},
                         {out.get(), POLLIN, 0},
                         {err.get(), POLLIN, 0},
                         {in.get(), POLLOUT, 0}};  // a descriptor of -1 is passed over
      const int count = poll(polled, std::size(polled), deadlines.patience());
      if (count < 0 && errno != EINTR) {
        killed_ = ErrorKind::internal;
        break;
      }
      if (const auto due = deadlines.due()) {
        killed_ = due;
        break;
      }
      if (polled[3].revents != 0) write_input(input, in);
      if (polled[2].revents != 0 && !take_log(err.get())) err.reset();
      if (polled[1].revents != 0 && !take_output(out.get())) out.reset();
      if (killed_ || polled[0].revents != 0) break;
    }
  }

  static void write_input(std::string_view& input, UniqueFd& in) {
    const ssize_t count = write(in.get(), input.data(), input.size());
    if (count > 0) input.remove_prefix(static_cast<size_t>(count));
    const bool gone = count < 0 && errno != EAGAIN && errno != EINTR;  // it does not want the rest
    if (gone || input.empty()) in.reset();
  }

  bool take_log(int fd) {
    return read_some(fd, [&](std::string_view text) { log_.append(text); });
  }

  bool take_output(int fd) {
    return read_some(fd, [&](std::string_view text) {
      output_.append(text.substr(0, source_.limits.result_bytes + 1 - output_.size()));
      if (output_.size() > source_.limits.result_bytes) killed_ = ErrorKind::output_limit;
    });
  }

  /// Ends whatever the program left running, and says how it went.
  void finish(const Child& child, const UniqueFd& out, const UniqueFd& err, wire::Answer& answer) {
    // As the first process of a process namespace this reaches everything in it and nothing else.
    kill(-1, SIGKILL);
    int status = 0;
    while (true) {
      int ended_status = 0;
      const pid_t ended = waitpid(-1, &ended_status, 0);
      if (ended == child.pid) status = ended_status;
      if (ended < 0 && errno != EINTR) break;
    }
    if (out) take_output(out.get());
    if (err) take_log(err.get());
    rusage usage{};
    getrusage(RUSAGE_CHILDREN, &usage);
    answer.cpu = std::chrono::seconds(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 std::chrono::microseconds(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    answer.memory_bytes = static_cast<uint64_t>(usage.ru_maxrss) * 1024;
    if (const auto peak = accounting().peak_memory()) {
      answer.memory_bytes = *peak;
      answer.method = accounting().method();
    }
    answer.error = verdict(status, answer);
    if (!answer.error) read_result(output_, answer);
    const bool failed = answer.error && (answer.error->kind == ErrorKind::evaluator_error ||
                                         answer.error->kind == ErrorKind::bad_result);
    if (failed && accounting().refused_processes())
      answer.error = Error{ErrorKind::pids_limit, "was refused more processes: " + answer.error->message};
  }

  /// In this order: want of memory shows itself in many ways, a deadline as a kill.
  std::optional<Error> verdict(int status, const wire::Answer& answer) {
    if (accounting().killed_for_memory()) return limit_error(ErrorKind::memory_limit, source_.limits);
    // By processes that nobody saw until they were reaped.
    if (answer.cpu >= source_.limits.cpu) return limit_error(ErrorKind::cpu_limit, source_.limits);
    if (killed_) return limit_error(*killed_, source_.limits);
    auto error = error_of_status(status);
    if (error && error->kind == ErrorKind::evaluator_error) append_tail(error->message, log_.text());
    return error;
  }

  wire::EvaluatorSource source_;
  Surroundings surroundings_;
  ChildPlan plan_;
  std::string output_;
  wire::LogBuffer log_;
  std::optional<ErrorKind> killed_;
  bool spent_ = false;
};

/// The words of a JSON array of strings.
std::optional<std::vector<std::string>> words_of(std::string_view source) {
  wire::JsonReader reader(source);
  std::vector<std::string> words;
  bool first = true;
  if (reader.peek() != wire::JsonReader::Kind::array || !reader.open('[')) return std::nullopt;
  while (reader.next(']', first)) {
    if (reader.peek() != wire::JsonReader::Kind::string) return std::nullopt;
    const auto word = reader.read_string();
    if (!word || word->contains('\0')) return std::nullopt;
    words.emplace_back(*word);
  }
  if (reader.failed() || !reader.at_end() || words.empty()) return std::nullopt;
  return words;
}

/// `name` where the PATH of evaluators has it.
std::string found(const std::string& name) {
  if (name.contains('/')) return name;
  for (const char* folder : {"/usr/local/bin/", "/usr/bin/", "/bin/"})
    if (access((folder + name).c_str(), X_OK) == 0) return folder + name;
  return name;
}

bool write_script(std::string_view source) {
  const UniqueFd file(open(kScript, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444));
  while (file && !source.empty()) {
    const ssize_t count = write(file.get(), source.data(), source.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    source.remove_prefix(static_cast<size_t>(count));
  }
  return static_cast<bool>(file);
}

/// How the script is run: by what its first line names, else by the shell.
std::vector<std::string> interpreter_of(std::string_view source) {
  if (!source.starts_with("#!")) return {"/bin/sh", kScript};
  std::string_view line = source.substr(2, source.find('\n') - 2);
  const auto skip = [&] { line.remove_prefix(std::min(line.find_first_not_of(" \t\r"), line.size())); };
  skip();
  const size_t end = std::min(line.find_first_of(" \t\r"), line.size());
  std::vector<std::string> argv{std::string(line.substr(0, end))};
  line.remove_prefix(end);
  skip();
  while (!line.empty() && std::string_view(" \t\r").contains(line.back())) line.remove_suffix(1);
  if (!line.empty()) argv.emplace_back(line);  // one argument, as the kernel does it
  argv.emplace_back(kScript);
  return argv;
}

}  // namespace

Result<std::unique_ptr<Runtime>> start_command(wire::EvaluatorSource source,
                                               const Surroundings& surroundings) {
  if (!surroundings.has_namespaces)
    return fail(ErrorKind::config,
                source.language +
                    " evaluators need namespaces, which this machine does not give: nothing else can end "
                    "every process that they start; use lua or python here");
  if (source.params.size() > kParamsLimit)
    return fail(ErrorKind::config, "params of a " + source.language + " evaluator are at most 64 KiB");
  std::vector<std::string> argv;
  if (source.language == "command") {
    auto words = words_of(source.source);
    if (!words)
      return fail(ErrorKind::config,
                  R"(the source of a command is a JSON array of strings, such as ["jq", ".sample.output"])");
    argv = std::move(*words);
    argv[0] = found(argv[0]);
    if (access(argv[0].c_str(), X_OK) != 0)
      return fail(ErrorKind::config,
                  "no program " + argv[0] + " in the sandbox: it has /usr, /bin and /lib of this machine");
  } else {
    argv = interpreter_of(source.source);
    if (access(argv[0].c_str(), X_OK) != 0)
      return fail(ErrorKind::config, source.name + ":1: no interpreter " + argv[0] + " in the sandbox");
    if (!write_script(source.source)) return fail(ErrorKind::internal, "cannot write the script");
  }
  return std::make_unique<Command>(std::move(source), std::move(argv), surroundings);
}

}  // namespace assay::sandbox::process
