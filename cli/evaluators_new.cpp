// `assay evaluators new`: a small evaluator that works, and items to try it on.
#include <fcntl.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>

#include "cli/command.hpp"
#include "cli/templates/CMakeLists.txt.hpp"
#include "cli/templates/evaluator.cpp.hpp"
#include "cli/templates/evaluator.lua.hpp"
#include "cli/templates/evaluator.mjs.hpp"
#include "cli/templates/evaluator.py.hpp"
#include "cli/templates/evaluator.sh.hpp"
#include "cli/templates/items.jsonl.hpp"
#include "core/fd.hpp"

namespace assay::cli {
namespace {

namespace fs = std::filesystem;

struct Template {
  std::string_view name;  ///< of the file; @NAME@ is the evaluator's
  std::string_view text;
};

struct LanguageTemplate {
  std::string_view language;
  Template evaluator;
  bool own_folder = false;  ///< it is built, and what builds it has a name that others would have too
};

constexpr std::string_view kName = "@NAME@";
constexpr Template kItems{"@NAME@.items.jsonl", kItemsTemplate};
constexpr Template kBuild{"CMakeLists.txt", kCMakeTemplate};
constexpr std::array<LanguageTemplate, 5> kLanguages{{{"lua", {"@NAME@.lua", kLuaTemplate}},
                                                      {"python", {"@NAME@.py", kPythonTemplate}},
                                                      {"node", {"@NAME@.mjs", kNodeTemplate}},
                                                      {"shell", {"@NAME@.sh", kShellTemplate}},
                                                      {"cpp", {"@NAME@.cpp", kCppTemplate}, true}}};

struct NewOptions {
  std::string language, name, into = ".";
};

/// `text` with the evaluator's name in place of @NAME@.
std::string named(std::string_view text, const std::string& name) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t next = std::min(text.find(kName, at), text.size());
    out += text.substr(at, next - at);
    if (next < text.size()) out += name;
    at = next + kName.size();
  }
  return out;
}

/// A name that is also one of a file, of a CMake project and within a string of each language.
Result<> check_name(const std::string& name) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  const auto fits = [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-'; };
  if (!name.empty() && name.size() <= 64 && letter(name[0]) && std::ranges::all_of(name, fits)) return {};
  return fail(ErrorKind::config,
              "the name \"" + name + "\" must be a letter and up to 63 letters, digits, - and _");
}

Result<> write_new(const fs::path& path, const std::string& text) {
  ASSAY_TRY(const UniqueFd file, open_cloexec(path.string(), O_WRONLY | O_CREAT | O_EXCL, 0666));
  for (std::string_view rest = text; !rest.empty();) {
    const ssize_t written = ::write(file.get(), rest.data(), rest.size());
    if (written < 0) return fail_errno(ErrorKind::internal, "cannot write " + path.string(), errno);
    rest.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

/// The files, the evaluator first. Nothing is written when one of them is there.
Result<std::vector<fs::path>> write_files(const NewOptions& options) {
  ASSAY_OK(check_name(options.name));
  const auto language = std::ranges::find(kLanguages, options.language, &LanguageTemplate::language);
  fs::path folder = options.into;
  std::vector<Template> files{language->evaluator, kItems};
  if (language->own_folder) {
    folder /= options.name;
    files.push_back(kBuild);
  }
  std::vector<fs::path> paths;
  std::error_code error;
  for (const Template& file : files) {
    paths.push_back((folder / named(file.name, options.name)).lexically_normal());
    if (fs::exists(fs::symlink_status(paths.back(), error)))
      return fail(ErrorKind::config, paths.back().string() + " is there already; nothing was written");
  }
  fs::create_directories(folder, error);
  if (error)
    return fail(ErrorKind::config, "cannot make the folder " + folder.string() + ": " + error.message());
  for (size_t i = 0; i < files.size(); ++i) {
    ASSAY_OK(write_new(paths[i], named(files[i].text, options.name)));
  }
  return paths;
}

int run_new(const NewOptions& options) {
  const auto paths = write_files(options);
  if (!paths) return report(paths.error());
  for (const auto& path : *paths) std::printf("%s\n", path.c_str());
  if (options.language != "cpp")
    std::fprintf(stderr, "Try it: assay evaluators test %s --watch\n", paths->front().c_str());
  else
    std::fprintf(stderr, "Build it: cmake -S %s -B build && cmake --build build\n",
                 paths->front().parent_path().c_str());
  return kPassed;
}

}  // namespace

void declare_evaluators_new(CLI::App& evaluators, Chosen& chosen) {
  auto options = std::make_shared<NewOptions>();
  auto* command =
      evaluators.add_subcommand("new", "write a small evaluator that works, and items to try it on");
  command->add_option("name", options->name, "what it is called; its files are NAME.lua and so on")
      ->required();
  command->add_option("--language", options->language, "what it is written in")
      ->required()
      ->check(CLI::IsMember({"lua", "python", "node", "shell", "cpp"}));
  command->add_option("--into", options->into, "the folder it is written to; made when it is not there");
  command->callback([options, &chosen] { chosen = [options] { return run_new(*options); }; });
}

}  // namespace assay::cli
