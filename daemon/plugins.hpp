// Where the plugins of this machine are (docs/plugins.md, "Where plugins are").
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/async/task.hpp"
#include "core/error.hpp"
#include "core/settings.hpp"
#include "sandbox/runtime/pool.hpp"

namespace assay::daemon {

/// `[plugins]`.
struct PluginSettings {
  std::vector<std::string> path;  ///< folders, before those that come with Assay

  void declare(Settings& settings);
};

/// The files NAME.so of some folders, by name. Nothing of them is loaded here.
class Plugins {
 public:
  /// Of the folders, the first that has a name counts; after them the plugins that came with this program.
  /// `config` for a folder that cannot be read.
  static Result<Plugins> find(const PluginSettings& settings);

  /// The absolute path; `config` that lists the names that there are.
  Result<std::string> path(std::string_view name) const;
  const std::map<std::string, std::string, std::less<>>& all() const { return paths_; }

 private:
  std::map<std::string, std::string, std::less<>> paths_;
};

/// That the plugin loads, has the evaluator and its schema takes the parameters; `config` that says what does
/// not. It is asked in a jail. True of programs in other languages.
Task<Result<>> check_plugin(sandbox::Pool& pool, std::shared_ptr<const sandbox::Program> program);

}  // namespace assay::daemon
