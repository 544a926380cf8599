// Evaluators that are programs: the item as JSON on standard input, the result as JSON on standard output,
// standard error is the log. One item is all that a jail ever runs. What installs packages
// (sandbox/runtime/packages) is a script like any other, but for what it may reach (host.cpp).
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "sandbox/runtime/process/program.hpp"
#include "sandbox/runtime/process/result.hpp"
#include "sandbox/runtime/wire/json_reader.hpp"

namespace assay::sandbox::process {
namespace {

constexpr const char* kScript = "/tmp/evaluator";
constexpr size_t kParamsLimit = 64U << 10;

class Command : public Runtime {
 public:
  Command(wire::EvaluatorSource source, std::vector<std::string> argv, const Surroundings& surroundings)
      : source_(std::move(source)), argv_(std::move(argv)), surroundings_(surroundings) {}

  wire::Answer evaluate(std::string_view item) override {
    spent_ = true;
    wire::Answer answer;
    ProgramRun run(source_.limits, surroundings_);
    const std::string input = with_text(item) + "\n";
    const ProgramPlan plan{.argv = argv_, .environment = {"ASSAY_PARAMS=" + source_.params}, .input = input};
    if (const auto exit_code = run.run(plan, answer)) conclude(*exit_code, run, answer);
    return answer;
  }

  bool is_spent() const override { return spent_; }

 private:
  static void conclude(int exit_code, ProgramRun& run, wire::Answer& answer) {
    if (exit_code == 0) {
      read_result(run.output(), answer);
    } else {
      answer.error = Error{ErrorKind::evaluator_error, "exited with code " + std::to_string(exit_code)};
      append_tail(answer.error->message, answer.log);
    }
    if (answer.error && run.was_refused_processes())
      answer.error = Error{ErrorKind::pids_limit, "was refused more processes: " + answer.error->message};
  }

  wire::EvaluatorSource source_;
  std::vector<std::string> argv_;
  Surroundings surroundings_;
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
