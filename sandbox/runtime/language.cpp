#include "sandbox/runtime/language.hpp"

#include <algorithm>
#include <array>

namespace assay::sandbox {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kCpuSeconds = 3600;  // of a host's whole life; the pool replaces it long before

// In a jail beside what an evaluator may use: the host; an interpreter whose pages an item's process copies.
constexpr uint64_t kHostMemory = 4 * kMiB;
constexpr uint64_t kInterpreterMemory = 64 * kMiB;

// Beyond the memory limit: the copy of the fresh state, buffers for the largest item, the program itself.
constexpr uint64_t kLuaHostMemory = 192 * kMiB;

constexpr std::array kLanguages = {
    Language{"lua", ".lua", "assay-lua-host", Profile::sealed, false, 64 * kMiB},
    Language{"python", ".py", "assay-process-host", Profile::system, false, 256 * kMiB},
    Language{"shell", ".sh", "assay-process-host", Profile::system, true, 256 * kMiB},
    Language{"command", "", "assay-process-host", Profile::system, true, 256 * kMiB},
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
  return find(
      [&](const Language& language) { return !extension.empty() && language.extension == extension; });
}

std::span<const Language> languages() {
  return kLanguages;
}

JailLimits jail_limits(const Language& language, uint64_t memory_bytes) {
  if (language.profile == Profile::sealed)
    return {
        .address_space_bytes = memory_bytes + kLuaHostMemory,
        .cpu_seconds = kCpuSeconds,
        .processes = 1,
        .descriptors = 5};  // one more than it has, for the Landlock ruleset; the host then lowers it to 0
  return {.cpu_seconds = kCpuSeconds,
          .memory_bytes = memory_bytes + (language.jail_per_item ? kHostMemory : kInterpreterMemory),
          .processes = 18,  // 16 for the evaluator, the host, an interpreter
          .descriptors = 128,
          .file_bytes = 16 * kMiB,
          .scratch_bytes = 16 * kMiB,
          .scratch_inodes = 1'000};
}

}  // namespace assay::sandbox
