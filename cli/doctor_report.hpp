// What `assay doctor` found, and how it is told.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sandbox/jail/platform.hpp"
#include "sandbox/jail/remedy.hpp"
#include "sandbox/jail/trial.hpp"
#include "sandbox/runtime/language_trial.hpp"
#include "sandbox/runtime/requirements.hpp"

namespace assay::cli {

/// A jail that was tried: the step that failed, or Step::none.
struct JailFinding {
  sandbox::Step step = sandbox::Step::none;
  int error = 0;
  bool ok() const { return step == sandbox::Step::none; }
};

struct ModeFinding {
  sandbox::Mode mode = sandbox::Mode::full;
  JailFinding sealed;  ///< the jail of lua
  JailFinding system;  ///< that of the other languages
};

struct GroupFindings {
  sandbox::Cgroups kind = sandbox::Cgroups::none;
  std::string obstacle;                                   ///< why not a better one
  std::optional<sandbox::Trial> memory, processes, kill;  ///< none: not tried
};

struct DoctorReport {
  sandbox::Platform platform;
  std::string spawner;  ///< the path of assay-spawner
  std::vector<ModeFinding> modes;
  std::optional<sandbox::Mode> demanded;
  sandbox::Requirements required;
  std::optional<sandbox::Mode> mode;  ///< that evaluators would be run in
  int landlock_abi = 0;
  sandbox::Trial no_new_privileges, seccomp, landlock;
  GroupFindings groups;
  std::vector<sandbox::LanguageTrial> languages;
  std::optional<sandbox::DeadlineTrial> deadline;

  /// What the settings or --sandbox demand and is not there, for people.
  std::vector<std::string> missing() const;
  /// Nothing demanded is missing, and what is there does what it promises.
  bool ok() const;
  /// Of what stands between this machine and its best, each once.
  std::vector<sandbox::Trouble> troubles() const;
};

/// Aligned lines, then what to do.
std::string render(const DoctorReport& report, bool colour);
/// One document (docs/doctor.md).
std::string to_json(const DoctorReport& report);

}  // namespace assay::cli
