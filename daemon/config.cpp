#include "daemon/config.hpp"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "sandbox/runtime/packages/index_proxy.hpp"

namespace assay::daemon {
namespace {

std::string from_environment(const char* variable) {
  const char* const value = std::getenv(variable);
  return value == nullptr ? "" : value;
}

/// Of the XDG variable `name`, else `leaf` in the home folder; "" when there is neither.
std::string folder_of_user(const char* name, const char* leaf) {
  const std::string given = from_environment(name), home = from_environment("HOME");
  if (given.starts_with('/')) return given;
  return home.starts_with('/') ? home + leaf : "";
}

/// systemd's CacheDirectory=, else where programs of this user keep such things.
std::string cache_folder(const std::string& leaf) {
  if (const std::string given = from_environment("CACHE_DIRECTORY"); !given.empty())
    return given.substr(0, given.find(':')) + "/" + leaf;
  const std::string usual = folder_of_user("XDG_CACHE_HOME", "/.cache");
  return (usual.empty() ? "/var/cache" : usual) + "/assay/" + leaf;
}

Result<sandbox::PackageSources> checked(sandbox::PackageSources packages) {
  const auto check_url = [](const char* key, const std::string& url) -> Result<void> {
    if (url.empty() || (sandbox::HostPort::of_url(url) && url.find_first_of(" \r\n") == std::string::npos))
      return {};
    return fail(ErrorKind::config, std::string(key) + " must be a URL, http:// or https://");
  };
  ASSAY_OK(check_url("packages.index", packages.index));
  ASSAY_OK(check_url("packages.registry", packages.registry));
  for (const std::string& host : packages.hosts)
    if (!sandbox::HostPort::of_text(host, 0))
      return fail(ErrorKind::config, "packages.hosts has \"" + host + "\": write HOST or HOST:PORT");
  if (packages.folder.empty()) packages.folder = cache_folder("packages");
  const auto check_path = [](const char* key, const std::string& path) -> Result<void> {
    constexpr size_t kLongest = 400;  // the names of environments follow
    if (path.empty() || (path.starts_with('/') && path.size() <= kLongest)) return {};
    return fail(ErrorKind::config,
                std::string(key) + " must be an absolute path of 400 bytes at most: " + path);
  };
  ASSAY_OK(check_path("packages.folder", packages.folder));
  ASSAY_OK(check_path("packages.wheelhouse", packages.wheelhouse));
  if (!packages.wheelhouse.empty() && !std::filesystem::is_directory(packages.wheelhouse))
    return fail(ErrorKind::config, "packages.wheelhouse " + packages.wheelhouse + " is no folder");
  return packages;
}

}  // namespace

void SandboxSettings::declare(Settings& settings) {
  settings.add("sandbox.mode", "demand full, userns or nons instead of the best that works", &mode);
  settings.add("sandbox.require",
               "refuse to start without: full or userns (the least mode), cgroups, landlock, a language",
               &require);
  settings.add("packages.index", "URL from which pip installs what evaluators require; default nowhere",
               &packages.index);
  settings.add("packages.registry", "URL from which npm does", &packages.registry);
  settings.add("packages.hosts", "HOST or HOST:PORT that their files are on besides", &packages.hosts);
  settings.add("packages.wheelhouse", "folder of wheels, instead of an index", &packages.wheelhouse);
  settings.add("packages.folder", "where installed packages are kept; default the user's cache folder",
               &packages.folder);
  settings.add("packages.bytes", "of all packages kept; those not used for longest are removed",
               &packages.limit_bytes, size_t{1} << 20, size_t{1} << 50);
}

Result<SandboxChoice> SandboxSettings::choose() const {
  SandboxChoice choice;
  if (!mode.empty()) {
    choice.mode = sandbox::mode_from(mode);
    if (!choice.mode)
      return fail(ErrorKind::config, "sandbox.mode is \"" + mode + "\": use full, userns or nons");
  }
  ASSAY_TRY(choice.require, sandbox::Requirements::from(require));
  ASSAY_TRY(choice.packages, checked(packages));
  return choice;
}

void ModelSettings::declare(Settings& settings) {
  settings.add("models.file",
               "the models that evaluators may ask (docs/models.md); default models.toml in "
               "~/.config/assay or /etc/assay, if it is there",
               &file);
  settings.add("models.cache", "folder of replies that are kept; default below the user's cache folder",
               &cache);
  settings.add("models.cache_bytes", "of replies kept; those not used for longest go first", &cache_bytes,
               size_t{1} << 20, size_t{1} << 50);
}

Result<ModelChoice> ModelSettings::choose() const {
  ModelChoice choice;
  std::string path = file;
  const std::string config = folder_of_user("XDG_CONFIG_HOME", "/.config");
  for (const std::string& folder : {config, std::string("/etc")})
    if (const auto usual = folder + "/assay/models.toml";
        path.empty() && !folder.empty() && ::access(usual.c_str(), F_OK) == 0)
      path = usual;
  if (path.empty()) return choice;
  ASSAY_TRY(choice.models, llm::Models::load(path));
  if (!cache.empty() && !cache.starts_with('/'))
    return fail(ErrorKind::config, "models.cache must be an absolute path: " + cache);
  choice.broker.cache_folder = cache.empty() ? cache_folder("replies") : cache;
  choice.broker.cache_bytes = static_cast<int64_t>(cache_bytes);
  return choice;
}

Result<Surroundings> Surroundings::from_environment(const std::string& mode, const std::string& models_file) {
  SandboxSettings sandbox;
  PluginSettings plugins;
  ModelSettings models;
  Settings settings;
  sandbox.declare(settings);
  plugins.declare(settings);
  models.declare(settings);
  ASSAY_OK(settings.load_environment());
  if (!mode.empty()) sandbox.mode = mode;
  if (!models_file.empty()) models.file = models_file;
  Surroundings surroundings;
  ASSAY_TRY(surroundings.sandbox, sandbox.choose());
  ASSAY_TRY(surroundings.plugins, Plugins::find(plugins));
  ASSAY_TRY(surroundings.models, models.choose());
  return surroundings;
}

Result<std::string> Config::spool_folder(const std::string& worker_name) const {
  const std::string& given = worker.spool.folder;
  if (given.starts_with('/')) return given;
  if (!given.empty()) return fail(ErrorKind::config, "spool.folder must be an absolute path: " + given);
  if (const std::string state = from_environment("STATE_DIRECTORY"); !state.empty())
    return state.substr(0, state.find(':')) + "/spool";
  // Workers of one user and host differ in their names.
  std::string leaf = url_encode(worker_name);
  if (leaf.find_first_not_of('.') == std::string::npos) leaf.insert(0, "%");
  const std::string state = from_environment("XDG_STATE_HOME"), home = from_environment("HOME");
  if (state.starts_with('/')) return state + "/assay/spool/" + leaf;
  if (home.starts_with('/')) return home + "/.local/state/assay/spool/" + leaf;
  return fail(ErrorKind::config,
              "there is no home folder to keep computed outcomes in: set spool.folder to a folder for them");
}

void Config::declare(Settings& settings) {
  settings.add("api.url", "the API: http(s)://HOST:PORT or unix:/PATH", &api);
  settings.add("api.key_file", "file that holds the worker's API key", &key_file);
  settings.add("api.ca_file",
               "PEM file of the authorities that vouch for an https API, instead of the system's", &ca_file);
  settings.add("worker.name", "this worker's name, stable over restarts; default the host's name", &name);
  settings.add("worker.environments", "run environments this worker serves", &worker.environments);
  settings.add("worker.labels", "what runs may require of a worker, such as gpu:a100; languages are added",
               &worker.labels);
  settings.add("worker.hosts", "evaluator processes at most", &worker.hosts, 1, 1024);
  settings.add("worker.shards", "shards leased at once", &worker.shards, 1, 1024);
  settings.add("worker.items", "items in flight at once", &worker.items, 2, 1'000'000);
  settings.add("worker.drain_grace", "time for the items in flight after SIGTERM", &worker.drain_grace);
  settings.add("spool.folder", "keeps outcomes until the API has them; default below the user's state folder",
               &worker.spool.folder);
  settings.add("spool.bytes", "of outcomes kept; from 90 % on nothing more is claimed", &worker.spool.bytes,
               size_t{1} << 20, size_t{1} << 50);
  sandbox.declare(settings);
  plugins.declare(settings);
  models.declare(settings);
  settings.add("metrics.listen",
               "address of /metrics, /livez and /readyz: HOST:PORT or unix:/PATH; default nowhere",
               &metrics_listen);
  settings.add("log.level", "debug, info, warn or error", &log_level);
}

}  // namespace assay::daemon
