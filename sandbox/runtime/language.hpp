// The languages that evaluators are written in, and what each needs of the sandbox.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "sandbox/jail/root.hpp"

namespace assay::sandbox {

struct Language {
  std::string_view name;
  std::string_view extension;  ///< of source files; empty: none tells
  const char* host;            ///< the program that runs it in a jail
  Profile profile;
  bool jail_per_item;     ///< its hosts serve one item and end
  uint64_t memory_bytes;  ///< the default limit
};

/// nullptr when this build does not know it.
const Language* language_named(std::string_view name);
const Language* language_of_extension(std::string_view extension);
std::span<const Language> languages();

/// The limits of a jail for `language` when one evaluation may take `memory_bytes`.
JailLimits jail_limits(const Language& language, uint64_t memory_bytes);

}  // namespace assay::sandbox
