#include "sandbox/jail/landlock.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <iterator>

namespace assay::sandbox {
namespace {

// <linux/landlock.h> of the build machine may be older than the kernel that runs us, so the ABI is spelled
// out here.
struct Ruleset {
  uint64_t handled_access_fs;
  uint64_t handled_access_net;  // since ABI 4
  uint64_t scoped;              // since ABI 6
};
constexpr uint32_t kCreateVersion = 1;

// By ABI version: how many access rights exist (they are bits 0…n-1), and how much of the struct.
struct Abi {
  int fs_rights, net_rights, scopes;
  size_t size;
};
constexpr Abi kAbis[] = {
    {13, 0, 0, 8},  {14, 0, 0, 8},  {15, 0, 0, 8},   // 1: first; 2: refer; 3: truncate
    {15, 2, 0, 16}, {16, 2, 0, 16}, {16, 2, 2, 24},  // 4: TCP; 5: device ioctls; 6: abstract sockets, signals
};

constexpr uint64_t first_bits(int count) {
  return (uint64_t{1} << count) - 1;
}

}  // namespace

int deny_all_with_landlock() noexcept {
  const long version = syscall(SYS_landlock_create_ruleset, nullptr, 0, kCreateVersion);
  if (version < 0) return errno;
  if (version < 1) return ENOSYS;
  const Abi& abi = kAbis[std::min<long>(version, std::size(kAbis)) - 1];
  const Ruleset ruleset{first_bits(abi.fs_rights), first_bits(abi.net_rights), first_bits(abi.scopes)};
  const int fd = static_cast<int>(syscall(SYS_landlock_create_ruleset, &ruleset, abi.size, 0));
  if (fd < 0) return errno;
  const int error = syscall(SYS_landlock_restrict_self, fd, 0) == 0 ? 0 : errno;
  close(fd);
  return error;
}

}  // namespace assay::sandbox
