// What the control group of the jail tells (sandbox/jail/cgroup.hpp): whether the kernel killed for want of
// memory or refused processes, and what all processes together used.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace assay::sandbox::process {

class Accounting {
 public:
  /// Nothing is known.
  Accounting() = default;
  /// `kind` is "cgroup1" or "cgroup2", else there is no group. Reads descriptors kGroupFd…
  explicit Accounting(std::string_view kind);

  bool has_group() const { return !method_.empty(); }
  std::string_view method() const { return method_; }  ///< static text

  /// What the rest tells is since this.
  void start();
  bool killed_for_memory() const;
  bool refused_processes() const;
  std::optional<std::chrono::microseconds> cpu() const;
  /// Since start() where the kernel can begin anew (v1; v2 since Linux 6.12), else of the jail's life.
  std::optional<uint64_t> peak_memory() const;

 private:
  std::string_view method_;
  uint64_t oom_kills_ = 0, refusals_ = 0;
  std::chrono::microseconds cpu_{0};
};

}  // namespace assay::sandbox::process
