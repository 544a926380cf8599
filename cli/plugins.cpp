// `assay plugins`: the plugins of this machine and the evaluators in them.
#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/terminal_text.hpp"
#include "core/async/scope.hpp"
#include "core/json.hpp"
#include "core/log.hpp"
#include "daemon/config.hpp"
#include "sandbox/runtime/pool.hpp"

namespace assay::cli {
namespace {

struct Listed {
  std::string name, path;
  Result<sandbox::PluginDescription> plugin;
};

void print(const Listed& listed) {
  if (!listed.plugin) {
    std::printf("%s  %s\n  does not load: %s\n", listed.name.c_str(), listed.path.c_str(),
                printable(listed.plugin.error().message).c_str());
    return;
  }
  std::printf("%s %s  %s\n", listed.name.c_str(), printable(listed.plugin->version).c_str(),
              listed.path.c_str());
  size_t widest = 0;
  for (const auto& evaluator : listed.plugin->evaluators) widest = std::max(widest, evaluator.name.size());
  for (const auto& evaluator : listed.plugin->evaluators)
    std::printf("  %s/%s  %s\n", listed.name.c_str(), padded_right(evaluator.name, widest).c_str(),
                printable(evaluator.summary).c_str());
}

Json json_of(const Listed& listed) {
  Json json{{"name", listed.name}, {"path", listed.path}};
  if (!listed.plugin) {
    json["error"] = listed.plugin.error().message;
    return json;
  }
  json["version"] = listed.plugin->version;
  json["evaluators"] = Json::array();
  for (const auto& evaluator : listed.plugin->evaluators)
    json["evaluators"].push_back({{"name", evaluator.name},
                                  {"summary", evaluator.summary},
                                  {"params", *parse_json(evaluator.params)},
                                  {"services", evaluator.services}});
  return json;
}

Task<> list(const daemon::Surroundings& around, bool as_json, int& exit) {
  const auto executor = co_await asio::this_coro::executor;
  auto pool = co_await sandbox::Pool::start(executor, {.hosts = 1, .mode = around.sandbox.mode});
  if (!pool) {
    exit = report(pool.error());
    co_return;
  }
  exit = kPassed;
  Json document = Json::array();
  for (const auto& [name, path] : around.plugins.all()) {
    Listed listed{name, path, {}};
    listed.plugin = co_await (*pool)->describe_plugin(path);
    if (listed.plugin && listed.plugin->name != name)
      listed.plugin = fail(ErrorKind::config, "it calls itself " + listed.plugin->name +
                                                  ": the file must be named " + listed.plugin->name + ".so");
    if (!listed.plugin) exit = kFailed;
    if (as_json)
      document.push_back(json_of(listed));
    else
      print(listed);
  }
  if (as_json) std::printf("%s\n", dump_json(document).c_str());
  co_await (*pool)->close();
}

int run(bool as_json) {
  log::set_level(log::Level::warn);
  const auto around = daemon::Surroundings::from_environment("", "");
  if (!around) return report(around.error());
  asio::io_context io(1);
  Scope scope(io.get_executor());
  int exit = kCouldNot;
  scope.spawn("plugins", list(*around, as_json, exit));
  io.run();
  return exit;
}

}  // namespace

void declare_plugins(CLI::App& app, Chosen& chosen) {
  auto* command = app.add_subcommand("plugins", "list the plugins of this machine and their evaluators");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "print one JSON document, with the schemas of parameters");
  command->callback([json, &chosen] { chosen = [json] { return run(*json); }; });
}

}  // namespace assay::cli
