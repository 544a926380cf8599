#include "daemon/plugins.hpp"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <regex>

#include "core/json.hpp"
#include "plugins/json/schema.hpp"
#include "sandbox/runtime/language.hpp"

namespace assay::daemon {
namespace {

namespace fs = std::filesystem;

/// Where those are that come with Assay: beside the build's programs, or where they are installed.
std::vector<fs::path> own_folders() {
  std::error_code ignored;
  const auto bin = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  return {bin.parent_path() / "lib" / "assay" / "plugins",
          bin.parent_path() / ASSAY_LIBDIR / "assay" / "plugins"};
}

Result<> check_params(const sandbox::PluginEvaluator& evaluator, const std::string& params) {
  ASSAY_TRY(const Json schema, parse_json(evaluator.params));
  ASSAY_TRY(const Json given, parse_json(params));
  const auto compiled = json_check::Schema::compile(schema);
  if (!compiled) return fail(ErrorKind::config, "the schema of its parameters is none: " + compiled.error());
  const auto verdict = compiled->validate(given);
  if (!verdict) return fail(ErrorKind::config, "params: " + verdict.error());
  if (!verdict->valid) return fail(ErrorKind::config, "params: " + verdict->reason);
  return {};
}

}  // namespace

void PluginSettings::declare(Settings& settings) {
  settings.add("plugins.path", "folders of plugins (NAME.so), before those that come with Assay", &path);
}

Result<Plugins> Plugins::find(const PluginSettings& settings) {
  static const std::regex kName("^[a-z0-9_-]{1,64}$");
  Plugins plugins;
  const auto take = [&](const fs::path& folder) -> std::error_code {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error))
      if (entry.path().extension() == ".so" && std::regex_match(entry.path().stem().string(), kName))
        plugins.paths_.emplace(entry.path().stem().string(), fs::weakly_canonical(entry.path()).string());
    return error;
  };
  for (const std::string& folder : settings.path) {
    if (!folder.starts_with('/'))
      return fail(ErrorKind::config, "plugins.path must hold absolute paths, not " + folder);
    if (const auto error = take(folder))
      return fail(ErrorKind::config,
                  "plugins.path: cannot read the folder " + folder + ": " + error.message());
  }
  for (const fs::path& folder : own_folders()) take(folder);
  return plugins;
}

Result<std::string> Plugins::path(std::string_view name) const {
  if (const auto found = paths_.find(name); found != paths_.end()) return found->second;
  std::string names;
  for (const auto& [known, path] : paths_) names += (names.empty() ? "" : ", ") + known;
  return fail(ErrorKind::config, "there is no plugin " + std::string(name) + " on this machine; " +
                                     (names.empty() ? "there are none at all" : "there are " + names) +
                                     " (plugins.path says where plugins are)");
}

Task<Result<>> check_plugin(sandbox::Pool& pool, std::shared_ptr<const sandbox::Program> program) {
  if (program->language != sandbox::kPlugin) co_return Result<>{};
  const auto plugin = co_await pool.describe_plugin(program->plugin);
  if (!plugin) co_return std::unexpected(plugin.error());
  const std::string name = program->source.substr(program->source.find('/') + 1);
  const auto* const evaluator = plugin->evaluator(name);
  if (evaluator != nullptr) co_return check_params(*evaluator, program->params);
  std::string names;
  for (const auto& known : plugin->evaluators) names += (names.empty() ? "" : ", ") + known.name;
  co_return fail(ErrorKind::config,
                 "the plugin " + plugin->name + " has no evaluator " + name + "; it has " + names);
}

}  // namespace assay::daemon
