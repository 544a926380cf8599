// The settings of assayd (`assayd --help`), read by whatever has to know how a worker is set up.
#pragma once

#include <string>
#include <vector>

#include "core/settings.hpp"
#include "daemon/worker.hpp"

namespace assay::daemon {

/// `[sandbox]` and `[packages]`.
struct SandboxSettings {
  std::string mode;
  std::vector<std::string> require;
  sandbox::PackageSources packages;  ///< `[packages]`

  void declare(Settings& settings);
  Result<SandboxChoice> choose() const;
  /// ASSAY_SANDBOX_MODE, unless `mode` is given, and ASSAY_SANDBOX_REQUIRE.
  static Result<SandboxChoice> from_environment(const std::string& mode);
};

struct Config {
  std::string api = "http://127.0.0.1:7777";
  std::string key_file;
  std::string ca_file;
  std::string metrics_listen;
  std::string name;
  std::string log_level = "info";
  SandboxSettings sandbox;
  WorkerOptions worker;  ///< what of it is settings; the rest is for the program to fill in

  void declare(Settings& settings);
  /// `spool.folder`, else systemd's StateDirectory=, else where programs of this user keep such things.
  Result<std::string> spool_folder(const std::string& worker_name) const;
};

}  // namespace assay::daemon
