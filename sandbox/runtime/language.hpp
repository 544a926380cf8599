// The languages that evaluators are written in, and what each needs of the sandbox.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "sandbox/jail/root.hpp"

namespace assay::sandbox {

struct Language {
  std::string_view name;
  std::array<std::string_view, 2> extensions;  ///< of source files; empty ones tell nothing
  const char* host = "assay-process-host";     ///< the program that runs it in a jail
  Profile profile = Profile::system;
  bool jail_per_item = false;   ///< its hosts serve one item and end
  uint64_t memory_bytes = 0;    ///< the default limit
  uint64_t overhead_bytes = 0;  ///< in its jail beside what an evaluator may use
  uint32_t processes = 0;       ///< and threads, in its jail: the host, and 16 or more for the evaluator
};

inline constexpr std::string_view kCandidate = "candidate";
inline constexpr std::string_view kPackages = "packages";
inline constexpr std::string_view kPlugin = "plugin";

/// nullptr when this build does not know it.
const Language* language_named(std::string_view name);
const Language* language_of_extension(std::string_view extension);
std::span<const Language> languages();

/// The limits of a jail for `language` when one evaluation may take `memory_bytes`.
JailLimits jail_limits(const Language& language, uint64_t memory_bytes);

}  // namespace assay::sandbox
