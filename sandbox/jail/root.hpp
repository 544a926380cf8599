// What a jail's processes see: the file tree of its root, as the spawner plans it before it clones.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace assay::sandbox {

/// What is inside a jail.
enum class Profile : uint32_t {
  sealed,  ///< an empty root, one process, no files: for hosts that are static programs
  system,  ///< the system's programs and libraries, read-only; /proc, a minimal /dev, a scratch directory
           ///< /tmp
};

/// What a jail as a whole may use; the kernel enforces each. A host may set lower ones for what it runs.
struct JailLimits {
  uint64_t address_space_bytes = 0;  ///< of one process; 0: no limit
  uint64_t cpu_seconds = 0;          ///< of one process, a backstop
  uint64_t memory_bytes = 0;         ///< of all processes together, by control groups; 0: no group
  uint32_t processes = 1;            ///< and threads, the host among them
  uint32_t descriptors = 5;          ///< of one process
  uint64_t file_bytes = 0;           ///< of one file
  uint64_t scratch_bytes = 0;        ///< of /tmp as a whole; Profile::system
  uint32_t scratch_inodes = 0;
};

/// Where jails of Profile::system can have folders of this machine beside their root.
enum class JailFolder : uint8_t { packages, wheels, plugin };
inline constexpr std::array<const char*, 3> kJailFolders = {"assay/packages", "assay/wheels", "assay/plugin"};

struct Folder {
  char source[512] = {};  ///< an absolute path of this machine; empty: the place is an empty folder
  bool writable = false;
};

/// What a jail is let reach beside its root. The proxy is of Profile::system: the jail's own loopback, and on
/// it at kProxyPort a listening socket whose owner is outside.
struct JailAccess {
  std::array<Folder, kJailFolders.size()> folders;
  bool proxy = false;

  /// False when the path is too long.
  bool set(JailFolder place, std::string_view source, bool writable) {
    Folder& folder = folders[static_cast<size_t>(place)];
    if (source.size() >= sizeof folder.source) return false;
    folder = {.writable = writable};
    source.copy(static_cast<char*>(folder.source), source.size());
    return true;
  }
};
inline constexpr uint16_t kProxyPort = 3128;

/// One entry of the root's tree. Paths are relative to the root; all pointers are to static text.
struct RootEntry {
  enum class Kind : uint8_t {
    directory,
    link,    ///< to `source`
    file,    ///< that contains `source`
    mirror,  ///< the directory or file `source` of the host, read-only
    own,     ///< likewise a file of ours, which other users perhaps cannot reach; one at most
    device,  ///< the host's device `source`, with number `device`
  };
  Kind kind = Kind::directory;
  const char* path = nullptr;
  const char* source = nullptr;
  unsigned device = 0;
};

/// The tree of Profile::system on this host: what of /usr, /bin, /lib… exists, in the order of making. Later
/// calls return the same tree.
const std::vector<RootEntry>& system_root();

}  // namespace assay::sandbox
