// Control groups: what a jail as a whole may use, held by the kernel and counted by it.
//
// Which interface there is differs from host to host. v2 is used where a subtree is delegated to this process
// (systemd's Delegate=, or a container of its own), v1 where root can make groups; else there are none, and
// the limits of single processes (rlimits) and what wait4 tells have to do.
// Source: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/ of the kernel, CGROUP_DELEGATION of systemd.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "core/fd.hpp"
#include "sandbox/jail/child.hpp"

namespace assay::sandbox {

enum class Cgroups : uint32_t { none, v1, v2 };
std::string_view to_string(Cgroups cgroups);  ///< "none", "cgroup1", "cgroup2"

/// The group of one jail.
struct Group {
  uint64_t id = 0;
  Cgroups kind = Cgroups::none;
  UniqueFd directory;               ///< v2: for CLONE_INTO_CGROUP
  std::vector<UniqueFd> entrances;  ///< v1: whoever writes "0" there enters
  std::array<UniqueFd, kGroupFiles> files;
};

/// A file of the kernel that would not do as it was told: its path, or what is missing, and an errno.
struct GroupRefusal {
  std::string what;
  int error = 0;
};
template <class T = void>
using GroupResult = std::expected<T, GroupRefusal>;

/// Makes groups below the one that this process is in. Not for several threads.
class CgroupTree {
 public:
  /// Finds the best interface that works, by making a group and removing it again. On v2 this moves the
  /// processes of our own group into a group "supervisor" below it, as the kernel demands.
  CgroupTree();
  CgroupTree(const CgroupTree&) = delete;
  CgroupTree& operator=(const CgroupTree&) = delete;
  ~CgroupTree();

  Cgroups kind() const { return kind_; }
  /// Why it is not a better one, for people; empty for v2.
  const std::string& obstacle() const { return obstacle_; }

  /// A group with nobody in it; what it has counted so far need not be nothing. Nothing is left of one that
  /// could not be made as a whole.
  GroupResult<Group> make(const JailLimits& limits);
  /// Takes the group of a jail that has ended back, for the next with these limits, or removes it. The kernel
  /// may need a moment for that: what it still holds is tried again later.
  void remove(uint64_t id);

 private:
  struct Controller {
    std::string name;       ///< v1
    std::string directory;  ///< with our groups in it
  };

  /// A group's directories. Making and removing them is a fifth of a jail's cost, and of each that is removed
  /// the kernel keeps a part while any page that it was charged for is cached.
  struct Leaf {
    uint64_t id;
    uint64_t memory_bytes;
    uint32_t processes;
  };

  GroupResult<Leaf> leaf_for(const JailLimits& limits);
  GroupResult<> make_directories(uint64_t id, const JailLimits& limits) const;
  GroupResult<> open_group(Group& group) const;
  bool can_reuse(const Leaf& leaf) const;
  GroupResult<> use_v2();
  GroupResult<> use_v1();
  GroupResult<> set_limits(const std::string& directory, std::string_view controller,
                           const JailLimits& limits) const;
  UniqueFd open_file(GroupFile file, uint64_t id) const;
  void remove_stale(const std::string& parent) const;
  void remove_leftovers();
  bool remove_directories(uint64_t id);

  Cgroups kind_ = Cgroups::none;
  std::string obstacle_;
  std::vector<Controller> controllers_;  ///< v2: one, without a name
  bool peak_can_be_reset_ = false;
  std::vector<Leaf> used_, idle_;
  std::vector<uint64_t> leftovers_;
  uint64_t next_id_ = 1;
};

}  // namespace assay::sandbox
