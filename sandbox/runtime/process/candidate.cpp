// Programs that an evaluator takes from its sample and has run: each in a jail that nothing else uses, with
// the evaluator outside of it. What it prints is text to the evaluator and nothing more; it cannot see what
// is expected of it, and a score is not its to write.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>

#include "sandbox/runtime/process/program.hpp"
#include "sandbox/runtime/wire/json_reader.hpp"

namespace assay::sandbox::process {
namespace {

struct Interpreted {
  std::string_view language;
  std::array<const char*, 2> interpreters;  ///< the first that is there
  std::array<const char*, 2> options;
  const char* file;
};
constexpr std::array kKinds = {
    Interpreted{"python", {"/usr/bin/python3", nullptr}, {"-I", "-B"}, "/tmp/candidate.py"},
    Interpreted{
        "node", {"/usr/local/bin/node", "/usr/bin/node"}, {"--no-warnings", nullptr}, "/tmp/candidate.mjs"},
    Interpreted{"shell", {"/bin/sh", nullptr}, {nullptr, nullptr}, "/tmp/candidate.sh"},
};

struct Item {
  std::chrono::milliseconds wall{0};  ///< that its evaluator has left
  std::string language, source, input;
};

bool read_program(wire::JsonReader& reader, Item& item) {
  using Kind = wire::JsonReader::Kind;
  bool first = true;
  if (reader.peek() != Kind::object || !reader.open('{')) return false;
  while (reader.next('}', first)) {
    const auto key = reader.read_key();
    if (!key) return false;
    std::string* const into = *key == "language" ? &item.language
                              : *key == "source" ? &item.source
                              : *key == "stdin"  ? &item.input
                                                 : nullptr;
    if (into == nullptr) {
      reader.skip();
      continue;
    }
    const auto value = reader.peek() == Kind::string ? reader.read_string() : std::nullopt;
    if (!value) return false;
    *into = *value;
  }
  return !reader.failed();
}

/// {"wall_ms":…, "program":{language, source, stdin}}: the pool has written the outer object.
std::optional<Item> read_item(std::string_view text) {
  wire::JsonReader reader(text);
  Item item;
  bool first = true;
  if (reader.peek() != wire::JsonReader::Kind::object || !reader.open('{')) return std::nullopt;
  while (reader.next('}', first)) {
    const auto key = reader.read_key();
    if (!key) return std::nullopt;
    if (*key == "program") {
      if (!read_program(reader, item)) return std::nullopt;
    } else {
      const auto number = reader.read_number();
      if (!number) return std::nullopt;
      item.wall = std::chrono::milliseconds(number->integer);
    }
  }
  if (reader.failed() || !reader.at_end()) return std::nullopt;
  return item;
}

bool write_file(const char* path, std::string_view text) {
  const UniqueFd file(open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444));
  while (file && !text.empty()) {
    const ssize_t count = write(file.get(), text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    text.remove_prefix(static_cast<size_t>(count));
  }
  return static_cast<bool>(file);
}

class Candidate : public Runtime {
 public:
  Candidate(wire::EvaluatorSource source, const Surroundings& surroundings)
      : source_(std::move(source)), surroundings_(surroundings) {}

  wire::Answer evaluate(std::string_view text) override {
    spent_ = true;
    wire::Answer answer;
    const auto item = read_item(text);
    if (!item) {
      answer.error = Error{ErrorKind::config, "run_candidate: language, source and stdin must be strings"};
      return answer;
    }
    ProgramPlan plan;
    plan.argv = command_line(*item, answer);
    if (answer.error) return answer;
    plan.input = item->input;
    wire::EvaluatorLimits limits = source_.limits;
    limits.wall = std::min(limits.wall, item->wall);
    ProgramRun run(limits, surroundings_);
    if (const auto exit_code = run.run(plan, answer)) {
      answer.score = *exit_code;
      answer.reason = std::move(run.output());
    }
    return answer;
  }

  bool is_spent() const override { return spent_; }

 private:
  /// Writes the program as well.
  static std::vector<std::string> command_line(const Item& item, wire::Answer& answer) {
    const auto* const kind = std::ranges::find(kKinds, item.language, &Interpreted::language);
    if (kind == kKinds.end()) {
      answer.error =
          Error{ErrorKind::config,
                "run_candidate: the language is one of python, node, shell, not \"" + item.language + "\""};
      return {};
    }
    std::vector<std::string> argv;
    for (const char* path : kind->interpreters)
      if (argv.empty() && path != nullptr && access(path, X_OK) == 0) argv.emplace_back(path);
    if (argv.empty()) {
      answer.error =
          Error{ErrorKind::config, "run_candidate: no interpreter of " + item.language + " in the sandbox"};
      return {};
    }
    for (const char* option : kind->options)
      if (option != nullptr) argv.emplace_back(option);
    argv.emplace_back(kind->file);
    if (!write_file(kind->file, item.source))
      answer.error = Error{ErrorKind::output_limit,
                           "run_candidate: the program does not fit into the scratch directory"};
    return argv;
  }

  wire::EvaluatorSource source_;
  Surroundings surroundings_;
  bool spent_ = false;
};

}  // namespace

Result<std::unique_ptr<Runtime>> start_candidate(wire::EvaluatorSource source,
                                                 const Surroundings& surroundings) {
  if (!surroundings.has_namespaces)
    return fail(
        ErrorKind::config,
        "run_candidate needs namespaces, which this machine does not give: nothing else can end every "
        "process that a program starts");
  return std::make_unique<Candidate>(std::move(source), surroundings);
}

}  // namespace assay::sandbox::process
