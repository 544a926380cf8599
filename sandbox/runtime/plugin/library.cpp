#include "sandbox/runtime/plugin/library.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <deque>

#include "sandbox/runtime/plugin/lookup.hpp"
#include "sandbox/runtime/wire/json_reader.hpp"

namespace assay::sandbox::plugin {
namespace {

constexpr size_t kDescriptionLimit = 1U << 20;
constexpr size_t kMostInFlight = 4'096;
constexpr uint32_t kFirstEntrySize = 32;  // of ABI 1.0
static_assert(sizeof(assay_plugin_entry) >= kFirstEntrySize);

std::unexpected<Error> refuse(std::string message) {
  return fail(ErrorKind::config, std::move(message));
}

bool is_object(std::string_view json) {
  wire::JsonReader reader(json);
  return reader.peek() == wire::JsonReader::Kind::object && reader.skip() && reader.at_end();
}

bool is_offered(std::string_view service) {
  static constexpr std::array<std::string_view, 3> kServices = {ASSAY_SERVICE_JSON, ASSAY_SERVICE_LOG,
                                                                ASSAY_SERVICE_LLM};
  return std::ranges::find(kServices, service) != kServices.end();
}

}  // namespace

Result<Library> Library::load(const std::string& path) {
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return refuse(std::string("it cannot be loaded: ") + dlerror());
  Library loaded;
  loaded.entry_ = static_cast<const assay_plugin_entry*>(dlsym(library, "assay_plugin"));
  if (loaded.entry_ == nullptr) return refuse("it is no plugin: it does not export assay_plugin");
  const auto& entry = *loaded.entry_;
  if (entry.size >= kFirstEntrySize && entry.abi_major != ASSAY_ABI_MAJOR)
    return refuse("it was built for version " + std::to_string(entry.abi_major) +
                  " of the plugin ABI, and this worker has " + std::to_string(ASSAY_ABI_MAJOR));
  if (entry.size < kFirstEntrySize || entry.describe == nullptr || entry.create == nullptr)
    return refuse("its assay_plugin is smaller than that of ABI 1.0, or has no describe or create");
  const size_t size = strnlen(entry.describe, kDescriptionLimit);
  loaded.description_ = {entry.describe, size};
  if (size == kDescriptionLimit || !is_object(loaded.description_))
    return refuse("what it says of itself (describe) is no JSON object of 1 MiB at most");
  return loaded;
}

Result<Library::Evaluator> Library::find(std::string_view name) const {
  std::deque<std::string> kept;
  const auto text = [&](const std::string& path) {
    const auto found = look_up(description_, path, kept);
    return found && found->is_text ? found->value : std::string_view();
  };
  const size_t slash = std::min(name.find('/'), name.size());
  const std::string_view plugin = text("name");
  if (plugin != name.substr(0, slash))
    return refuse("it calls itself \"" + std::string(plugin.substr(0, 64)) + "\", not \"" +
                  std::string(name.substr(0, slash)) + '"');
  const std::string_view wanted = name.substr(std::min(slash + 1, name.size()));
  for (size_t i = 0;; i++) {
    const std::string at = "evaluators." + std::to_string(i);
    if (!look_up(description_, at, kept)) break;
    if (wanted.empty() || text(at + ".name") != wanted) continue;
    for (size_t service = 0;; service++) {
      const std::string needed(text(at + ".services." + std::to_string(service)));
      if (needed.empty()) break;
      if (!is_offered(needed))
        return refuse("it needs the service " + needed + ", which this worker has not");
    }
    Evaluator evaluator{std::string(wanted)};
    if (const auto most = look_up(description_, at + ".max_in_flight", kept)) {
      const std::string_view digits = most->value;
      const auto read = std::from_chars(digits.begin(), digits.end(), evaluator.max_in_flight);
      if (read.ec != std::errc() || read.ptr != digits.end() || evaluator.max_in_flight == 0 ||
          evaluator.max_in_flight > kMostInFlight)
        return refuse("max_in_flight of " + evaluator.name + " must be 1 to 4096");
    }
    return evaluator;
  }
  return refuse("the plugin " + std::string(plugin) + " has no evaluator \"" + std::string(wanted) + '"');
}

}  // namespace assay::sandbox::plugin
