// What the commands of `assay` have in common: exit codes, and how each is declared and run.
#pragma once

#include <functional>
#include <string>

#include "core/error.hpp"

namespace CLI {
class App;
}

namespace assay::cli {

/// Exit codes (docs/architecture.md): what a script can act on.
enum Exit : int {
  kPassed = 0,
  kFailed = 1,    ///< a gate failed, or an item erred where that is the question
  kBadInput = 2,  ///< the file, the data or the options are at fault
  kCouldNot = 3,  ///< the work could not be done
};

/// Each declares its options on a subcommand of `app` and, when chosen, sets `chosen` to what runs it.
using Chosen = std::function<int()>;
void declare_run(CLI::App& app, Chosen& chosen);
void declare_submit(CLI::App& app, Chosen& chosen);
void declare_serve(CLI::App& app, Chosen& chosen);
void declare_evaluators(CLI::App& app, Chosen& chosen);
void declare_evaluators_new(CLI::App& evaluators, Chosen& chosen);  ///< under `evaluators`
void declare_plugins(CLI::App& app, Chosen& chosen);
void declare_key(CLI::App& app, Chosen& chosen);
void declare_doctor(CLI::App& app, Chosen& chosen);
void declare_runs(CLI::App& app, Chosen& chosen);  ///< and `workers`
void declare_import(CLI::App& app, Chosen& chosen);
void declare_mock_llm(CLI::App& app, Chosen& chosen);

/// Prints "assay: MESSAGE" on stderr; the exit code that fits the kind.
int report(const Error& error);

}  // namespace assay::cli
