// `assay runs`: the runs of an API, and what can be done to them; `assay workers`: who works on them.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/progress.hpp"
#include "cli/remote.hpp"
#include "cli/terminal_text.hpp"
#include "core/json.hpp"

namespace assay::cli {
namespace {

using namespace std::chrono_literals;

struct RunsOptions {
  RemoteOptions remote;
  std::string run;
  std::string status, container;
  int64_t limit = 20;
  bool json = false;
};

std::string runs_path(const RunsOptions& options, const std::string& verb = "") {
  return "/v1/evaluation/runs/" + daemon::url_encode(options.run) + (verb.empty() ? "" : "/" + verb);
}

/// As it may be shown on a terminal.
std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? printable(found->get<std::string>()) : "";
}

int64_t number_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

/// "running, paused", and how far it is.
std::string state_of(const Json& run) {
  return text_of(run, "status") + (run.value("paused", false) ? ", paused" : "");
}

void print_run_line(const Json& run) {
  const Json progress = run.value("progress", Json::object());
  const auto total = number_of(progress, "outcomes_total");
  const auto share = total > 0 ? 100 * number_of(progress, "outcomes_done") / total : 0;
  std::printf("%-31s %-17s %4lld%% %9lld %7lld  %s\n", text_of(run, "id").c_str(), state_of(run).c_str(),
              static_cast<long long>(share), static_cast<long long>(number_of(progress, "items_total")),
              static_cast<long long>(number_of(progress, "errors")), text_of(run, "created_at").c_str());
}

Task<Result<int>> list(daemon::ApiClient& api, RunsOptions options) {
  std::string path = "/v1/evaluation/runs?limit=" + std::to_string(options.limit);
  if (!options.status.empty()) path += "&status=" + daemon::url_encode(options.status);
  if (!options.container.empty()) path += "&container=" + daemon::url_encode(options.container);
  const auto runs = co_await ask(api, "GET", path);
  if (!runs) co_return std::unexpected(runs.error());
  if (options.json) {
    std::printf("%s\n", dump_json(*runs).c_str());
    co_return kPassed;
  }
  std::printf("%-31s %-17s %5s %9s %7s  %s\n", "RUN", "STATUS", "DONE", "ITEMS", "ERRORS", "CREATED");
  for (const auto& run : (*runs)["data"]) print_run_line(run);
  if (number_of(*runs, "total") > options.limit)
    std::printf("(%lld in all; --limit shows more)\n", static_cast<long long>(number_of(*runs, "total")));
  co_return kPassed;
}

void print_metrics(const Json& run) {
  for (const auto& metric : run.value("metrics", Json::array())) {
    const auto number = [&](const char* key) {
      const auto found = metric.find(key);
      if (found == metric.end() || !found->is_number()) return std::string("-");
      char text[32];
      std::snprintf(text, sizeof text, "%.4f", found->get<double>());
      return std::string(text);
    };
    std::printf("%-24s %9lld scored %7lld errors   mean %s   pass rate %s\n",
                text_of(metric.value("evaluator", Json::object()), "name").c_str(),
                static_cast<long long>(number_of(metric, "scored")),
                static_cast<long long>(number_of(metric, "errors")), number("mean").c_str(),
                number("pass_rate").c_str());
  }
}

int print_run(const Json& run, bool json) {
  if (json) {
    std::printf("%s\n", dump_json(run).c_str());
    return kPassed;
  }
  print_run_line(run);
  if (const auto error = text_of(run, "error"); !error.empty()) std::printf("error: %s\n", error.c_str());
  print_metrics(run);
  return kPassed;
}

Task<Result<int>> show(daemon::ApiClient& api, RunsOptions options) {
  const auto run = co_await ask(api, "GET", runs_path(options));
  if (!run) co_return std::unexpected(run.error());
  co_return print_run(*run, options.json);
}

/// pause, resume, cancel, retry.
Task<Result<int>> change(daemon::ApiClient& api, RunsOptions options, std::string verb) {
  const auto run = co_await ask(api, "POST", runs_path(options, verb));
  if (!run) co_return std::unexpected(run.error());
  co_return print_run(*run, options.json);
}

Task<Result<int>> remove(daemon::ApiClient& api, RunsOptions options) {
  const auto gone = co_await ask(api, "DELETE", runs_path(options));
  if (!gone) co_return std::unexpected(gone.error());
  co_return kPassed;
}

/// Server-sent events, put together from pieces; only `data` lines matter here.
class EventReader {
 public:
  /// The data of the last event that is complete in what has come; nullopt: none.
  std::optional<Json> take(std::string_view piece) {
    text_ += piece;
    std::optional<Json> last;
    for (size_t end = text_.find('\n'); end != std::string::npos; end = text_.find('\n')) {
      constexpr std::string_view kData = "data: ";
      const std::string line = text_.substr(0, end);
      text_.erase(0, end + 1);
      if (!line.starts_with(kData)) continue;
      if (auto data = parse_json(std::string_view(line).substr(kData.size()))) last = std::move(*data);
    }
    return last;
  }

 private:
  std::string text_;
};

bool has_ended(const Json& run) {
  const auto status = text_of(run, "status");
  return status == "completed" || status == "error" || status == "cancelled";
}

/// Follows the run until it has ended; a connection that breaks is made again.
Task<Result<Json>> follow(daemon::ApiClient& api, std::string path, Progress& progress) {
  Json last = Json::object();
  for (int attempt = 0; !has_ended(last); ++attempt) {
    EventReader events;
    daemon::ApiClient::Call call;
    call.path = path;
    call.accept = "text/event-stream";
    call.timeout = 24h;
    call.on_body = [&](std::string_view piece) {
      auto data = events.take(piece);
      if (!data) return;
      attempt = 0;
      last = std::move(*data);
      const Json done = last.value("progress", Json::object());
      progress.note_waiting(text_of(last, "waiting_for"));
      progress.update({.phase = state_of(last),
                       .done = static_cast<uint64_t>(number_of(done, "items_done")),
                       .total = static_cast<uint64_t>(number_of(done, "items_total")),
                       .errors = static_cast<uint64_t>(number_of(done, "errors"))});
    };
    const auto answer = co_await api.call(std::move(call));
    if (answer && !answer->ok() && !answer->retryable()) co_return std::unexpected(answer->error());
    if (has_ended(last)) break;
    const bool slept = co_await sleep_until(Clock::now() + daemon::backoff(std::min(attempt, 4)));
    if (!slept) co_return fail(ErrorKind::cancelled, "stopped");
  }
  co_return last;
}

Task<Result<int>> watch(daemon::ApiClient& api, RunsOptions options) {
  Progress progress(stderr, {.terminal = ::isatty(STDERR_FILENO) == 1});
  const auto end = co_await follow(api, runs_path(options, "events"), progress);
  progress.finish();
  if (!end) co_return std::unexpected(end.error());
  const auto run = co_await ask(api, "GET", runs_path(options));
  if (!run) co_return std::unexpected(run.error());
  print_run(*run, options.json);
  co_return text_of(*run, "status") == "completed" ? kPassed : kCouldNot;
}

std::string joined(const Json& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : ",") + word.get<std::string>();
  return printable(text);
}

/// What the worker said last, unless it was not heard for a minute, of six heartbeats: it ended as it said it
/// would, or is lost.
std::string worker_state(const Json& worker, int64_t age) {
  auto said = text_of(worker, "state");
  if (age <= 60'000) return said;
  return said == "drain" ? "gone" : "lost";
}

Task<Result<int>> workers(daemon::ApiClient& api, RunsOptions options) {
  const auto list = co_await ask(api, "GET", "/v1/workers");
  if (!list) co_return std::unexpected(list.error());
  if (options.json) {
    std::printf("%s\n", dump_json(*list).c_str());
    co_return kPassed;
  }
  std::printf("%-20s %-6s %8s %6s %-8s %-12s %-14s %s\n", "WORKER", "STATE", "HOLDS", "SLOTS", "SANDBOX",
              "LAST HEARD", "ENVIRONMENTS", "LABELS");
  for (const auto& worker : (*list)["data"]) {
    const int64_t age = number_of(worker, "silent_ms");
    std::printf("%-20s %-6s %8lld %6lld %-8s %-12s %-14s %s%s\n", text_of(worker, "name").c_str(),
                worker_state(worker, age).c_str(), static_cast<long long>(number_of(worker, "leases")),
                static_cast<long long>(number_of(worker, "slots")), text_of(worker, "sandbox").c_str(),
                age_text(age).c_str(), joined(worker["environments"]).c_str(),
                joined(worker["labels"]).c_str(),
                worker.value("fleet", false) ? " (serves every project)" : "");
  }
  co_return kPassed;
}

using Verb = std::function<Task<Result<int>>(daemon::ApiClient&, RunsOptions)>;

}  // namespace

void declare_runs(CLI::App& app, Chosen& chosen) {
  auto* runs = app.add_subcommand("runs", "the runs of an API, and what can be done to them");
  runs->require_subcommand(1);
  const auto add = [&chosen](CLI::App& to, const char* name, const char* doc, const char* scopes,
                             const Verb& verb) {
    auto options = std::make_shared<RunsOptions>();
    auto* command = to.add_subcommand(name, doc);
    options->remote.declare(*command, scopes);
    command->add_flag("--json", options->json, "print the API's answer");
    command->callback([options, verb, &chosen] {
      chosen = [options, verb] {
        return with_api(options->remote,
                        [options, verb](daemon::ApiClient& api) { return verb(api, *options); });
      };
    });
    return std::pair(command, options);
  };
  const auto add_one = [&](const char* name, const char* doc, const char* scopes, const Verb& verb) {
    auto [command, options] = add(*runs, name, doc, scopes, verb);
    command->add_option("RUN", options->run, "the run's id")->required();
  };
  auto [listing, options] = add(*runs, "list", "the newest runs", "read or submit", list);
  listing->add_option("--status", options->status,
                      "only queued, running, completed, error or cancelled ones");
  listing->add_option("--container", options->container, "only those of this container");
  listing->add_option("--limit", options->limit, "how many")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  const auto changing = [](const char* verb) {
    return [verb](daemon::ApiClient& api, RunsOptions given) { return change(api, std::move(given), verb); };
  };
  add_one("show", "one run, with its metrics so far", "read or submit", show);
  add_one("watch", "follow a run until it has ended", "read or submit", watch);
  add_one("pause", "hand out no more of a run", "submit", changing("pause"));
  add_one("resume", "go on with a paused run", "submit", changing("resume"));
  add_one("cancel", "end a run; what it has stays", "submit", changing("cancel"));
  add_one("retry", "evaluate again what erred, and what a run that ended early lacks", "submit",
          changing("retry"));
  add_one("delete", "delete a run that has ended, with its results", "submit", remove);
  add(app, "workers", "who works for an API, what they hold and when they were last heard", "read or submit",
      workers);
}

}  // namespace assay::cli
