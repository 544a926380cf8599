#include "sandbox/jail/landlock.hpp"

#include <fcntl.h>
#include <sys/stat.h>
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

enum Right : uint64_t {
  kExecute = 1 << 0,
  kWriteFile = 1 << 1,
  kReadFile = 1 << 2,
  kReadDirectory = 1 << 3,
  kRemoveDirectory = 1 << 4,
  kRemoveFile = 1 << 5,
  kMakeDirectory = 1 << 7,
  kMakeFile = 1 << 8,
  kMakeFifo = 1 << 10,
  kMakeLink = 1 << 12,
  kRefer = 1 << 13,
  kTruncate = 1 << 14,
};
constexpr uint64_t kRead = kExecute | kReadFile | kReadDirectory;
constexpr uint64_t kDevice = kReadFile | kWriteFile;
constexpr uint64_t kWrite = kReadFile | kReadDirectory | kWriteFile | kRemoveDirectory | kRemoveFile |
                            kMakeDirectory | kMakeFile | kMakeFifo | kMakeLink | kRefer | kTruncate;
constexpr uint64_t kOfFiles =
    kExecute | kWriteFile | kReadFile | kTruncate;  // the rest is refused on a file's rule

struct [[gnu::packed]] PathRule {
  uint64_t allowed_access;
  int32_t parent_fd;
};
constexpr int kPathBeneath = 1;

struct PortRule {
  uint64_t allowed_access, port;
};
constexpr int kNetPort = 2;
constexpr uint64_t kConnect = 1 << 1;

/// 0 or an errno.
int allow(int ruleset, uint64_t handled, std::span<const char* const> paths, uint64_t rights) {
  for (const char* path : paths) {
    const int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) continue;
    if (fd < 0) return errno;
    struct stat status{};
    int error = fstat(fd, &status) == 0 ? 0 : errno;
    const uint64_t allowed = rights & handled & (S_ISDIR(status.st_mode) ? ~uint64_t{0} : uint64_t{kOfFiles});
    const PathRule rule{allowed, fd};
    if (error == 0 && syscall(SYS_landlock_add_rule, ruleset, kPathBeneath, &rule, 0) != 0) error = errno;
    close(fd);
    if (error != 0) return error;
  }
  return 0;
}

}  // namespace

int make_landlock_ruleset(const LandlockRules& rules) noexcept {
  const int version = landlock_abi();
  if (version < 0) return version;
  const Abi& abi = kAbis[std::min<size_t>(version, std::size(kAbis)) - 1];
  const Ruleset ruleset{first_bits(abi.fs_rights), first_bits(abi.net_rights), first_bits(abi.scopes)};
  const int fd = static_cast<int>(syscall(SYS_landlock_create_ruleset, &ruleset, abi.size, 0));
  if (fd < 0) return -errno;
  int error = allow(fd, ruleset.handled_access_fs, rules.readable, kRead);
  if (error == 0) error = allow(fd, ruleset.handled_access_fs, rules.devices, kDevice);
  if (error == 0) error = allow(fd, ruleset.handled_access_fs, rules.writable, kWrite);
  const PathRule file{kExecute | kReadFile, rules.file};
  if (error == 0 && rules.file >= 0 && syscall(SYS_landlock_add_rule, fd, kPathBeneath, &file, 0) != 0)
    error = errno;
  const PortRule port{kConnect, rules.port};
  if (error == 0 && rules.port != 0 && (ruleset.handled_access_net & kConnect) != 0 &&
      syscall(SYS_landlock_add_rule, fd, kNetPort, &port, 0) != 0)
    error = errno;
  if (error == 0) return fd;
  close(fd);
  return -error;
}

int landlock_abi() noexcept {
  const long version = syscall(SYS_landlock_create_ruleset, nullptr, 0, kCreateVersion);
  if (version < 0) return -errno;
  return version == 0 ? -ENOSYS : static_cast<int>(version);
}

bool landlock_contains_signals() noexcept {
  return landlock_abi() >= 6;
}

int restrict_with_landlock(int ruleset) noexcept {
  return syscall(SYS_landlock_restrict_self, ruleset, 0) == 0 ? 0 : errno;
}

int deny_all_with_landlock() noexcept {
  const int ruleset = make_landlock_ruleset({});
  if (ruleset < 0) return -ruleset;
  const int error = restrict_with_landlock(ruleset);
  close(ruleset);
  return error;
}

}  // namespace assay::sandbox
