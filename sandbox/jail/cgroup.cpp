#include "sandbox/jail/cgroup.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>

namespace assay::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSupervisor = "supervisor";  // as DelegateSubgroup= of our units has it
constexpr std::string_view kOurs = "assay.";            // and the number of the process that made it
constexpr size_t kIdleGroups = 32;
constexpr uint64_t kReusableBytes = 4 << 20;  // that may still be charged to a group with nobody in it
constexpr std::array kV1Controllers = {"memory", "pids", "cpuacct"};

std::unexpected<GroupRefusal> refuse(std::string what, int error) {
  return std::unexpected(GroupRefusal{std::move(what), error});
}

GroupResult<> write_to(const std::string& path, std::string_view text) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || write(fd.get(), text.data(), text.size()) < 0) return refuse(path, errno);
  return {};
}

std::string content(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool has_word(const std::string& text, std::string_view word) {
  std::istringstream words(text);
  return std::find(std::istream_iterator<std::string>(words), {}, word) !=
         std::istream_iterator<std::string>();
}

GroupResult<> make_directory(const std::string& path) {
  if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return refuse(path, errno);
  return {};
}

/// Where a hierarchy is mounted, and which part of it.
struct Mount {
  std::string point, root;
};

/// `controller` empty: v2.
std::optional<Mount> find_mount(std::string_view controller) {
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream before(line.substr(0, dash)), after(line.substr(dash + 3));
    std::string skipped, root, point, type, source, options;
    before >> skipped >> skipped >> skipped >> root >> point;
    after >> type >> source >> options;
    if (controller.empty()
            ? type == "cgroup2"
            : type == "cgroup" && (',' + options + ',').contains(',' + std::string(controller) + ','))
      return Mount{point, root};
  }
  return std::nullopt;
}

/// The path of our own group in a hierarchy, as /proc/self/cgroup has it.
std::optional<std::string> own_path(std::string_view controller) {
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string names = line.substr(first + 1, second - first - 1);
    if (controller.empty() ? names.empty()
                           : (',' + names + ',').contains(',' + std::string(controller) + ','))
      return line.substr(second + 1);
  }
  return std::nullopt;
}

/// The directory of our own group. A mount may show only a part of the hierarchy.
GroupResult<std::string> own_directory(std::string_view controller) {
  const std::string name = controller.empty() ? "version 2" : "controller " + std::string(controller);
  const auto mount = find_mount(controller);
  auto path = own_path(controller);
  if (!mount || !path) return refuse("no control groups of " + name + " are mounted", ENOENT);
  if (mount->root != "/") {
    if (!path->starts_with(mount->root))
      return refuse(mount->point + " does not show our own group " + *path, ENOENT);
    path->erase(0, mount->root.size());
  }
  while (path->ends_with('/')) path->pop_back();
  return mount->point + *path;
}

/// Whether systemd gave this group away (the mark is set since its version 251); a container's own root is
/// ours as well.
bool is_delegated(const std::string& directory, const std::string& root) {
  if (directory == root || geteuid() != 0) return true;
  char value = 0;
  for (const char* mark : {"trusted.delegate", "user.delegate"})
    if (getxattr(directory.c_str(), mark, &value, 1) == 1 && value == '1') return true;
  return false;
}

/// Groups with members cannot give controllers to groups below.
GroupResult<> move_members(const std::string& from, const std::string& to) {
  ASSAY_OK(make_directory(to));
  for (int round = 0; round < 10; round++) {
    std::istringstream members(content(from + "/cgroup.procs"));
    bool any = false;
    for (std::string pid; members >> pid;) {
      any = true;
      // One that has ended meanwhile is no loss.
      if (const auto moved = write_to(to + "/cgroup.procs", pid); !moved && moved.error().error != ESRCH)
        return moved;
    }
    if (!any) return {};
  }
  return refuse(from + ": its processes do not stop multiplying", EBUSY);
}

GroupResult<> enable_controllers(const std::string& directory) {
  ASSAY_OK(write_to(directory + "/cgroup.subtree_control", "+memory"));
  return write_to(directory + "/cgroup.subtree_control", "+pids");
}

std::string leaf_name(uint64_t id) {
  return '/' + std::to_string(id);
}

}  // namespace

std::string_view to_string(Cgroups cgroups) {
  switch (cgroups) {
    case Cgroups::v1:
      return "cgroup1";
    case Cgroups::v2:
      return "cgroup2";
    case Cgroups::none:
      break;
  }
  return "none";
}

CgroupTree::CgroupTree() {
  const auto works = [&](GroupResult<> used, Cgroups kind) {
    if (used) {
      kind_ = kind;
      const auto trial = make({.memory_bytes = 64U << 20, .processes = 2});
      if (trial) {
        const int peak = trial->files[static_cast<size_t>(GroupFile::peak_memory)].get();
        const bool can_be_reset = write(peak, "0", 1) == 1;  // of v2 since Linux 6.12
        remove(trial->id);
        peak_can_be_reset_ = can_be_reset;
        return true;
      }
      used = std::unexpected(trial.error());
    }
    kind_ = Cgroups::none;
    controllers_.clear();
    if (!obstacle_.empty()) obstacle_ += "; ";
    obstacle_ += used.error().what + ": " + std::strerror(used.error().error);
    return false;
  };
  if (!works(use_v2(), Cgroups::v2)) works(use_v1(), Cgroups::v1);
}

CgroupTree::~CgroupTree() {
  for (const Leaf& leaf : idle_) remove_directories(leaf.id);
  remove_leftovers();
  for (const Controller& controller : controllers_) rmdir(controller.directory.c_str());
}

GroupResult<> CgroupTree::use_v2() {
  const auto mount = find_mount("");
  ASSAY_TRY(std::string base, own_directory(""));
  if (fs::path(base).filename() == kSupervisor) base = fs::path(base).parent_path();
  const std::string available = content(base + "/cgroup.controllers");
  for (const char* controller : {"memory", "pids"})
    if (!has_word(available, controller)) return refuse(base + " has no controller " + controller, ENOENT);
  if (!is_delegated(base, mount->point))
    return refuse(base + " is not delegated to us (Delegate=yes in the unit)", EPERM);
  // Only the root of a hierarchy may have both processes and controllers below.
  if (auto enabled = enable_controllers(base); !enabled) {
    if (enabled.error().error != EBUSY) return enabled;
    ASSAY_OK(move_members(base, base + '/' + std::string(kSupervisor)));
    ASSAY_OK(enable_controllers(base));
  }
  remove_stale(base);
  const std::string directory = base + '/' + std::string(kOurs) + std::to_string(getpid());
  ASSAY_OK(make_directory(directory));
  controllers_.push_back({.name = "", .directory = directory});
  return enable_controllers(directory);
}

GroupResult<> CgroupTree::use_v1() {
  // The kernel does not hold groups of version 1 safe in anybody else's hands.
  if (geteuid() != 0) return refuse("control groups of version 1 need root", EPERM);
  for (const char* controller : kV1Controllers) {
    ASSAY_TRY(const std::string base, own_directory(controller));
    remove_stale(base);
    const std::string directory = base + '/' + std::string(kOurs) + std::to_string(getpid());
    ASSAY_OK(make_directory(directory));
    controllers_.push_back({.name = controller, .directory = directory});
  }
  return {};
}

/// What a spawner left that was killed.
void CgroupTree::remove_stale(const std::string& parent) const {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(parent, ignored)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kOurs)) continue;
    const int maker = std::atoi(name.c_str() + kOurs.size());
    if (maker <= 0 || kill(maker, 0) == 0 || errno != ESRCH) continue;
    for (const auto& leaf : fs::directory_iterator(entry.path(), ignored))
      if (leaf.is_directory(ignored)) rmdir(leaf.path().c_str());
    rmdir(entry.path().c_str());
  }
}

GroupResult<Group> CgroupTree::make(const JailLimits& limits) {
  remove_leftovers();
  ASSAY_TRY(const Leaf leaf, leaf_for(limits));
  used_.push_back(leaf);
  Group group;
  group.id = leaf.id;
  group.kind = kind_;
  if (auto opened = open_group(group); !opened) {
    remove(group.id);
    return std::unexpected(std::move(opened).error());
  }
  return group;
}

GroupResult<CgroupTree::Leaf> CgroupTree::leaf_for(const JailLimits& limits) {
  const auto idle = std::ranges::find_if(idle_, [&](const Leaf& leaf) {
    return leaf.memory_bytes == limits.memory_bytes && leaf.processes == limits.processes;
  });
  if (idle != idle_.end()) {
    const Leaf leaf = *idle;
    idle_.erase(idle);
    return leaf;
  }
  const Leaf leaf{next_id_++, limits.memory_bytes, limits.processes};
  if (auto made = make_directories(leaf.id, limits); !made) {
    if (!remove_directories(leaf.id)) leftovers_.push_back(leaf.id);
    return std::unexpected(std::move(made).error());
  }
  return leaf;
}

GroupResult<> CgroupTree::make_directories(uint64_t id, const JailLimits& limits) const {
  for (const Controller& controller : controllers_) {
    const std::string directory = controller.directory + leaf_name(id);
    ASSAY_OK(make_directory(directory));
    ASSAY_OK(set_limits(directory, controller.name, limits));
  }
  return {};
}

GroupResult<> CgroupTree::open_group(Group& group) const {
  for (const Controller& controller : controllers_) {
    const std::string directory = controller.directory + leaf_name(group.id);
    if (kind_ == Cgroups::v2) {
      group.directory = UniqueFd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      if (!group.directory) return refuse(directory, errno);
    } else {
      // Not cgroup.procs: for whole processes the kernel first waits for all processors.
      UniqueFd entrance(open((directory + "/tasks").c_str(), O_WRONLY | O_CLOEXEC));
      if (!entrance) return refuse(directory + "/tasks", errno);
      group.entrances.push_back(std::move(entrance));
    }
  }
  for (size_t file = 0; file < kGroupFiles; file++) {
    group.files[file] = open_file(static_cast<GroupFile>(file), group.id);
    if (!group.files[file]) return refuse("/dev/null", errno);
  }
  return {};
}

GroupResult<> CgroupTree::set_limits(const std::string& directory, std::string_view controller,
                                     const JailLimits& limits) const {
  const std::string memory = std::to_string(limits.memory_bytes);
  if (kind_ == Cgroups::v2) {
    ASSAY_OK(write_to(directory + "/memory.max", memory));
    const std::string swap = directory + "/memory.swap.max";
    if (access(swap.c_str(), F_OK) == 0) {
      ASSAY_OK(write_to(swap, "0"));
    }
    return write_to(directory + "/pids.max", std::to_string(limits.processes));
  }
  if (controller == "pids") return write_to(directory + "/pids.max", std::to_string(limits.processes));
  if (controller != "memory") return {};
  ASSAY_OK(write_to(directory + "/memory.limit_in_bytes", memory));
  const std::string with_swap = directory + "/memory.memsw.limit_in_bytes";
  if (access(with_swap.c_str(), F_OK) != 0) return {};
  return write_to(with_swap, memory);
}

UniqueFd CgroupTree::open_file(GroupFile file, uint64_t id) const {
  struct Name {
    const char* controller;
    const char* v1;
    const char* v2;
    int flags;
  };
  // Writing to the peak starts it anew.
  static constexpr std::array<Name, kGroupFiles> kNames = {{
      {"memory", "memory.oom_control", "memory.events", O_RDONLY},
      {"pids", "pids.events", "pids.events", O_RDONLY},
      {"memory", "memory.max_usage_in_bytes", "memory.peak", O_RDWR},
      {"cpuacct", "cpuacct.usage", "cpu.stat", O_RDONLY},
  }};
  const Name& name = kNames[static_cast<size_t>(file)];
  for (const Controller& controller : controllers_) {
    if (kind_ == Cgroups::v1 && controller.name != name.controller) continue;
    const std::string path =
        controller.directory + leaf_name(id) + '/' + (kind_ == Cgroups::v1 ? name.v1 : name.v2);
    for (const int flags : {name.flags, O_RDONLY})
      if (UniqueFd fd(open(path.c_str(), flags | O_CLOEXEC)); fd) return fd;
  }
  return UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

bool CgroupTree::remove_directories(uint64_t id) {
  bool gone = true;
  for (const Controller& controller : controllers_)
    gone &= rmdir((controller.directory + leaf_name(id)).c_str()) == 0 || errno == ENOENT;
  return gone;
}

void CgroupTree::remove(uint64_t id) {
  const auto used = std::ranges::find(used_, id, &Leaf::id);
  if (used == used_.end()) return;
  const Leaf leaf = *used;
  used_.erase(used);
  if (can_reuse(leaf))
    idle_.push_back(leaf);
  else if (!remove_directories(id))
    leftovers_.push_back(id);
}

bool CgroupTree::can_reuse(const Leaf& leaf) const {
  if (!peak_can_be_reset_ || idle_.size() >= kIdleGroups) return false;
  const std::string directory = controllers_.front().directory + leaf_name(leaf.id);
  const char* const usage = kind_ == Cgroups::v1 ? "/memory.usage_in_bytes" : "/memory.current";
  const char* const members = kind_ == Cgroups::v1 ? "/tasks" : "/cgroup.procs";
  return std::strtoull(content(directory + usage).c_str(), nullptr, 10) <= kReusableBytes &&
         content(directory + members).empty();
}

void CgroupTree::remove_leftovers() {
  std::erase_if(leftovers_, [&](uint64_t id) { return remove_directories(id); });
}

}  // namespace assay::sandbox
