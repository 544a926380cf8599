#include "sandbox/runtime/requirements.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>

#include "sandbox/jail/helper.hpp"
#include "sandbox/jail/landlock.hpp"
#include "sandbox/runtime/language.hpp"
#include "sandbox/runtime/language_trial.hpp"
#include "sandbox/runtime/spawner_client.hpp"

namespace assay::sandbox {

Result<Requirements> Requirements::from(const std::vector<std::string>& words) {
  Requirements required;
  for (const std::string& word : words) {
    const auto mode = mode_from(word);
    const auto languages = languages_to_try();
    const auto language = std::ranges::find(languages, word);
    if (mode) {
      required.least = std::min(required.least, *mode);
    } else if (word == "cgroups") {
      required.cgroups = true;
    } else if (word == "landlock") {
      required.landlock = true;
    } else if (language != languages.end()) {
      required.languages.push_back(*language);
    } else {
      std::string known;
      for (const std::string_view name : languages) known += ", " + std::string(name);
      return fail(ErrorKind::config, "sandbox.require has \"" + word +
                                         "\": it knows full, userns, nons, cgroups, landlock" + known);
    }
  }
  return required;
}

std::vector<std::string> missing(const Requirements& required, const Given& given) {
  std::vector<std::string> list;
  if (!given.mode)
    list.push_back("mode " + std::string(to_string(required.least)) + " (none works)");
  else if (*given.mode > required.least)
    list.push_back("mode " + std::string(to_string(required.least)) + " (" +
                   std::string(to_string(*given.mode)) + " is in use)");
  if (required.cgroups && given.cgroups == Cgroups::none) list.emplace_back("control groups");
  if (required.landlock && given.landlock_abi < 1) list.emplace_back("Landlock");
  for (const std::string_view language : required.languages)
    if (std::ranges::find(given.languages, language) == given.languages.end()) list.emplace_back(language);
  return list;
}

Task<Result<>> check_requirements(Pool& pool, const Requirements& required) {
  Given given{
      .mode = pool.mode(), .cgroups = pool.cgroups(), .landlock_abi = landlock_abi(), .languages = {}};
  for (const std::string_view language : required.languages) {
    const LanguageTrial trial = co_await try_language(pool, language);
    if (trial.ok) given.languages.push_back(language);
  }
  const auto lacking = missing(required, given);
  if (lacking.empty()) co_return Result<>();
  std::string list;
  for (const std::string& what : lacking) list += (list.empty() ? "" : ", ") + what;
  co_return fail(ErrorKind::internal, "the sandbox lacks what sandbox.require demands: " + list +
                                          "; `assay doctor` says why and what to do");
}

Task<std::vector<std::string>> working_languages(Pool& pool) {
  std::vector<std::string> working;
  for (const Language& language : languages()) {
    if (language.name == kCandidate || language.name == kPackages || language.name == kPlugin)
      continue;  // nobody writes evaluators in the first two; what works of plugins, they tell themselves
    const LanguageTrial trial = co_await try_language(pool, language.name);
    if (trial.ok) working.emplace_back(language.name);
  }
  co_return working;
}

Task<std::string> why_not_better(Mode mode) {
  const auto executor = co_await asio::this_coro::executor;
  std::string why;
  const auto path = helper_path(language_named("lua")->host);
  const auto host = path ? open_cloexec(*path, O_PATH) : Result<UniqueFd>(std::unexpected(path.error()));
  for (const Mode better : {Mode::full, Mode::userns}) {
    if (better >= mode || !host) break;
    const auto tried = co_await SpawnerClient::try_mode(executor, better, Profile::sealed, host->get());
    if (!why.empty()) why += "; ";
    why += std::string(to_string(better)) + ": ";
    if (!tried)
      why += tried.error().message;
    else if (tried->kind == SpawnReply::Kind::found)
      why += "not asked for";
    else
      why += std::string(to_string(tried->step)) + " failed: " + std::strerror(tried->error);
  }
  co_return why;
}

}  // namespace assay::sandbox
