// What the daemon and the spawner say to each other: one struct a packet. Both are built from the same tree,
// so the structs cross as they are.
#pragma once

#include <cstdint>
#include <type_traits>

#include "sandbox/jail/cgroup.hpp"
#include "sandbox/jail/mode.hpp"
#include "sandbox/jail/root.hpp"
#include "sandbox/jail/step.hpp"

namespace assay::sandbox {

inline constexpr int kSpawnerFd = 3;          ///< the spawner's end of the socket
inline constexpr uint32_t kJailLimit = 1024;  ///< jails alive at once

struct SpawnRequest {
  enum class Kind : uint32_t { probe, make };
  Kind kind = Kind::make;
  uint64_t id = 0;
  bool demand_mode = false;  ///< probe: try `mode` alone
  Mode mode = Mode::nons;
  Profile profile = Profile::sealed;
  JailLimits limits;  ///< make
  JailAccess access;  ///< make
  // With one descriptor: the host's executable.
};

struct SpawnReply {
  enum class Kind : uint32_t {
    found,    ///< probe: `mode` works
    refused,  ///< probe: `mode` does not, at `step` with `error`; after the last of them comes `failed`
    made,     ///< with the pidfd, our end of the protocol socket and, of a proxy, the socket it listens on
    failed,   ///< `step` and `error`, in `mode`
    exited,   ///< the jail is gone, nothing of it is left
  };
  Kind kind = Kind::failed;
  uint64_t id = 0;
  Mode mode = Mode::nons;
  Cgroups cgroups = Cgroups::none;  ///< found
  Step step = Step::none;
  int32_t error = 0;
  bool signalled = false;  ///< exited: `status` is a signal, else an exit code
  int32_t status = 0;
  uint64_t cpu_us = 0;
  uint64_t peak_rss_bytes = 0;
};

static_assert(std::is_trivially_copyable_v<SpawnRequest> && std::is_trivially_copyable_v<SpawnReply>);

}  // namespace assay::sandbox
