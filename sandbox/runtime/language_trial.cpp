#include "sandbox/runtime/language_trial.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>

#include "core/async/scope.hpp"
#include "core/check.hpp"
#include "sandbox/runtime/language.hpp"

namespace assay::sandbox {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kItem = R"({"id":"0","index":0,"sample":{},"ground_truth":{},"metadata":{}})";

constexpr std::array<std::string_view, 5> kNames = {"lua", "python", "node", "shell", "command"};

constexpr auto kPatience = 30s;  // for a host to come up and the outcome to be there

struct Sources {
  const char* score_one;  ///< and log the version, where there is one
  const char* sleep;
  std::array<const char*, 2> interpreters{};  ///< one of them has to be there
};
constexpr std::array<Sources, kNames.size()> kSources = {{
    {"function run_evaluation(item) assay.log(_VERSION) return 1 end",
     "function run_evaluation(item) while true do end end"},
    {"import platform, time\n"
     "def run_evaluation(item):\n    print('Python', platform.python_version())\n    return 1\n",
     "import time\ndef run_evaluation(item):\n    time.sleep(60)\n    return 1\n",
     {"/usr/bin/python3"}},
    {"export function run_evaluation(item) { console.log('Node', process.version); return 1; }",
     "export async function run_evaluation(item) { await new Promise((r) => setTimeout(r, 60000)); return 1; "
     "}",
     {"/usr/local/bin/node", "/usr/bin/node"}},
    {"echo 1", "sleep 60; echo 1"},
    {R"(["sh", "-c", "echo 1"])", R"(["sleep", "60"])"},
}};

const Sources& sources_of(std::string_view language) {
  const auto* const found = std::ranges::find(kNames, language);
  ASSAY_CHECK(found != kNames.end(), "a language that cannot be tried");
  return kSources[static_cast<size_t>(found - kNames.begin())];
}

std::shared_ptr<Program> program_of(std::string_view language, const char* source) {
  auto program = std::make_shared<Program>();
  program->name = "trial";
  program->language = language;
  program->source = source;
  program->limits.memory_bytes = language_named(language)->memory_bytes;
  return program;
}

bool has_interpreter(std::string_view language) {
  const auto& paths = sources_of(language).interpreters;
  return paths[0] == nullptr || std::ranges::any_of(paths, [](const char* path) {
           return path != nullptr && access(path, X_OK) == 0;
         });
}

Task<Outcome> outcome_of(Pool& pool, std::shared_ptr<const Program> program) {
  auto evaluation = pool.evaluate(std::move(program), std::string(kItem));
  auto outcome = co_await with_deadline(std::move(evaluation), Clock::now() + kPatience);
  if (outcome) co_return std::move(*outcome);
  co_return Outcome::errored(ErrorKind::internal, "no outcome within half a minute");
}

}  // namespace

std::span<const std::string_view> languages_to_try() {
  return kNames;
}

Task<LanguageTrial> try_language(Pool& pool, std::string_view language) {
  LanguageTrial trial{.language = language, .has_interpreter = has_interpreter(language)};
  const auto begin = Clock::now();
  Outcome outcome = co_await outcome_of(pool, program_of(language, sources_of(language).score_one));
  trial.took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin);
  if (outcome.verdict != Verdict::scored) {
    trial.error = std::move(outcome.error);
  } else if (outcome.score != 1) {
    trial.error = {ErrorKind::bad_result,
                   "an evaluator that returns 1 scored " + std::to_string(outcome.score)};
  } else {
    trial.ok = true;
    trial.version = outcome.log.substr(0, outcome.log.find('\n'));
  }
  co_return trial;
}

Task<DeadlineTrial> try_deadline(Pool& pool, std::string_view language) {
  DeadlineTrial trial{.limit = 1s};  // which loading the evaluator must not take either
  const auto program = program_of(language, sources_of(language).sleep);
  program->limits.wall = trial.limit;
  auto preparation = pool.prepare(program);
  auto prepared = co_await with_deadline(std::move(preparation), Clock::now() + kPatience);
  if (!prepared) prepared = fail(ErrorKind::internal, "no host within half a minute");
  if (!*prepared) {
    trial.error = std::move(*prepared).error();
    co_return trial;
  }
  const auto begin = Clock::now();
  Outcome outcome = co_await outcome_of(pool, program);
  trial.took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin);
  trial.ended = outcome.verdict == Verdict::errored && outcome.error.kind == ErrorKind::timeout;
  if (outcome.verdict == Verdict::errored)
    trial.error = std::move(outcome.error);
  else
    trial.error = {ErrorKind::bad_result, "an evaluator that sleeps for a minute had a score"};
  co_return trial;
}

}  // namespace assay::sandbox
