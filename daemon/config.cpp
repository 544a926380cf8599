#include "daemon/config.hpp"

namespace assay::daemon {

void SandboxSettings::declare(Settings& settings) {
  settings.add("sandbox.mode", "demand full, userns or nons instead of the best that works", &mode);
  settings.add("sandbox.require",
               "refuse to start without: full or userns (the least mode), cgroups, landlock, a language",
               &require);
}

Result<SandboxChoice> SandboxSettings::choose() const {
  SandboxChoice choice;
  if (!mode.empty()) {
    choice.mode = sandbox::mode_from(mode);
    if (!choice.mode)
      return fail(ErrorKind::config, "sandbox.mode is \"" + mode + "\": use full, userns or nons");
  }
  ASSAY_TRY(choice.require, sandbox::Requirements::from(require));
  return choice;
}

Result<SandboxChoice> SandboxSettings::from_environment(const std::string& mode) {
  SandboxSettings sandbox;
  Settings settings;
  sandbox.declare(settings);
  ASSAY_OK(settings.load_environment());
  if (!mode.empty()) sandbox.mode = mode;
  return sandbox.choose();
}

void Config::declare(Settings& settings) {
  settings.add("api.url", "the API: http(s)://HOST:PORT or unix:/PATH", &api);
  settings.add("api.key_file", "file that holds the worker's API key", &key_file);
  settings.add("worker.name", "this worker's name, stable over restarts; default the host's name", &name);
  settings.add("worker.environments", "run environments this worker serves", &worker.environments);
  settings.add("worker.hosts", "evaluator processes at most", &worker.hosts, 1, 1024);
  settings.add("worker.shards", "shards leased at once", &worker.shards, 1, 1024);
  settings.add("worker.items", "items in flight at once", &worker.items, 2, 1'000'000);
  settings.add("worker.drain_grace", "time for the items in flight after SIGTERM", &worker.drain_grace);
  sandbox.declare(settings);
  settings.add("log.level", "debug, info, warn or error", &log_level);
}

}  // namespace assay::daemon
