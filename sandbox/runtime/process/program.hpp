// One run of a program and of whatever it starts, to the end of all of it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/runtime/process/child.hpp"
#include "sandbox/runtime/process/runtime.hpp"

namespace assay::sandbox::process {

struct ProgramPlan {
  std::vector<std::string> argv;
  std::vector<std::string> environment;  ///< beside what every evaluator has
  std::string_view input;                ///< on standard input
};

/// Only in a process namespace of which this is the first process: everything else there is ended.
class ProgramRun {
 public:
  ProgramRun(const wire::EvaluatorLimits& limits, const Surroundings& surroundings)
      : limits_(limits), surroundings_(surroundings) {}

  /// The exit code; nullopt when the program could not be started, was ended by a signal or broke a limit:
  /// answer.error says so. Sets what was used and the log (standard error).
  std::optional<int> run(const ProgramPlan& plan, wire::Answer& answer);

  /// Standard output, at most limits.result_bytes.
  std::string& output() { return output_; }
  /// True when it could not start as many processes as it wanted.
  bool was_refused_processes() const { return surroundings_.accounting.refused_processes(); }

 private:
  std::optional<int> start(const ProgramPlan& plan, Deadlines& deadlines, wire::Answer& answer);
  void watch(const Child& child, std::string_view input, Deadlines& deadlines);
  void write_input(std::string_view& input);
  bool take_log();
  bool take_output();
  std::optional<int> finish(const Child& child, wire::Answer& answer);
  std::optional<Error> verdict(int status, const wire::Answer& answer);

  wire::EvaluatorLimits limits_;
  Surroundings surroundings_;
  UniqueFd in_, out_, err_;
  std::string output_;
  wire::LogBuffer log_;
  std::optional<ErrorKind> killed_;
};

}  // namespace assay::sandbox::process
