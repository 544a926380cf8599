#include "cli/doctor_report.hpp"

#include <catch2/catch.hpp>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "core/json.hpp"

using namespace assay;
using namespace assay::cli;
using namespace assay::sandbox;
using namespace std::chrono_literals;
using Catch::Contains;

namespace {

constexpr JailFinding kForbidden{.step = Step::clone, .error = EPERM};

/// Root on a machine that gives everything.
DoctorReport healthy() {
  DoctorReport report;
  report.platform = {.kernel = "6.12.1",
                     .architecture = "x86_64",
                     .root = true,
                     .distribution = Distribution::debian,
                     .max_user_namespaces = 15'000};
  report.spawner = "/usr/libexec/assay/assay-spawner";
  for (const Mode mode : {Mode::full, Mode::userns, Mode::nons}) report.modes.push_back({.mode = mode});
  report.mode = Mode::full;
  report.landlock_abi = 6;
  report.no_new_privileges = report.seccomp = report.landlock = {.ok = true, .seen = "seen"};
  report.groups = {.kind = Cgroups::v2,
                   .memory = Trial{.ok = true},
                   .processes = Trial{.ok = true},
                   .kill = Trial{.ok = true}};
  for (const auto language : languages_to_try())
    report.languages.push_back({.language = language, .ok = true});
  report.deadline = DeadlineTrial{.ended = true, .limit = 300ms, .took = 305ms};
  return report;
}

/// A user on the same machine, where user namespaces are forbidden.
DoctorReport without_namespaces() {
  DoctorReport report = healthy();
  report.platform.root = false;
  report.modes[0] = {.mode = Mode::full, .sealed = kForbidden, .system = kForbidden};
  report.modes[1] = {.mode = Mode::userns, .sealed = kForbidden, .system = kForbidden};
  report.mode = Mode::nons;
  report.groups = {.kind = Cgroups::none, .obstacle = "not ours: Permission denied"};
  return report;
}

Json json_of(const DoctorReport& report) {
  return *parse_json(to_json(report));
}

}  // namespace

TEST_CASE("doctor: where everything works there is nothing to do", "[cli][doctor]") {
  const DoctorReport report = healthy();
  CHECK(report.ok());
  CHECK(report.troubles().empty());
  const std::string text = render(report, false);
  CHECK_THAT(text, !Contains("what to do") && !Contains("missing") && !Contains("\033"));
  CHECK_THAT(text, Contains("mode used        ok       full"));
  CHECK_THAT(text, Contains("ended 305 ms into a limit of 300 ms"));
  CHECK_THAT(render(report, true), Contains("\033[32mok     \033[0m"));
  const Json json = json_of(report);
  CHECK((json["ok"] == true && json["mode"] == "full" && json["missing"].empty() &&
         json["what_to_do"].empty()));
  CHECK((json["modes"].size() == 3 && json["modes"][0]["remedy"].empty() &&
         json["modes"][0]["errno"].is_null()));
  CHECK((json["landlock"]["abi"] == 6 && json["languages"].size() == 5));
}

TEST_CASE("doctor: what stands in the way is told with its remedy, and is a failure only when demanded",
          "[cli][doctor]") {
  DoctorReport report = without_namespaces();
  CHECK(report.ok());
  CHECK(report.troubles() == std::vector{Trouble::privileges, Trouble::user_namespaces, Trouble::groups});
  const std::string text = render(report, false);
  CHECK_THAT(text, Contains("clone3 with namespaces: Operation not permitted (EPERM)"));
  CHECK_THAT(text, Contains("mode used        limited  nons"));
  CHECK_THAT(text,
             Contains("what to do") && Contains("run as root") && Contains("unprivileged_userns_clone"));
  const Json mode = json_of(report)["modes"][1];
  CHECK((mode["ok"] == false && mode["step"] == "clone3 with namespaces" && mode["errno"] == "EPERM"));
  CHECK(mode["remedy"].size() == 2);

  report.required = {.least = Mode::userns, .cgroups = true};
  CHECK_FALSE(report.ok());
  CHECK(report.missing() == std::vector<std::string>{"mode userns (nons is in use)", "control groups"});
  CHECK_THAT(render(report, false), Contains("\nmissing: mode userns (nons is in use), control groups\n"));

  report = without_namespaces();
  report.demanded = Mode::userns;
  report.mode = std::nullopt;
  report.languages.clear();
  report.deadline.reset();
  CHECK_FALSE(report.ok());
  CHECK(report.missing() == std::vector<std::string>{"mode userns, as demanded"});
  CHECK(report.troubles() == std::vector{Trouble::user_namespaces, Trouble::groups});
  CHECK(json_of(report)["mode"].is_null());
  CHECK(json_of(report)["deadline"].is_null());
}

TEST_CASE("doctor: a mode weaker than the one in use needs no remedy", "[cli][doctor]") {
  DoctorReport report = healthy();
  report.modes[1] = {.mode = Mode::userns, .sealed = kForbidden, .system = kForbidden};
  CHECK(report.troubles().empty());
  CHECK(report.ok());
}

TEST_CASE("doctor: a jail for lua only is a limited mode", "[cli][doctor]") {
  DoctorReport report = healthy();
  for (auto& finding : report.modes) finding.system = {.step = Step::mount_proc, .error = EINVAL};
  CHECK_THAT(render(report, false), Contains("mode full        limited  lua only; mounting /proc"));
  CHECK(report.troubles() == std::vector{Trouble::privileges});
  CHECK_FALSE(report.ok());
  const Json mode = json_of(report)["modes"][0];
  CHECK((mode["ok"] == false && mode["lua"] == true && mode["step"] == "mounting /proc"));
}

TEST_CASE("doctor: what is there and does not hold is a failure", "[cli][doctor]") {
  const auto broken = GENERATE(0, 1, 2, 3, 4, 5, 6, 7);
  DoctorReport report = healthy();
  if (broken == 0) report.groups.memory = Trial{.ok = false, .seen = "128 MiB could be touched"};
  if (broken == 1) report.groups.processes = Trial{.ok = false, .seen = "a third could be started"};
  if (broken == 2) report.deadline->ended = false;
  if (broken == 3) report.languages[0].ok = false;
  if (broken == 4) report.seccomp = {.ok = false, .seen = "seccomp", .error = EINVAL};
  if (broken == 5) report.no_new_privileges.ok = false;
  if (broken == 6) report.mode = std::nullopt;
  if (broken == 7) report.languages[1] = {.language = "python", .error = {ErrorKind::internal, "no library"}};
  CAPTURE(broken);
  CHECK_FALSE(report.ok());
}

TEST_CASE("doctor: a missing interpreter is named, and fails when it is demanded", "[cli][doctor]") {
  DoctorReport report = healthy();
  report.languages[1] = {
      .language = "python", .error = {ErrorKind::config, "no Python interpreter"}, .has_interpreter = false};
  CHECK(report.ok());
  CHECK(report.troubles() == std::vector{Trouble::python});
  CHECK_THAT(render(report, false),
             Contains("python           no       no Python interpreter") && Contains("apt install python3"));
  report.required.languages = {"python"};
  CHECK_FALSE(report.ok());
  CHECK(report.missing() == std::vector<std::string>{"python"});
}

TEST_CASE("doctor: a time limit that is enforced late is limited", "[cli][doctor]") {
  DoctorReport report = healthy();
  report.deadline->took = 900ms;
  CHECK(report.ok());
  CHECK_THAT(render(report, false),
             Contains("time limit       limited  ended 900 ms into a limit of 300 ms"));
  report.deadline = DeadlineTrial{.ended = false, .error = {ErrorKind::crashed, "it crashed"}};
  CHECK_THAT(render(report, false), Contains("time limit       no       it crashed"));
  CHECK(json_of(report)["deadline"]["error"] == "it crashed");
}

TEST_CASE("doctor: an old Landlock says what it lacks", "[cli][doctor]") {
  DoctorReport report = healthy();
  report.landlock_abi = 4;
  CHECK_THAT(
      render(report, false),
      Contains("landlock         limited  seen: lacks device controls, signals and abstract sockets\n"));
  CHECK(report.troubles() == std::vector{Trouble::old_landlock});
  report.landlock = {.ok = false, .seen = "landlock_create_ruleset", .error = EOPNOTSUPP};
  report.landlock_abi = -EOPNOTSUPP;
  CHECK_THAT(render(report, false), Contains("Operation not supported (EOPNOTSUPP)"));
  CHECK(report.troubles() == std::vector{Trouble::landlock});
  CHECK(json_of(report)["landlock"]["abi"] == 0);
}
