#include "cli/doctor_report.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>

#include "cli/terminal_text.hpp"
#include "core/json.hpp"

namespace assay::cli {
namespace {

using sandbox::Cgroups;
using sandbox::Mode;
using sandbox::Step;
using sandbox::Trial;
using sandbox::Trouble;

constexpr int kScopedLandlock = 6;
constexpr std::chrono::milliseconds kLate{500};  // more than a busy machine explains

enum class Status { ok, limited, no };
constexpr std::array<std::string_view, 3> kStatusNames = {"ok", "limited", "no"};
constexpr std::array<std::string_view, 3> kStatusColours = {"\033[32m", "\033[33m", "\033[31m"};

struct Line {
  std::string name;
  Status status;
  std::string detail;
};

std::string name_of(Mode mode) {
  return std::string(to_string(mode));
}

std::string errno_name(int error) {
  const char* const name = strerrorname_np(error);
  return name != nullptr ? name : std::to_string(error);
}

/// "Operation not permitted (EPERM)".
std::string errno_text(int error) {
  return std::string(std::strerror(error)) + " (" + errno_name(error) + ")";
}

std::string refusal(const JailFinding& jail) {
  return std::string(to_string(jail.step)) + ": " + errno_text(jail.error);
}

std::string told(const Trial& trial) {
  return trial.error == 0 ? trial.seen : trial.seen + ": " + errno_text(trial.error);
}

Line line_of(std::string name, const Trial& trial) {
  return {std::move(name), trial.ok ? Status::ok : Status::no, told(trial)};
}

Line machine_line(const sandbox::Platform& platform) {
  std::string text =
      platform.kernel + " " + platform.architecture + ", " + (platform.root ? "root" : "not root");
  if (platform.container != sandbox::Container::none)
    text += ", in a container (" + std::string(to_string(platform.container)) + ")";
  return {"kernel", Status::ok, std::move(text)};
}

Line mode_line(const ModeFinding& finding) {
  const std::string name = "mode " + name_of(finding.mode);
  if (!finding.sealed.ok()) return {name, Status::no, refusal(finding.sealed)};
  if (!finding.system.ok()) return {name, Status::limited, "lua only; " + refusal(finding.system)};
  return {name, Status::ok, "a whole jail was built"};
}

Line used_line(const DoctorReport& report) {
  if (!report.mode) return {"mode used", Status::no, "none: no evaluator can be run"};
  std::string text = name_of(*report.mode);
  if (report.demanded) text += ", as demanded";
  const bool best = *report.mode == Mode::full || report.demanded;
  return {"mode used", best ? Status::ok : Status::limited, std::move(text)};
}

Line namespaces_line(const DoctorReport& report) {
  const auto& platform = report.platform;
  std::string text;
  const auto add = [&](const char* name, const std::optional<long>& value) {
    if (!value) return;
    text += (text.empty() ? "" : ", ") + std::string(name) + " = " + std::to_string(*value);
  };
  add("user.max_user_namespaces", platform.max_user_namespaces);
  add("kernel.unprivileged_userns_clone", platform.unprivileged_userns_clone);
  add("kernel.apparmor_restrict_unprivileged_userns", platform.apparmor_restrict_unprivileged_userns);
  if (text.empty()) text = "the kernel has no switch user.max_user_namespaces";
  const auto userns = std::ranges::find(report.modes, Mode::userns, &ModeFinding::mode);
  const bool work = userns != report.modes.end() && userns->sealed.ok();
  return {"user namespaces", work ? Status::ok : Status::no, std::move(text)};
}

Line landlock_line(const DoctorReport& report) {
  Line line = line_of("landlock", report.landlock);
  if (!report.landlock.ok || report.landlock_abi >= kScopedLandlock) return line;
  line.status = Status::limited;
  line.detail += ": lacks";
  constexpr std::array<std::pair<int, const char*>, 5> kSince = {{{2, " moves between directories,"},
                                                                  {3, " truncation,"},
                                                                  {4, " TCP,"},
                                                                  {5, " device controls,"},
                                                                  {6, " signals and abstract sockets,"}}};
  for (const auto& [abi, what] : kSince)
    if (report.landlock_abi < abi) line.detail += what;
  line.detail.pop_back();
  return line;
}

Line groups_line(const GroupFindings& groups) {
  std::string text(to_string(groups.kind));
  if (!groups.obstacle.empty())
    text += groups.kind == Cgroups::none ? ": " + groups.obstacle : "; no better one: " + groups.obstacle;
  if (groups.kind == Cgroups::none) text += "; only the limits of single processes hold";
  return {"control groups", groups.kind == Cgroups::none ? Status::limited : Status::ok, std::move(text)};
}

Line language_line(const sandbox::LanguageTrial& trial) {
  std::string text = trial.error.message;
  if (trial.ok) {
    text = "an evaluator ran, " + duration_text(static_cast<double>(trial.took.count()) / 1000);
    if (!trial.version.empty()) text += ", " + trial.version;
  }
  return {std::string(trial.language), trial.ok ? Status::ok : Status::no, std::move(text)};
}

Line deadline_line(const sandbox::DeadlineTrial& trial) {
  if (!trial.ended) return {"time limit", Status::no, trial.error.message};
  const bool late = trial.took > trial.limit + kLate;
  return {"time limit", late ? Status::limited : Status::ok,
          "ended " + duration_text(static_cast<double>(trial.took.count()) / 1000) + " into a limit of " +
              duration_text(static_cast<double>(trial.limit.count()))};
}

std::vector<Line> lines_of(const DoctorReport& report) {
  std::vector<Line> lines = {machine_line(report.platform)};
  for (const auto& finding : report.modes) lines.push_back(mode_line(finding));
  lines.push_back(used_line(report));
  lines.push_back(namespaces_line(report));
  lines.push_back(line_of("no_new_privs", report.no_new_privileges));
  lines.push_back(line_of("seccomp", report.seccomp));
  lines.push_back(landlock_line(report));
  lines.push_back(groups_line(report.groups));
  if (report.groups.memory) lines.push_back(line_of("memory limit", *report.groups.memory));
  if (report.groups.processes) lines.push_back(line_of("process limit", *report.groups.processes));
  if (report.groups.kill) lines.push_back(line_of("cgroup.kill", *report.groups.kill));
  for (const auto& trial : report.languages) lines.push_back(language_line(trial));
  if (report.deadline) lines.push_back(deadline_line(*report.deadline));
  return lines;
}

/// Line breaks of `text` go on at the same column.
std::string indented(const std::string& text, const std::string& blanks) {
  std::string out;
  for (const char c : text) out += c == '\n' ? "\n" + blanks : std::string(1, c);
  return out;
}

Json json_of(const Trial& trial) {
  Json json{{"ok", trial.ok}, {"seen", trial.seen}};
  json["errno"] = trial.error == 0 ? Json() : Json(errno_name(trial.error));
  return json;
}

Json json_of(const std::optional<Trial>& trial) {
  return trial ? json_of(*trial) : Json();
}

template <class T>
Json json_of(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json json_of(const DoctorReport& report, const ModeFinding& finding) {
  const JailFinding& jail = finding.sealed.ok() ? finding.system : finding.sealed;
  Json json{{"mode", name_of(finding.mode)},
            {"ok", jail.ok()},
            {"lua", finding.sealed.ok()},
            {"step", nullptr},
            {"error", nullptr},
            {"errno", nullptr},
            {"remedy", Json::array()}};
  if (jail.ok()) return json;
  json["step"] = std::string(to_string(jail.step));
  json["error"] = std::strerror(jail.error);
  json["errno"] = errno_name(jail.error);
  const auto trouble = trouble_of(finding.mode, jail.step, jail.error, report.platform);
  if (trouble) json["remedy"] = remedies(*trouble, report.platform, report.spawner);
  return json;
}

Json json_of(const sandbox::LanguageTrial& trial) {
  Json json{{"language", std::string(trial.language)},
            {"ok", trial.ok},
            {"took_us", trial.took.count()},
            {"version", nullptr},
            {"error", nullptr}};
  if (!trial.version.empty()) json["version"] = trial.version;
  if (!trial.ok) json["error"] = trial.error.message;
  return json;
}

}  // namespace

std::vector<std::string> DoctorReport::missing() const {
  std::vector<std::string> list;
  if (demanded && !mode) list.push_back("mode " + name_of(*demanded) + ", as demanded");
  sandbox::Given given{.mode = mode, .cgroups = groups.kind, .landlock_abi = landlock_abi, .languages = {}};
  for (const auto& trial : languages)
    if (trial.ok) given.languages.push_back(trial.language);
  if (demanded && !mode) given.mode = Mode::full;  // said already
  for (auto& what : sandbox::missing(required, given)) list.push_back(std::move(what));
  return list;
}

bool DoctorReport::ok() const {
  const auto holds = [](const std::optional<Trial>& trial) { return !trial || trial->ok; };
  // What is tried is right, and what a mode or a missing interpreter forbids is `config`.
  const auto works = [](const sandbox::LanguageTrial& trial) {
    return trial.ok || (trial.language != "lua" && trial.error.kind == ErrorKind::config);
  };
  const auto used = std::ranges::find_if(modes, [&](const auto& finding) { return finding.mode == mode; });
  return used != modes.end() && used->sealed.ok() && used->system.ok() && missing().empty() && seccomp.ok &&
         no_new_privileges.ok && holds(groups.memory) && holds(groups.processes) &&
         std::ranges::all_of(languages, works) && deadline && deadline->ended;
}

std::vector<Trouble> DoctorReport::troubles() const {
  std::vector<Trouble> list;
  const auto add = [&](std::optional<Trouble> trouble) {
    if (trouble && std::ranges::find(list, *trouble) == list.end()) list.push_back(*trouble);
  };
  const auto wanted = demanded ? demanded : mode;
  for (const auto& finding : modes) {
    if (demanded ? finding.mode != *demanded : wanted && finding.mode > *wanted) continue;
    for (const auto& jail : {finding.sealed, finding.system})
      add(trouble_of(finding.mode, jail.step, jail.error, platform));
  }
  if (!seccomp.ok) add(Trouble::seccomp);
  if (!landlock.ok)
    add(Trouble::landlock);
  else if (landlock_abi < kScopedLandlock)
    add(Trouble::old_landlock);
  if (groups.kind == Cgroups::none) add(Trouble::groups);
  for (const auto& trial : languages) {
    if (trial.has_interpreter) continue;
    if (trial.language == "python") add(Trouble::python);
    if (trial.language == "node") add(Trouble::node);
  }
  return list;
}

std::string render(const DoctorReport& report, bool colour) {
  const auto lines = lines_of(report);
  size_t width = 0;
  for (const auto& line : lines) width = std::max(width, line.name.size());
  std::string text;
  for (const auto& line : lines) {
    const auto status = static_cast<size_t>(line.status);
    std::string mark = padded_right(kStatusNames[status], 7);
    if (colour) mark = std::string(kStatusColours[status]) + mark + "\033[0m";
    text += padded_right(line.name, width) + "  " + mark + "  " + printable(line.detail) + "\n";
  }
  if (const auto troubles = report.troubles(); !troubles.empty()) {
    text += "\nwhat to do\n";
    for (const Trouble trouble : troubles) {
      text += "  " + std::string(to_string(trouble)) + "\n";
      for (const auto& remedy : remedies(trouble, report.platform, report.spawner))
        text += "    - " + indented(remedy, "      ") + "\n";
    }
  }
  std::string lacking;
  for (const auto& what : report.missing()) lacking += (lacking.empty() ? "" : ", ") + what;
  if (!lacking.empty())
    text += "\nmissing: " + lacking + "\n";
  else if (!report.ok())
    text += "\nthe sandbox does not do what it should: see the lines marked \"no\"\n";
  return text;
}

std::string to_json(const DoctorReport& report) {
  const auto& platform = report.platform;
  Json modes = Json::array(), languages = Json::array(), troubles = Json::array();
  for (const auto& finding : report.modes) modes.push_back(json_of(report, finding));
  for (const auto& trial : report.languages) languages.push_back(json_of(trial));
  for (const Trouble trouble : report.troubles())
    troubles.push_back({{"about", std::string(to_string(trouble))},
                        {"remedy", remedies(trouble, platform, report.spawner)}});
  Json landlock = json_of(report.landlock);
  landlock["abi"] = std::max(report.landlock_abi, 0);
  Json document{
      {"ok", report.ok()},
      {"mode", report.mode ? Json(name_of(*report.mode)) : Json()},
      {"missing", report.missing()},
      {"machine",
       {{"kernel", platform.kernel},
        {"architecture", platform.architecture},
        {"root", platform.root},
        {"distribution", std::string(to_string(platform.distribution))},
        {"container", std::string(to_string(platform.container))}}},
      {"modes", std::move(modes)},
      {"user_namespaces",
       {{"max_user_namespaces", json_of(platform.max_user_namespaces)},
        {"unprivileged_userns_clone", json_of(platform.unprivileged_userns_clone)},
        {"apparmor_restrict_unprivileged_userns", json_of(platform.apparmor_restrict_unprivileged_userns)}}},
      {"no_new_privs", json_of(report.no_new_privileges)},
      {"seccomp", json_of(report.seccomp)},
      {"landlock", std::move(landlock)},
      {"cgroups",
       {{"kind", std::string(to_string(report.groups.kind))},
        {"obstacle", report.groups.obstacle},
        {"memory", json_of(report.groups.memory)},
        {"processes", json_of(report.groups.processes)},
        {"kill", json_of(report.groups.kill)}}},
      {"languages", std::move(languages)},
      {"deadline", nullptr},
      {"what_to_do", std::move(troubles)}};
  if (report.deadline)
    document["deadline"] = {
        {"ok", report.deadline->ended},
        {"limit_ms", report.deadline->limit.count()},
        {"took_us", report.deadline->took.count()},
        {"error", report.deadline->ended ? Json() : Json(report.deadline->error.message)}};
  return dump_json(document);
}

}  // namespace assay::cli
