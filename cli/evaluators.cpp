// `assay evaluators test`: one evaluator file in the real sandbox, without API or run. This is how authors
// work.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/data_file.hpp"
#include "cli/file_watch.hpp"
#include "core/async/scope.hpp"
#include "core/fd.hpp"
#include "core/log.hpp"
#include "core/settings.hpp"
#include "daemon/asking.hpp"
#include "daemon/config.hpp"
#include "daemon/sources/rows.hpp"
#include "sandbox/runtime/language.hpp"
#include "sandbox/runtime/pool.hpp"

namespace assay::cli {
namespace {

struct TestOptions {
  std::string file;  ///< or PLUGIN/EVALUATOR
  std::string evaluator;
  std::string item;
  std::string items;
  std::string params = "{}";
  std::string sandbox_mode;
  std::string models;
  std::string wall;
  std::vector<std::string> grants;
  std::vector<std::string> requirements;
  bool json = false;
  bool watch = false;
};

/// Where `assay evaluators new` puts an evaluator's items.
std::string items_beside(const std::string& file) {
  return std::filesystem::path(file).replace_extension(".items.jsonl").string();
}

std::string extensions() {
  std::string list;
  for (const auto& language : sandbox::languages())
    for (const auto extension : language.extensions) {
      if (extension.empty()) continue;
      if (!list.empty()) list += ", ";
      list += extension;
    }
  return list;
}

/// What evaluators are tried with.
struct Laboratory {
  sandbox::Pool& pool;
  const daemon::Plugins& plugins;
  llm::Broker* broker;  ///< null: there are no models
};

/// "text/exact", or the one evaluator of a library, or the one of it that is named.
Task<Result<>> find_in_plugin(const Laboratory& with, const TestOptions& options, sandbox::Program& program) {
  const std::filesystem::path file(options.file);
  program.language = sandbox::kPlugin;
  if (file.extension() != ".so") {
    auto path = with.plugins.path(file.parent_path().string());
    if (!path) co_return std::unexpected(std::move(path.error()));
    program.plugin = std::move(*path);
    program.source = options.file;
    co_return Result<>{};
  }
  program.plugin = std::filesystem::absolute(file).string();
  const auto plugin = co_await with.pool.describe_plugin(program.plugin);
  if (!plugin) co_return std::unexpected(plugin.error());
  std::string name = options.evaluator, names;
  for (const auto& evaluator : plugin->evaluators) names += (names.empty() ? "" : ", ") + evaluator.name;
  if (name.empty() && plugin->evaluators.size() == 1) name = plugin->evaluators[0].name;
  if (plugin->evaluator(name) == nullptr)
    co_return fail(ErrorKind::config, "--evaluator must name one of those in " + options.file + ": " + names);
  program.source = plugin->name + "/" + name;
  co_return Result<>{};
}

Result<> find_source(const TestOptions& options, sandbox::Program& program) {
  const std::string extension = std::filesystem::path(options.file).extension().string();
  const auto* const language = sandbox::language_of_extension(extension);
  if (language == nullptr)
    return fail(ErrorKind::config, options.file + ": the name of an evaluator's file ends in " +
                                       extensions() + " or .so, not in \"" + extension + "\"");
  program.language = language->name;
  ASSAY_TRY(program.source, read_file(options.file, 4 << 20));
  return {};
}

Result<> set_terms(const TestOptions& options, sandbox::Program& program) {
  program.grants = options.grants;
  program.requirements = options.requirements;
  program.limits.memory_bytes = sandbox::language_named(program.language)->memory_bytes;
  const auto params = parse_json(options.params);
  if (!params || !params->is_object())
    return fail(ErrorKind::config,
                "--params must be a JSON object" + (params ? "" : ": " + params.error().message));
  program.params = options.params;
  if (options.wall.empty()) return {};
  auto wall = parse_duration(options.wall);
  if (!wall) return std::unexpected(std::move(wall.error()).with("--wall"));
  program.limits.wall = *wall;
  return {};
}

/// No file, and PLUGIN/EVALUATOR; or a library.
bool is_of_plugin(const std::string& file) {
  if (file.ends_with(".so")) return true;
  return std::ranges::count(file, '/') == 1 && !file.starts_with('/') && !file.contains('.') &&
         !std::filesystem::exists(file);
}

Task<Result<std::shared_ptr<const sandbox::Program>>> program_of(const Laboratory& with,
                                                                 const TestOptions& options) {
  auto program = std::make_shared<sandbox::Program>();
  program->name = std::filesystem::path(options.file).stem().string();
  Result<> found;
  if (is_of_plugin(options.file))
    found = co_await find_in_plugin(with, options, *program);
  else
    found = find_source(options, *program);
  if (found) found = set_terms(options, *program);
  if (!found) co_return std::unexpected(std::move(found.error()));
  co_return program;
}

/// What an author writes may be partial: {"sample":{"output":"42"}} is an item.
Result<std::string> complete_item(std::string_view text, int64_t index) {
  ASSAY_TRY(Json item, parse_json(text));
  if (!item.is_object()) return fail(ErrorKind::config, "an item must be a JSON object");
  for (const auto& [key, value] : item.items())
    if (key != "id" && key != "index" && key != "sample" && key != "ground_truth" && key != "metadata")
      return fail(
          ErrorKind::config,
          "unknown key \"" + key + "\" in the item: it has id, index, sample, ground_truth and metadata");
  if (!item.contains("id")) item["id"] = std::to_string(index);
  if (!item.contains("index")) item["index"] = index;
  if (!item.contains("metadata")) item["metadata"] = Json::object();
  for (const char* name : {"sample", "ground_truth"}) {
    Json& side = item[name];
    if (side.is_string()) side = Json{{"output", side}};  // {"sample":"42"} will do
    if (side.is_null()) side = Json::object();
    if (!side.is_object())
      return fail(ErrorKind::config,
                  std::string(name) + " must be an object with input and output, or a string");
    if (!side.contains("input")) side["input"] = nullptr;
    if (!side.contains("output")) side["output"] = nullptr;
    if (!side["output"].is_string() && !side["output"].is_null() && !side.contains("text"))
      side["text"] = daemon::text_of(dump_json(side["output"]));
  }
  return dump_json(item);
}

void print_outcome(const TestOptions& options, int64_t index, const Outcome& outcome) {
  if (options.json) {
    std::string line;
    append_outcome_json(line, OutcomeId{index, 0, 0, 0}, outcome);
    std::printf("%s\n", line.c_str());
    return;
  }
  const auto& usage = outcome.usage;
  std::string line = "item " + std::to_string(index) + "  ";
  if (outcome.verdict == Verdict::scored) {
    line += "score ";
    append_json_number(line, outcome.score);
    if (outcome.passed) line += *outcome.passed ? "  passed" : "  failed";
    if (!outcome.reason.empty()) line += "  " + outcome.reason;
  } else if (outcome.verdict == Verdict::errored) {
    line += "error " + std::string(to_string(outcome.error.kind)) + ": " + outcome.error.message;
  } else {
    line += "skipped: " + outcome.reason;
  }
  std::printf("%s\n", line.c_str());
  for (const auto& [name, value] : outcome.metrics) std::printf("    %s = %g\n", name.c_str(), value);
  if (!outcome.log.empty()) std::printf("    log: %s\n", outcome.log.c_str());
  if (usage.models.calls > 0) {
    std::string use;
    append_model_use(use, usage.models);
    std::printf("    models: %s\n", use.c_str());
  }
  std::printf("    wall %.3f ms, cpu %.3f ms, memory %.1f KiB\n",
              static_cast<double>(usage.wall.count()) / 1000, static_cast<double>(usage.cpu.count()) / 1000,
              static_cast<double>(usage.memory_bytes) / 1024);
}

/// The items to test on, one after another: of --items, of --item, of the file beside the evaluator, or one
/// that is empty.
class Items {
 public:
  static Result<Items> open(const TestOptions& options) {
    Items items;
    items.single_ = options.item.empty() ? "{}" : options.item;
    std::string path = options.items;
    if (path.empty() && options.item.empty() && std::filesystem::exists(items_beside(options.file)))
      path = items_beside(options.file);
    if (!path.empty()) {
      ASSAY_TRY(auto file, DataFile::open(path));
      items.file_ = std::move(file);
    }
    return items;
  }
  Result<std::optional<std::string>> next() {
    if (!file_) return std::exchange(single_, std::nullopt);
    return file_->next();
  }

 private:
  std::optional<std::string> single_;
  std::optional<DataFile> file_;
};

/// Reads the evaluator and its items, and evaluates each; the exit code.
Task<int> test_once(const Laboratory& with, const TestOptions& options) {
  auto program = co_await program_of(with, options);
  auto items = Items::open(options);
  if (!program || !items) co_return report(!program ? program.error() : items.error());
  auto prepared = co_await daemon::check_plugin(with.pool, *program);
  if (prepared) prepared = co_await with.pool.prepare(*program);
  if (!prepared) co_return report(prepared.error());
  int exit = kPassed;
  for (int64_t index = 0;; ++index) {
    auto text = items->next();
    if (!text) co_return report(text.error());
    if (!*text) co_return exit;
    auto item = complete_item(**text, index);
    if (!item) co_return report(std::move(item.error()).with("item " + std::to_string(index)));
    std::shared_ptr<daemon::Asking> asking;
    if (with.broker != nullptr) asking = std::make_shared<daemon::Asking>(*with.broker, nullptr);
    auto outcome = co_await with.pool.evaluate(*program, std::move(*item), asking);
    if (asking) outcome.usage.models = asking->use();
    if (outcome.error.kind == ErrorKind::cancelled) co_return exit;
    print_outcome(options, index, outcome);
    if (outcome.verdict == Verdict::errored) exit = kFailed;
  }
}

/// Again and again, whenever the evaluator or its items are saved, until it is cancelled.
Task<> test_on_save(const Laboratory& with, const TestOptions& options, int& exit) {
  std::vector<std::string> files{options.file};
  if (options.item.empty())
    files.push_back(options.items.empty() ? items_beside(options.file) : options.items);
  auto watch = FileWatch::open(co_await asio::this_coro::executor, files);
  if (!watch) {
    exit = report(watch.error());
    co_return;
  }
  const bool screen = ::isatty(STDOUT_FILENO) == 1;
  for (;;) {
    if (screen) std::printf("\033[H\033[2J\033[3J");
    co_await test_once(with, options);
    const bool cancelled = co_await is_cancelled();
    if (cancelled) co_return;
    if (!options.json) std::printf("watching %s; Ctrl-C ends\n", options.file.c_str());
    std::fflush(stdout);
    const auto changed = co_await watch->changed();
    if (changed) continue;
    if (changed.error().kind != ErrorKind::cancelled) exit = report(changed.error());
    co_return;
  }
}

Task<> cancel_at_signal(Scope& work) {
  asio::signal_set signals(co_await asio::this_coro::executor, SIGINT, SIGTERM);
  const auto [error, number] = co_await signals.async_wait(asio::as_tuple(asio::use_awaitable));
  if (!error) work.cancel();
}

Task<> test_until_signal(const Laboratory& with, const TestOptions& options, int& exit) {
  const auto executor = co_await asio::this_coro::executor;
  Scope work(executor), signals(executor);
  exit = kPassed;
  work.spawn("tests", test_on_save(with, options, exit));
  signals.spawn("signals", cancel_at_signal(work));
  co_await work.join();
  signals.cancel();
  co_await signals.join();
}

Task<> test_in(sandbox::Pool& pool, const daemon::Surroundings& around, const TestOptions& options,
               int& exit) {
  const auto executor = co_await asio::this_coro::executor;
  const auto met = co_await sandbox::check_requirements(pool, around.sandbox.require);
  if (!met) {
    exit = report(met.error());
    co_return;
  }
  Result<std::unique_ptr<llm::Broker>> broker;
  if (around.models.models)
    broker = llm::Broker::start(executor, *around.models.models, around.models.broker);
  if (!broker) {
    exit = report(broker.error());
    co_return;
  }
  const Laboratory with{pool, around.plugins, broker->get()};
  if (options.watch)
    co_await test_until_signal(with, options, exit);
  else
    exit = co_await test_once(with, options);
  if (*broker) co_await (*broker)->close();
}

Task<> test(TestOptions options, int& exit) {
  const auto executor = co_await asio::this_coro::executor;
  const auto around = daemon::Surroundings::from_environment(options.sandbox_mode, options.models);
  if (!around) {
    exit = report(around.error());
    co_return;
  }
  auto pool = co_await sandbox::Pool::start(
      executor, {.hosts = 1, .mode = around->sandbox.mode, .packages = around->sandbox.packages});
  if (!pool) {
    exit = report(pool.error());
    co_return;
  }
  co_await test_in(**pool, *around, options, exit);
  co_await (*pool)->close();
}

int run_test(const TestOptions& options) {
  log::set_level(log::Level::warn);
  asio::io_context io(1);
  Scope scope(io.get_executor());
  int exit = kCouldNot;
  scope.spawn("evaluators test", test(options, exit));
  io.run();
  return exit;
}

}  // namespace

void declare_evaluators(CLI::App& app, Chosen& chosen) {
  auto* evaluators = app.add_subcommand("evaluators", "work on evaluators");
  evaluators->require_subcommand(1);
  declare_evaluators_new(*evaluators, chosen);
  auto* test =
      evaluators->add_subcommand("test", "run one evaluator file in the sandbox and print each outcome");
  auto options = std::make_shared<TestOptions>();
  test->add_option("file", options->file,
                   "the evaluator: its name ends in " + extensions() +
                       " or .so; or PLUGIN/EVALUATOR, such as text/exact")
      ->required();
  test->add_option("--evaluator", options->evaluator, "which of a .so, if it has several");
  auto* item =
      test->add_option("--item", options->item, "one item as JSON, whole or in part: {\"sample\":\"42\"}");
  test->add_option("--items", options->items,
                   "a file of items, JSON lines; default NAME.items.jsonl beside the file")
      ->excludes(item);
  test->add_option("--params", options->params, "parameters of the evaluator, a JSON object");
  test->add_option("--wall", options->wall, "wall limit of one item, such as 2s");
  test->add_option("--grant", options->grants, "let it run what a model wrote, or ask models")
      ->check(CLI::IsMember({"candidate", "llm"}));
  test->add_option("--requirement", options->requirements,
                   "install this for it: a line as pip takes it, or npm for a .mjs; may be repeated");
  test->add_option("--models", options->models, "models.toml: the models that it may ask");
  test->add_option("--sandbox", options->sandbox_mode, "demand a jail mode")
      ->check(CLI::IsMember({"full", "userns", "nons"}));
  test->add_flag("--json", options->json, "print one JSON outcome a line");
  test->add_flag("--watch", options->watch, "run again whenever the evaluator or its items are saved");
  test->callback([options, &chosen] { chosen = [options] { return run_test(*options); }; });
}

}  // namespace assay::cli
