#include "daemon/plugins.hpp"

#include <filesystem>
#include <regex>

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

}  // namespace assay::daemon
