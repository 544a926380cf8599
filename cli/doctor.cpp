// `assay doctor`: every layer of the sandbox tried on this machine, and what to do about those that do not
// work.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <cstdlib>

#include "cli/command.hpp"
#include "cli/doctor_report.hpp"
#include "core/async/scope.hpp"
#include "core/fd.hpp"
#include "core/log.hpp"
#include "daemon/config.hpp"
#include "sandbox/jail/helper.hpp"
#include "sandbox/jail/landlock.hpp"
#include "sandbox/runtime/language.hpp"
#include "sandbox/runtime/spawner_client.hpp"

namespace assay::cli {
namespace {

using sandbox::Mode;
using sandbox::Profile;

struct DoctorOptions {
  std::string sandbox_mode;
  std::string config_file;
  bool json = false;
};

/// What the settings of the worker demand, and --sandbox before them.
Result<daemon::SandboxChoice> demanded_by(const DoctorOptions& options) {
  daemon::Config config;
  Settings settings;
  config.declare(settings);
  if (!options.config_file.empty()) {
    ASSAY_OK(settings.load_file(options.config_file));
  }
  ASSAY_OK(settings.load_environment());
  if (!options.sandbox_mode.empty()) config.sandbox.mode = options.sandbox_mode;
  return config.sandbox.choose();
}

GroupFindings try_groups() {
  sandbox::CgroupTree tree;
  GroupFindings found{
      .kind = tree.kind(), .obstacle = tree.obstacle(), .memory = {}, .processes = {}, .kill = {}};
  if (tree.kind() == sandbox::Cgroups::none) return found;
  found.memory = sandbox::try_memory_limit(tree);
  found.processes = sandbox::try_process_limit(tree);
  if (tree.kind() == sandbox::Cgroups::v2) found.kill = sandbox::try_group_kill(tree);
  return found;
}

/// By the spawner itself: rules such as AppArmor's go by the program.
Task<Result<JailFinding>> try_jail(Mode mode, std::string_view language) {
  const auto* const kind = sandbox::language_named(language);
  ASSAY_CO_TRY(const std::string path, sandbox::helper_path(kind->host));
  ASSAY_CO_TRY(const UniqueFd host, open_cloexec(path, O_PATH));
  const auto executor = co_await asio::this_coro::executor;
  ASSAY_CO_TRY(const auto reply,
               co_await sandbox::SpawnerClient::try_mode(executor, mode, kind->profile, host.get()));
  co_return JailFinding{.step = reply.step, .error = reply.error};
}

Task<Result<>> try_modes(DoctorReport& report) {
  for (const Mode mode : {Mode::full, Mode::userns, Mode::nons}) {
    ModeFinding finding{.mode = mode, .sealed = {}, .system = {}};
    ASSAY_CO_TRY(finding.sealed, co_await try_jail(mode, "lua"));
    ASSAY_CO_TRY(finding.system, co_await try_jail(mode, "python"));
    report.modes.push_back(finding);
    const bool wanted = report.demanded ? mode == *report.demanded : !report.mode;
    if (wanted && finding.sealed.ok()) report.mode = mode;
  }
  co_return Result<>();
}

Task<Result<>> try_evaluators(DoctorReport& report) {
  const auto executor = co_await asio::this_coro::executor;
  ASSAY_CO_TRY(const auto pool, co_await sandbox::Pool::start(executor, {.hosts = 1, .mode = report.mode}));
  for (const std::string_view language : sandbox::languages_to_try())
    report.languages.push_back(co_await sandbox::try_language(*pool, language));
  std::string_view sleeper = "lua";
  for (const std::string_view better : {"python", "shell"})  // a process that sleeps is harder to end
    for (const auto& trial : report.languages)
      if (trial.ok && trial.language == better) sleeper = better;
  report.deadline = co_await sandbox::try_deadline(*pool, sleeper);
  co_await pool->close();
  co_return Result<>();
}

Task<> examine(DoctorReport& report, Result<>& result) {
  result = co_await try_modes(report);
  if (result && report.mode) result = co_await try_evaluators(report);
}

int run_doctor(const DoctorOptions& options) {
  log::set_level(log::Level::error);
  auto choice = demanded_by(options);
  if (!choice) return report(choice.error());
  const auto spawner = sandbox::helper_path("assay-spawner");
  if (!spawner) {
    report(spawner.error());
    return kCouldNot;
  }
  DoctorReport found;
  found.platform = sandbox::this_platform();
  found.spawner = *spawner;
  found.demanded = choice->mode;
  found.required = std::move(choice->require);
  // While this process has one thread: these fork.
  found.landlock_abi = sandbox::landlock_abi();
  found.no_new_privileges = sandbox::try_no_new_privileges();
  found.seccomp = sandbox::try_seccomp();
  found.landlock = sandbox::try_landlock();
  found.groups = try_groups();

  asio::io_context io(1);
  Scope scope(io.get_executor());
  Result<> result;
  scope.spawn("doctor", examine(found, result));
  io.run();
  if (!result) {
    report(result.error());
    return kCouldNot;
  }
  const bool colour = ::isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr;
  const std::string text = options.json ? to_json(found) + "\n" : render(found, colour);
  std::fputs(text.c_str(), stdout);
  return found.ok() ? kPassed : kCouldNot;
}

}  // namespace

void declare_doctor(CLI::App& app, Chosen& chosen) {
  auto* command = app.add_subcommand("doctor", "try every layer of the sandbox on this machine");
  auto options = std::make_shared<DoctorOptions>();
  command->add_option("--sandbox", options->sandbox_mode, "demand a jail mode instead of the best that works")
      ->check(CLI::IsMember({"full", "userns", "nons"}));
  command->add_option("--config", options->config_file,
                      "the worker's settings file (TOML), for what its [sandbox] demands");
  command->add_flag("--json", options->json, "print one JSON document");
  command->callback([options, &chosen] { chosen = [options] { return run_doctor(*options); }; });
}

}  // namespace assay::cli
