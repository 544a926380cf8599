#include "sandbox/runtime/language.hpp"

#include <algorithm>
#include <array>

namespace assay::sandbox {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kHostMemory = 4 * kMiB;
constexpr uint64_t kCpuSeconds = 3600;  // of a host's whole life; the pool replaces it long before

// Beyond the memory limit: the copy of the fresh state, buffers for the largest item, the program itself.
constexpr uint64_t kLuaHostMemory = 192 * kMiB;

// Beside what the plugin has: libraries that it is linked with, items and answers on their way.
constexpr uint64_t kPluginHostMemory = 64 * kMiB;

constexpr std::array kLanguages = {
    Language{.name = "lua",
             .extensions = {".lua"},
             .host = "assay-lua-host",
             .profile = Profile::sealed,
             .memory_bytes = 64 * kMiB,
             .overhead_bytes = kLuaHostMemory,
             .processes = 1},
    Language{.name = "python",
             .extensions = {".py"},
             .memory_bytes = 256 * kMiB,
             .overhead_bytes = 64 * kMiB,  // the interpreter, whose pages an item's process copies
             .processes = 18},
    Language{.name = "node",
             .extensions = {".mjs", ".js"},
             .memory_bytes = 256 * kMiB,
             .overhead_bytes = 192 * kMiB,  // Node itself, and the process that is ready for the next item
             .processes = 64},              // each has a dozen threads
    Language{.name = "shell",
             .extensions = {".sh"},
             .jail_per_item = true,
             .memory_bytes = 256 * kMiB,
             .overhead_bytes = kHostMemory,
             .processes = 17},
    Language{.name = kPlugin,
             .host = "assay-plugin-host",
             .memory_bytes = 256 * kMiB,
             .overhead_bytes = kPluginHostMemory,
             .processes = 34},  // the host and its watch
    // Not for evaluators to be written in: what assay.run_candidate runs.
    Language{.name = kCandidate,
             .jail_per_item = true,
             .memory_bytes = 256 * kMiB,
             .overhead_bytes = kHostMemory,
             .processes = 17},
    // Nor this: what installs the packages that evaluators ask for.
    Language{.name = kPackages,
             .jail_per_item = true,
             .memory_bytes = 2'048 * kMiB,
             .overhead_bytes = kHostMemory,
             .processes = 64},
    Language{.name = "command",
             .jail_per_item = true,
             .memory_bytes = 256 * kMiB,
             .overhead_bytes = kHostMemory,
             .processes = 17},
};

const Language* find(auto matches) {
  const auto* const found = std::ranges::find_if(kLanguages, matches);
  return found == kLanguages.end() ? nullptr : found;
}

}  // namespace

const Language* language_named(std::string_view name) {
  return find([&](const Language& language) { return language.name == name; });
}

const Language* language_of_extension(std::string_view extension) {
  return find([&](const Language& language) {
    return !extension.empty() &&
           std::ranges::find(language.extensions, extension) != language.extensions.end();
  });
}

std::span<const Language> languages() {
  return kLanguages;
}

JailLimits jail_limits(const Language& language, uint64_t memory_bytes) {
  if (language.profile == Profile::sealed)
    return {
        .address_space_bytes = memory_bytes + language.overhead_bytes,
        .cpu_seconds = kCpuSeconds,
        .processes = language.processes,
        .descriptors = 5};  // one more than it has, for the Landlock ruleset; the host then lowers it to 0
  return {.cpu_seconds = kCpuSeconds,
          .memory_bytes = memory_bytes + language.overhead_bytes,
          .processes = language.processes,
          .descriptors = 128,
          .file_bytes = language.name == kPackages ? 4'096 * kMiB : 16 * kMiB,
          .scratch_bytes = 16 * kMiB,
          .scratch_inodes = 1'000};
}

}  // namespace assay::sandbox
