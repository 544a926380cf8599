// `assay run`: the API and a worker inside this process, the whole job in one command. `assay submit`: the
// same job given to an API that runs elsewhere.
//
// Theory of operation. Three parts, joined by HTTP on a Unix socket in a private folder: the API on its own
// threads, the worker with its loop on another, and the client (this file) on the main one. The client uses
// the public API only. An interrupt drains the worker and leaves the run as it is: the same command then
// resumes it.
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "api/server.hpp"
#include "cli/command.hpp"
#include "cli/evaluation.hpp"
#include "cli/pilot.hpp"
#include "cli/remote.hpp"
#include "core/async/scope.hpp"
#include "core/descriptors.hpp"
#include "core/fd.hpp"
#include "core/log.hpp"
#include "daemon/config.hpp"
#include "daemon/run_spec.hpp"
#include "daemon/worker.hpp"
#include "sandbox/runtime/language.hpp"

namespace assay::cli {
namespace {

using daemon::ApiClient;
using daemon::ApiEndpoint;

struct RunOptions {
  std::string file;
  std::string state;
  std::string output;
  RemoteOptions remote;
  std::string sandbox_mode;
  std::string models;
  std::string log_level = "warn";
  size_t hosts = 0;
  int64_t pilot = 0;  ///< items; 0: all
  bool ephemeral = false;
  bool fresh = false;
  bool json = false;
  bool no_wait = false;
};

/// A folder of this user's alone, removed with what is in it.
class PrivateFolder {
 public:
  static Result<PrivateFolder> make() {
    const char* base = std::getenv("TMPDIR");
    std::string pattern = std::string(base != nullptr ? base : "/tmp") + "/assay-XXXXXX";
    // The path of a Unix socket holds 107 bytes at most.
    if (pattern.size() > 90) pattern = "/tmp/assay-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr)
      return fail_errno(ErrorKind::config, "cannot make a folder in " + pattern.substr(0, pattern.rfind('/')),
                        errno);
    return PrivateFolder(pattern);
  }
  PrivateFolder(PrivateFolder&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  PrivateFolder& operator=(PrivateFolder&&) = delete;
  ~PrivateFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  explicit PrivateFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

/// The worker on its own thread and loop. Everything here but the thread itself is called from the main
/// thread.
class WorkerThread {
 public:
  explicit WorkerThread(daemon::WorkerOptions options)
      : worker_(io_.get_executor(), std::move(options)),
        scope_(io_.get_executor()),
        thread_([this] { work(); }) {}
  ~WorkerThread() {
    asio::post(io_, [this] { worker_.stop(); });
    thread_.join();
  }
  WorkerThread(const WorkerThread&) = delete;
  WorkerThread& operator=(const WorkerThread&) = delete;

  void drain() {
    asio::post(io_, [this] { worker_.drain(); });
  }
  void stop() {
    asio::post(io_, [this] { worker_.stop(); });
  }
  /// Set, once, when the worker has ended.
  bool ended() const { return ended_; }
  /// How it ended; look only when it has.
  const Result<>& result() const { return result_; }

 private:
  void work() {
    scope_.spawn("worker", run());
    io_.run();
    ended_ = true;
  }
  Task<> run() { result_ = co_await worker_.run(); }

  asio::io_context io_{1};
  daemon::Worker worker_;
  Scope scope_;
  Result<> result_;
  std::atomic<bool> ended_ = false;
  std::thread thread_;  // last: it uses all of the above
};

ReportStyle style_of() {
  ReportStyle style;
  winsize size{};
  const bool terminal = ::isatty(STDOUT_FILENO) != 0;
  if (terminal && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20)
    style.width = size.ws_col;
  style.colour = terminal && std::getenv("NO_COLOR") == nullptr;
  return style;
}

Progress make_progress() {
  Progress::Options options;
  options.terminal = ::isatty(STDOUT_FILENO) != 0 && ::isatty(STDERR_FILENO) != 0;
  options.width = style_of().width;
  return {stderr, options};
}

/// That this machine knows the models.
Result<> check_models(const std::vector<std::string>& slugs, const daemon::ModelChoice& choice,
                      bool limited) {
  for (const std::string& slug : slugs) {
    if (!choice.models)
      return fail(ErrorKind::config, "there is no models.toml to say where the model " + slug +
                                         " is: --models FILE, or one in ~/.config/assay (docs/models.md)");
    const auto model = choice.models->find(slug);
    if (!model) return fail(ErrorKind::config, model.error().message);
    if (limited && !model->prices)
      return fail(ErrorKind::config,
                  "spend_limit needs the prices of the model " + slug + " in models.toml (0 if it is free)");
  }
  return {};
}

/// That a side which models generate can be asked for.
Result<> check_generation(const char* name, const std::optional<DataSide>& side, const EvaluationFile& file,
                          const daemon::ModelChoice& choice) {
  if (!side || side->type != DataSide::Type::generate) return {};
  auto known = check_models(side->models, choice, file.spend_limit.has_value());
  if (known)
    if (auto generation = daemon::generation_from(generation_json(*side)); !generation)
      known = std::unexpected(std::move(generation.error()));
  if (!known) return std::unexpected(std::move(known.error()).with(name));
  return {};
}

Task<Result<>> load(sandbox::Pool& pool, daemon::RunEvaluator evaluator) {
  for (const auto& program : evaluator.programs()) {
    ASSAY_CO_OK(co_await daemon::check_plugin(pool, program));
    ASSAY_CO_OK(co_await pool.prepare(program));
  }
  co_return Result<>{};
}

/// Every evaluator is loaded in the sandbox before anything is started or stored.
Task<Result<>> check_evaluators(const EvaluationFile& file, const daemon::Surroundings& around) {
  ASSAY_CO_OK(check_generation("sample", file.sample, file, around.models));
  ASSAY_CO_OK(check_generation("ground_truth", file.ground_truth, file, around.models));
  const auto executor = co_await asio::this_coro::executor;
  auto pool = co_await sandbox::Pool::start(
      executor, {.hosts = 1, .mode = around.sandbox.mode, .packages = around.sandbox.packages});
  if (!pool) co_return std::unexpected(std::move(pool.error()).with("the sandbox did not start"));
  Result<> result = co_await sandbox::check_requirements(**pool, around.sandbox.require);
  for (const auto& entry : file.evaluators) {
    if (!result) break;
    const Json definition = evaluator_json(entry, file.container);
    auto evaluator = daemon::evaluator_from(definition, around.plugins);
    result = check_models(daemon::models_of(definition), around.models, file.spend_limit.has_value());
    if (!result)
      result = std::unexpected(std::move(result).error());
    else if (evaluator)
      result = co_await load(**pool, std::move(*evaluator));
    else
      result = std::unexpected(std::move(evaluator).error());
    if (result) continue;
    result = std::unexpected(std::move(result.error()).with("evaluator " + entry.name));
    break;
  }
  co_await (*pool)->close();
  co_return result;
}

/// One evaluation from file to exit code, against any API.
class Job {
 public:
  Job(const RunOptions& options, const EvaluationFile& file, std::optional<Pilot> pilot)
      : options_(options), file_(file), pilot_(std::move(pilot)) {}

  Task<Result<Submitted>> begin(ApiClient& api) {
    auto submitted = co_await submit(api, file_, options_.fresh, progress_, stopped);
    if (submitted && submitted->resumed && !options_.json)
      std::fprintf(stderr, "resuming %s, which was cut short (--fresh starts over)\n",
                   submitted->run.c_str());
    co_return submitted;
  }

  Task<Result<int>> end(ApiClient& api, Submitted submitted) {
    const auto run_text = co_await watch(api, submitted.run, progress_, stopped);
    progress_.finish();
    if (!run_text) co_return std::unexpected(run_text.error());
    const auto run = parse_json(*run_text);
    if (!run) co_return std::unexpected(run.error());
    const std::string status = run->value("status", std::string());
    if (status == "queued" || status == "running") {
      const Json counts = run->value("progress", Json::object());
      std::fprintf(stderr, "stopped at %s of %s items; run the same command again to go on\n",
                   dump_json(counts.value("items_done", Json(0))).c_str(),
                   dump_json(counts.value("items_total", Json(0))).c_str());
      co_return kCouldNot;
    }
    if (status == "error")
      co_return fail(ErrorKind::internal, "the run " + submitted.run + " ended with an error: " +
                                              run->value("error", std::string("none was given")));
    if (status == "cancelled")
      co_return fail(ErrorKind::internal, "the run " + submitted.run + " was cancelled");
    co_return co_await show(api, submitted, *run_text);
  }

  bool stopped = false;  ///< set to leave the run as it is

 private:
  Task<Result<int>> show(ApiClient& api, Submitted submitted, std::string run_text) {
    const auto worst = co_await worst_items(api, run_text, file_);
    if (!worst) co_return std::unexpected(worst.error());
    const auto gates = check_gates(file_.gates, run_text);
    if (!gates) co_return std::unexpected(gates.error());
    std::optional<Estimate> estimated;
    if (pilot_) {
      auto made = co_await estimate(api, *pilot_, run_text);
      if (!made) co_return std::unexpected(std::move(made.error()));
      estimated = *made;
    }
    const std::string document = summary(submitted, run_text, worst->json, *gates, estimated);
    if (!options_.output.empty()) {
      std::error_code failed;
      std::filesystem::create_directories(options_.output, failed);
      if (failed)
        co_return fail(ErrorKind::config, "cannot make " + options_.output + ": " + failed.message());
      const auto saved = co_await save_results(api, submitted.run, options_.output + "/results.jsonl");
      if (!saved) co_return std::unexpected(saved.error());
      const auto written = write_file(options_.output + "/summary.json", document + "\n");
      if (!written) co_return std::unexpected(written.error());
    }
    if (options_.json) {
      std::printf("%s\n", document.c_str());
    } else {
      const auto table = render_report(run_text, worst->items, style_of());
      if (!table) co_return std::unexpected(table.error());
      std::fputs(table->c_str(), stdout);
      std::fputs(render_gates(*gates, style_of()).c_str(), stdout);
      if (estimated) std::printf("\npilot: %s\n", estimate_text(*estimated).c_str());
      if (!options_.output.empty())
        std::printf("\nresults: %s/results.jsonl, %s/summary.json\n", options_.output.c_str(),
                    options_.output.c_str());
      else if (options_.ephemeral)
        std::printf("\nrun %s; nothing was kept (--output DIR writes the results)\n", submitted.run.c_str());
      else
        std::printf("\nrun %s in %s; --output DIR writes every result to files\n", submitted.run.c_str(),
                    where_.c_str());
    }
    co_return overall(*gates) == GateVerdict::pass ? kPassed : kFailed;
  }

  std::string summary(const Submitted& submitted, const std::string& run, const std::string& worst,
                      const std::vector<GateResult>& results,
                      const std::optional<Estimate>& estimated) const {
    Json gates = Json::array();
    for (const auto& result : results)
      gates.push_back({{"gate", result.gate.text},
                       {"verdict", std::string(to_string(result.verdict))},
                       {"why", result.why}});
    Json document{{"name", file_.name}, {"resumed", submitted.resumed}, {"gates", std::move(gates)}};
    if (!results.empty() && !results[0].model.empty())
      for (size_t i = 0; i < results.size(); ++i) document["gates"][i]["model"] = results[i].model;
    document["run"] = *parse_json(run);
    document["worst"] = *parse_json(worst);
    if (estimated) {
      document["estimate"] = {
          {"items", estimated->items}, {"dollars", estimated->dollars}, {"is_least", estimated->is_least}};
      if (estimated->ci95) document["estimate"]["ci95"] = {estimated->ci95->low, estimated->ci95->high};
    }
    return dump_json(document);
  }

  const RunOptions& options_;
  const EvaluationFile& file_;
  const std::optional<Pilot> pilot_;
  Progress progress_ = make_progress();

 public:
  std::string where_;  ///< where the results are kept, for people
};

/// SIGINT and SIGTERM: the first stops gently, the second at once.
Task<> watch_signals(Job& job, std::unique_ptr<WorkerThread>& worker) {
  asio::signal_set signals(co_await asio::this_coro::executor, SIGINT, SIGTERM);
  for (int count = 1;; ++count) {
    const auto [error, number] = co_await signals.async_wait(asio::as_tuple(asio::use_awaitable));
    const bool cancelled = co_await is_cancelled();
    if (error || cancelled) co_return;
    if (count == 1)
      std::fprintf(stderr, "\nstopping: the items in flight are finished (once more to stop at once)\n");
    if (count > 2) ::_exit(kCouldNot);
    if (worker && count == 1) worker->drain();
    if (worker && count == 2) worker->stop();
    // With no worker there is nothing to wait for.
    if (!worker) job.stopped = true;
  }
}

/// The worker may end before the run does: drained, or because it cannot work.
Task<> watch_worker(Job& job, WorkerThread& worker) {
  while (!worker.ended()) {
    const bool slept = co_await sleep_until(Clock::now() + std::chrono::milliseconds(20));
    if (!slept) co_return;
  }
  job.stopped = true;
}

struct LocalStack {
  std::string store;
  PrivateFolder folder;
  std::unique_ptr<api::Server> server;
  ApiEndpoint endpoint;
};

Result<LocalStack> start_stack(const RunOptions& options, const EvaluationFile& file) {
  ASSAY_TRY(auto folder, PrivateFolder::make());
  std::string state = options.state;
  if (options.ephemeral) state = folder.path();
  if (state.empty()) state = (std::filesystem::absolute(file.path).parent_path() / ".assay").string();
  std::error_code failed;
  std::filesystem::create_directories(state, failed);
  if (failed)
    return fail(ErrorKind::config, "cannot make the state folder " + state + ": " + failed.message());
  LocalStack stack{state + "/assay.db", std::move(folder), nullptr, {}};
  api::Server::Options server;
  server.store = options.ephemeral ? ":memory:" : stack.store;
  server.listen = "unix:" + stack.folder.path() + "/api.sock";
  ASSAY_TRY(stack.server, api::Server::start(server));
  ASSAY_TRY(auto key,
            stack.server->create_key({"default", "assay run", {"admin", "submit", "read", "worker"}, {}}));
  ASSAY_TRY(stack.endpoint, ApiEndpoint::parse(server.listen, std::move(key)));
  return stack;
}

std::string before_slash(const std::string& text) {
  return text.substr(0, text.find('/'));
}

void add_labels(const std::vector<std::string>& models, std::vector<std::string>& labels) {
  for (const std::string& slug : models) labels.push_back("provider:" + before_slash(slug));
}

/// What the evaluator needs of a worker, as the API puts it.
void add_labels(const EvaluatorEntry& entry, std::vector<std::string>& labels) {
  if (!entry.parts.empty()) {
    for (const EvaluatorEntry& part : entry.parts) add_labels(part, labels);
  } else if (entry.judge) {
    labels.emplace_back("plugin:judge");
    add_labels(daemon::models_of(evaluator_json(entry, "")), labels);
  } else if (entry.language == sandbox::kPlugin) {
    labels.push_back("plugin:" + before_slash(entry.code));
  } else {
    labels.push_back("language:" + entry.language);
    if (!entry.requirements.empty()) labels.push_back("packages:" + entry.language);
  }
}

daemon::WorkerOptions worker_options(const RunOptions& options, const EvaluationFile& file,
                                     const ApiEndpoint& endpoint, const daemon::Surroundings& around) {
  daemon::WorkerOptions worker;
  worker.api = endpoint;
  worker.name = "assay-run";
  worker.hosts = options.hosts > 0 ? options.hosts : std::max(1U, std::thread::hardware_concurrency());
  // Without a folder it is in memory: the API that it posts to ends with this process too.
  worker.spool.bytes = size_t{64} << 20;
  worker.sandbox = around.sandbox;
  worker.plugins = around.plugins;
  worker.models = around.models;
  // They choose among machines, and this is the one: its worker serves whatever the file asks for.
  if (!file.environment.empty()) worker.environments = {file.environment};
  worker.labels = file.labels;
  worker.find_labels = false;  // all of it was tried already
  for (const auto& evaluator : file.evaluators) add_labels(evaluator, worker.labels);
  for (const auto* side : {&file.sample, &file.ground_truth})
    if (*side) add_labels((*side)->models, worker.labels);
  worker.fallback_level = log::Level::info;  // a person's own command: the run's record says it
  return worker;
}

Task<> run_local(const RunOptions& options, const EvaluationFile& file, const std::optional<Pilot>& pilot,
                 int& exit) {
  const auto executor = co_await asio::this_coro::executor;
  const auto around = daemon::Surroundings::from_environment(options.sandbox_mode, options.models);
  Result<> checked;
  if (around)
    checked = co_await check_evaluators(file, *around);
  else
    checked = std::unexpected(around.error());
  auto stack = checked ? start_stack(options, file) : Result<LocalStack>(std::unexpected(checked.error()));
  if (!stack) {
    exit = report(stack.error());
    co_return;
  }
  Job job(options, file, pilot);
  job.where_ = stack->store;
  std::unique_ptr<WorkerThread> worker;
  Scope beside(executor);
  beside.spawn("signals", watch_signals(job, worker));
  Result<int> result = kCouldNot;
  {
    ApiClient api(executor, stack->endpoint);
    // It waits for work while the data is uploaded, so that the first shard finds it ready.
    worker = std::make_unique<WorkerThread>(worker_options(options, file, stack->endpoint, *around));
    beside.spawn("watch the worker", watch_worker(job, *worker));
    const auto submitted = co_await job.begin(api);
    if (submitted)
      result = co_await job.end(api, *submitted);
    else
      result = std::unexpected(submitted.error());
    if (worker->ended() && !worker->result() && worker->result().error().kind != ErrorKind::cancelled)
      result = std::unexpected(worker->result().error());
  }
  beside.cancel();
  co_await beside.join();
  worker.reset();
  // Made for this run alone. That it could not be revoked is no reason to fail: nobody else has seen it.
  if (const auto revoked = stack->server->revoke_key(stack->endpoint.key); !revoked)
    log::debug("the key of this run stays", {{"error", revoked.error().message}});
  stack->server->stop();
  exit = result ? *result : report(result.error());
}

Task<> run_remote(const RunOptions& options, const EvaluationFile& file, const std::optional<Pilot>& pilot,
                  ApiEndpoint endpoint, int& exit) {
  const auto executor = co_await asio::this_coro::executor;
  Job job(options, file, pilot);
  job.where_ = options.remote.api;
  std::unique_ptr<WorkerThread> no_worker;
  Scope beside(executor);
  beside.spawn("signals", watch_signals(job, no_worker));
  Result<int> result = kPassed;
  {
    ApiClient api(executor, std::move(endpoint));
    const auto submitted = co_await job.begin(api);
    if (!submitted)
      result = std::unexpected(submitted.error());
    else if (options.no_wait)
      std::printf("%s\n", submitted->run.c_str());
    else
      result = co_await job.end(api, *submitted);
  }
  beside.cancel();
  co_await beside.join();
  exit = result ? *result : report(result.error());
}

int run(const RunOptions& options, bool local) {
  log::set_level(options.log_level);
  auto file = load_evaluation_file(options.file);
  if (!file) return report(file.error());
  std::optional<Pilot> pilot;
  if (options.pilot > 0) {
    auto shortened = shorten(*file, options.pilot);
    if (!shortened) return report(shortened.error());
    pilot = std::move(*shortened);
  }
  raise_descriptor_limit();  // a model call is a connection
  asio::io_context io(1);
  Scope scope(io.get_executor());
  int exit = kCouldNot;
  if (local) {
    scope.spawn("run", run_local(options, *file, pilot, exit));
  } else {
    auto endpoint = options.remote.endpoint();
    if (!endpoint) return report(endpoint.error());
    scope.spawn("submit", run_remote(options, *file, pilot, std::move(*endpoint), exit));
  }
  io.run();
  return exit;
}

void add_common(CLI::App& command, RunOptions& options) {
  command.add_option("file", options.file, "the evaluation file (TOML)")->required();
  command.add_option("--output", options.output, "folder for results.jsonl and summary.json");
  command.add_flag("--json", options.json, "print one JSON document instead of the table");
  command
      .add_option("--pilot", options.pilot,
                  "evaluate so many of the items, and say what all of them would cost; no gates")
      ->check(CLI::Range(1, 1'000'000));
  command.add_flag("--fresh", options.fresh, "start over instead of resuming a run that was cut short");
  command.add_option("--log-level", options.log_level, "debug, info, warn, error or off")
      ->check(CLI::IsMember({"debug", "info", "warn", "error", "off"}))
      ->capture_default_str();
}

}  // namespace

void declare_run(CLI::App& app, Chosen& chosen) {
  auto* command = app.add_subcommand("run", "run an evaluation file on this machine, start to finish");
  auto options = std::make_shared<RunOptions>();
  add_common(*command, *options);
  auto* state =
      command->add_option("--state", options->state, "folder of the state; default .assay beside the file");
  command->add_flag("--ephemeral", options->ephemeral, "keep no state")->excludes(state);
  command->add_option("--hosts", options->hosts, "evaluator processes at most; default one a core")
      ->check(CLI::Range(1, 1024));
  command->add_option("--models", options->models, "models.toml: the models that evaluators may ask");
  command->add_option("--sandbox", options->sandbox_mode, "demand a jail mode instead of the best that works")
      ->check(CLI::IsMember({"full", "userns", "nons"}));
  command->callback([options, &chosen] { chosen = [options] { return run(*options, true); }; });
}

void declare_submit(CLI::App& app, Chosen& chosen) {
  auto* command = app.add_subcommand("submit", "give an evaluation file to an API and follow the run");
  auto options = std::make_shared<RunOptions>();
  add_common(*command, *options);
  options->remote.declare(*command, "submit");
  command->add_flag("--no-wait", options->no_wait, "print the run's id and leave");
  command->callback([options, &chosen] { chosen = [options] { return run(*options, false); }; });
}

}  // namespace assay::cli
