// Landlock: what a process may still open once it has restricted itself, for good.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace assay::sandbox {

/// What a host without a root of its own lets evaluators see of the machine: programs and libraries.
inline constexpr std::array kSystemPaths = {"/usr",
                                            "/bin",
                                            "/sbin",
                                            "/lib",
                                            "/lib32",
                                            "/lib64",
                                            "/etc/alternatives",
                                            "/etc/ld.so.cache",
                                            "/dev/zero",
                                            "/dev/random",
                                            "/dev/urandom"};

struct LandlockRules {
  std::span<const char* const> readable;  ///< directories and files: read and execute; those that do not
                                          ///< exist are left out
  std::span<const char* const> devices;   ///< read and write
  std::span<const char* const> writable;  ///< directories: everything but executing and special files
  int file = -1;                          ///< an open file, to be read
  uint16_t port = 0;                      ///< of TCP, to connect to; 0: none
};

/// A ruleset that denies every access the running kernel's Landlock knows of, but for `rules`; no network, no
/// signals and no abstract sockets to the outside where the kernel can forbid them. A descriptor, or a
/// negative errno (ENOSYS, EOPNOTSUPP: the kernel has none).
int make_landlock_ruleset(const LandlockRules& rules) noexcept;
/// Restricts this process; 0 or an errno. Needs no_new_privs.
int restrict_with_landlock(int ruleset) noexcept;

/// The version of the running kernel's Landlock, or a negative errno as above.
int landlock_abi() noexcept;
/// Whether it keeps signals and abstract sockets inside (ABI 6).
bool landlock_contains_signals() noexcept;

/// Both, with no rules: such a process can open nothing and connect to nothing.
int deny_all_with_landlock() noexcept;

}  // namespace assay::sandbox
