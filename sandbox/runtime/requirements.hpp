// What a machine must give before evaluators are run on it: `[sandbox] require` of the settings.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/async/task.hpp"
#include "core/error.hpp"
#include "sandbox/jail/cgroup.hpp"
#include "sandbox/jail/mode.hpp"
#include "sandbox/runtime/pool.hpp"

namespace assay::sandbox {

struct Requirements {
  Mode least = Mode::nons;  ///< or a stronger one
  bool cgroups = false;     ///< of any version
  bool landlock = false;    ///< of any version
  std::vector<std::string_view> languages;

  /// Each word is a mode, "cgroups", "landlock" or a language; `config` for another.
  static Result<Requirements> from(const std::vector<std::string>& words);
};

/// What is there to be held against them. No mode: none works.
struct Given {
  std::optional<Mode> mode;
  Cgroups cgroups = Cgroups::none;
  int landlock_abi = 0;  ///< negative: none
  std::vector<std::string_view> languages;
};
/// What of `required` is not there, for people: "mode full (userns is the best that works)".
std::vector<std::string> missing(const Requirements& required, const Given& given);

/// `internal` that names what the sandbox of `pool` lacks; languages are tried in it.
Task<Result<>> check_requirements(Pool& pool, const Requirements& required);

/// Those that work in the sandbox of `pool`; each is tried.
Task<std::vector<std::string>> working_languages(Pool& pool);

/// Why jails of `mode` are made and not better ones, for people; each better mode is tried once more.
Task<std::string> why_not_better(Mode mode);

}  // namespace assay::sandbox
