// The settings of assayd (`assayd --help`), read by whatever has to know how a worker is set up.
#pragma once

#include <string>
#include <vector>

#include "core/settings.hpp"
#include "daemon/plugins.hpp"
#include "daemon/worker.hpp"

namespace assay::daemon {

/// `[sandbox]` and `[packages]`.
struct SandboxSettings {
  std::string mode;
  std::vector<std::string> require;
  sandbox::PackageSources packages;  ///< `[packages]`

  void declare(Settings& settings);
  Result<SandboxChoice> choose() const;
};

/// `[models]`.
struct ModelSettings {
  std::string file;
  std::string cache;
  size_t cache_bytes = size_t{1} << 30;

  void declare(Settings& settings);
  /// Of models.file, else of models.toml where configuration of this user or machine is kept; `models` stays
  /// empty when there is none.
  Result<ModelChoice> choose() const;
};

/// What evaluators of a command of the command line may use: from the ASSAY_… variables.
struct Surroundings {
  SandboxChoice sandbox;
  Plugins plugins;
  ModelChoice models;
  /// `mode` and `models` (a path), unless empty, count before the variables.
  static Result<Surroundings> from_environment(const std::string& mode, const std::string& models);
};

struct Config {
  std::string api = "http://127.0.0.1:7777";
  std::string key_file;
  std::string ca_file;
  std::string metrics_listen;
  std::string name;
  std::string log_level = "info";
  SandboxSettings sandbox;
  PluginSettings plugins;
  ModelSettings models;
  WorkerOptions worker;  ///< what of it is settings; the rest is for the program to fill in

  void declare(Settings& settings);
  /// `spool.folder`, else systemd's StateDirectory=, else where programs of this user keep such things.
  Result<std::string> spool_folder(const std::string& worker_name) const;
};

}  // namespace assay::daemon
