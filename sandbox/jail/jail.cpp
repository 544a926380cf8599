#include "sandbox/jail/jail.hpp"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "sandbox/jail/helper.hpp"
#include "sandbox/jail/message.hpp"
#include "sandbox/jail/packet.hpp"

namespace assay::sandbox {
namespace {

// What systemd's table of users leaves to nobody (uids.systemd.io), in blocks of one uid for each slot.
constexpr uid_t kFirstUid = 0x7000'0000;
constexpr uid_t kUidBlocks = (0x7FFE'0000 - kFirstUid) / kJailLimit;
constexpr uid_t kUidInUserns = 1'000;  // not 0: being "root" inside is one thing less to think about
constexpr int kJailDeadlineMs = 5'000;

/// The kernel counts the processes of a uid, so the jails of another spawner of this machine must have
/// others. Drawn, not made of the process id: that is the same in many a container.
uid_t uid_of(uint32_t slot) {
  static const uid_t first = [] {
    uint32_t drawn = 0;
    while (getrandom(&drawn, sizeof drawn, 0) != sizeof drawn) {
    }
    return kFirstUid + drawn % kUidBlocks * kJailLimit;
  }();
  return first + slot;
}

/// A copy of `fd` that the child can place without overwriting another (kFirstPlanFd).
UniqueFd high(int fd) {
  return UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, kFirstPlanFd));
}

/// The descriptors of one jail, kept until the child has its own.
struct Fds {
  UniqueFd null, protocol, host, error, go;
  UniqueFd network, mounts, library;
  std::vector<UniqueFd> of_group;     ///< open until the child has cloned
  std::vector<int> entrances, group;  ///< their numbers
  explicit operator bool() const {
    const auto is_open = [](const UniqueFd& fd) { return static_cast<bool>(fd); };
    return null && protocol && host && error && go && std::ranges::all_of(of_group, is_open);
  }

  void take(const Group& taken) {
    for (const UniqueFd& fd : taken.entrances) take(fd, entrances);
    for (const UniqueFd& fd : taken.files) take(fd, group);
  }

 private:
  void take(const UniqueFd& fd, std::vector<int>& numbers) {
    numbers.push_back(of_group.emplace_back(high(fd.get())).get());
  }
};

/// `wanted`, or the hard limit where that is lower already: nothing here raises one.
Rlimit at_most(int resource, rlim_t wanted) {
  rlimit limit{};
  if (getrlimit(static_cast<__rlimit_resource_t>(resource), &limit) == 0)
    wanted = std::min(wanted, limit.rlim_max);
  return {resource, wanted};
}

/// All processes and threads of our user that there are, or a little less.
uint64_t tasks_of_user() {
  uint64_t count = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    struct stat status{};
    if (stat(entry.path().c_str(), &status) != 0 || status.st_uid != geteuid()) continue;
    if (stat((entry.path() / "task").c_str(), &status) == 0) count += status.st_nlink - 2;
  }
  return count;
}

/// The kernel counts by user. A jail without a user of its own, in none of its own namespaces, is counted
/// with all else that this user runs; then the limit bounds what all jails together add.
uint64_t process_limit(const JailSpec& spec) {
  constexpr uint64_t kJails = 64;
  const uint64_t own =
      spec.limits.processes * (spec.group != nullptr ? 2 : 1);  // the group counts its refusals
  return spec.mode != Mode::nons || geteuid() == 0 ? own : tasks_of_user() + kJails * own;
}

std::array<Rlimit, 13> rlimits_for(const JailSpec& spec) {
  const JailLimits& limits = spec.limits;
  return {
      at_most(RLIMIT_AS, limits.address_space_bytes == 0 ? RLIM_INFINITY : limits.address_space_bytes),
      at_most(RLIMIT_CPU, limits.cpu_seconds),
      at_most(RLIMIT_STACK, 8U << 20),
      at_most(RLIMIT_NPROC, process_limit(spec)),
      at_most(RLIMIT_NOFILE, limits.descriptors),
      at_most(RLIMIT_CORE, 0),
      at_most(RLIMIT_FSIZE, limits.file_bytes),
      at_most(RLIMIT_MEMLOCK, 0),
      at_most(RLIMIT_MSGQUEUE, 0),
      at_most(RLIMIT_NICE, 0),
      at_most(RLIMIT_RTPRIO, 0),
      at_most(RLIMIT_SIGPENDING, 8),
      at_most(RLIMIT_LOCKS, 0),
  };
}

int write_file_at(int directory, const char* name, const std::string& text) {
  const UniqueFd fd(openat(directory, name, O_WRONLY | O_CLOEXEC));
  if (!fd || write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) return errno;
  return 0;
}

/// One user and one group inside, ours outside; root gives the slot's own instead.
int write_user_map(pid_t pid, const JailSpec& spec) {
  const UniqueFd proc(open(("/proc/" + std::to_string(pid)).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!proc) return errno;
  const bool root = geteuid() == 0;
  const auto map = [&](uid_t own) {
    return std::to_string(kUidInUserns) + ' ' + std::to_string(root ? uid_of(spec.slot) : own) + " 1\n";
  };
  // Without privileges a group map is only allowed once setgroups is given up for good.
  if (!root)
    if (const int error = write_file_at(proc.get(), "setgroups", "deny")) return error;
  if (const int error = write_file_at(proc.get(), "gid_map", map(getegid()))) return error;
  return write_file_at(proc.get(), "uid_map", map(geteuid()));
}

/// Of a child that has not been reaped.
UniqueFd open_namespace(pid_t pid, const char* kind) {
  return UniqueFd(open(("/proc/" + std::to_string(pid) + "/ns/" + kind).c_str(), O_RDONLY | O_CLOEXEC));
}

pid_t clone_child(const JailSpec& spec, int* pidfd) {
  clone_args args{};
  args.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND;
  if (spec.mode != Mode::nons) args.flags |= CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
  if (spec.mode != Mode::nons && spec.network_fd < 0) args.flags |= CLONE_NEWNET;
  if (spec.mode != Mode::nons && spec.mounts_fd < 0) args.flags |= CLONE_NEWNS;
  if (spec.mode == Mode::userns) args.flags |= CLONE_NEWUSER;
  if (spec.group != nullptr && spec.group->directory) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(spec.group->directory.get());
  }
  args.pidfd = reinterpret_cast<uint64_t>(pidfd);
  args.exit_signal = SIGCHLD;
  return static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof args));
}

/// Waits until the child has become the host (the pipe closes empty) or says what failed.
ChildError await_child(int error_pipe) {
  pollfd ready{error_pipe, POLLIN, 0};
  int count;
  do count = poll(&ready, 1, kJailDeadlineMs);
  while (count < 0 && errno == EINTR);
  if (count <= 0) return {Step::answer, count == 0 ? ETIMEDOUT : errno};
  ChildError failure{};
  const ssize_t size = read(error_pipe, &failure, sizeof failure);
  if (size == 0) return {Step::none, 0};
  if (size != sizeof failure) return {Step::answer, EPROTO};
  return failure;
}

/// None when it is not there: interpreters then cannot be started, and say so.
UniqueFd open_library() {
  const auto path = helper_path("libassay-lock.so");
  return path ? high(UniqueFd(open(path->c_str(), O_RDONLY | O_CLOEXEC)).get()) : UniqueFd();
}

void plan_root(ChildPlan& plan, Profile profile) {
  if (profile != Profile::system) return;
  const auto& tree = system_root();
  plan.root = tree.data();
  plan.root_count = tree.size();
}

ChildPlan plan_for(const JailSpec& spec, const Fds& fds) {
  ChildPlan plan;
  const bool root = geteuid() == 0;
  plan.mode = spec.mode;
  plan.privileged = root || spec.mode != Mode::nons;
  plan.drop_groups = root;
  plan.uid = plan.gid = spec.mode == Mode::userns ? kUidInUserns : uid_of(spec.slot);
  plan.null_fd = fds.null.get();
  plan.protocol_fd = fds.protocol.get();
  plan.host_fd = fds.host.get();
  plan.error_fd = fds.error.get();
  plan.entrance_fds = fds.entrances.data();
  plan.entrance_count = fds.entrances.size();
  plan.group_fds = fds.group.data();
  plan.group_fd_count = fds.group.size();
  if (spec.mode == Mode::userns) plan.go_fd = fds.go.get();
  plan.network_fd = fds.network.get();
  plan.mounts_fd = fds.mounts.get();
  plan.library_fd = fds.library.get();
  plan_root(plan, spec.profile);
  plan.access = &spec.access;
  if (spec.profile == Profile::system) {
    std::snprintf(plan.scratch_bytes, sizeof plan.scratch_bytes, "%llu",
                  static_cast<unsigned long long>(spec.limits.scratch_bytes));
    std::snprintf(plan.scratch_inodes, sizeof plan.scratch_inodes, "%u", spec.limits.scratch_inodes);
  }
  return plan;
}

}  // namespace

JailResult make_jail(const JailSpec& spec) {
  JailResult result;
  const auto failed = [&](Step step, int error) {
    result.jail = {};
    result.failure = {step, error};
    return std::move(result);
  };
  auto sockets = make_socket_pair(SOCK_STREAM);
  if (!sockets) return failed(Step::sockets, errno);
  auto errors = make_pipe();
  auto go = make_pipe();
  if (!errors || !go) return failed(Step::error_pipe, errno);
  Fds fds{high(spec.null_fd),
          high(sockets->theirs.get()),
          high(spec.host_fd),
          high(errors->write.get()),
          high(go->read.get()),
          {},
          {},
          {},
          {},
          {}};
  if (spec.group != nullptr) fds.take(*spec.group);
  if (spec.network_fd >= 0) fds.network = high(spec.network_fd);
  if (spec.mounts_fd >= 0) fds.mounts = high(spec.mounts_fd);
  if (spec.mode == Mode::nons && spec.profile == Profile::system) fds.library = open_library();
  if (!fds || !fds.network != (spec.network_fd < 0) || !fds.mounts != (spec.mounts_fd < 0))
    return failed(Step::descriptors, errno);

  const std::string mode(to_string(spec.mode));
  const std::string groups(to_string(spec.group != nullptr ? spec.group->kind : Cgroups::none));
  char* argv[] = {const_cast<char*>("assay-host"), const_cast<char*>(mode.c_str()),
                  const_cast<char*>(spec.probe ? "probe" : groups.c_str()), nullptr};
  const auto rlimits = rlimits_for(spec);
  ChildPlan plan = plan_for(spec, fds);
  plan.argv = argv;
  plan.rlimits = rlimits.data();
  plan.rlimit_count = rlimits.size();

  int pidfd = -1;
  const pid_t pid = clone_child(spec, &pidfd);
  if (pid == 0) {
    // Its own copy of the writing end would keep the child waiting for ever if the spawner died before the
    // go.
    close(go->write.get());
    run_child(plan);
  }
  if (pid < 0) return failed(Step::clone, errno);
  result.jail.pid = pid;
  result.jail.pidfd = UniqueFd(pidfd);
  fds = {};
  errors->write.reset();

  if (spec.mode == Mode::userns) {
    result.failure = {Step::user_map, write_user_map(pid, spec)};
    if (result.failure.error == 0 && write(go->write.get(), "", 1) != 1) result.failure.error = errno;
  }
  if (result.failure.error == 0) result.failure = await_child(errors->read.get());
  if (result.failure.step != Step::none) {
    kill_child(pidfd);
    reap(pidfd);
    result.jail = {};
    return result;
  }
  if (spec.access.proxy) result.jail.listener = take_descriptor(sockets->ours.get());
  result.jail.protocol = std::move(sockets->ours);
  if (spec.mode == Mode::full && spec.network_fd < 0) result.jail.network = open_namespace(pid, "net");
  return result;
}

UniqueFd make_root_mounts(Profile profile) {
  auto errors = make_pipe();
  if (!errors) return {};
  ChildPlan plan;
  plan.mode = Mode::full;
  plan.error_fd = errors->write.get();
  plan_root(plan, profile);
  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND | CLONE_NEWNS;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  const auto pid = static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof args));
  if (pid == 0) run_root_maker(plan);
  if (pid < 0) return {};
  const UniqueFd child(pidfd);
  errors->write.reset();
  UniqueFd mounts;
  // One that died without a word has no namespace any more.
  if (await_child(errors->read.get()).step == Step::none) mounts = open_namespace(pid, "mnt");
  kill_child(pidfd);
  reap(pidfd);
  return mounts;
}

ChildError probe_mode(const JailSpec& spec) {
  const JailResult made = make_jail(spec);
  if (made.failure.step != Step::none) return made.failure;
  pollfd ended{made.jail.pidfd.get(), POLLIN, 0};
  const int count = poll(&ended, 1, kJailDeadlineMs);
  if (count <= 0) kill_child(made.jail.pidfd.get());
  const Ending ending = reap(made.jail.pidfd.get());
  if (count <= 0) return {Step::lock_down, ETIMEDOUT};
  // A host that could not lock itself down exits with the errno (sandbox/runtime/lua/host.cpp).
  if (ending.signalled || ending.status != 0)
    return {Step::lock_down, ending.signalled ? ENOSYS : ending.status};
  return {Step::none, 0};
}

Ending reap(int pidfd) {
  siginfo_t info{};
  rusage usage{};
  long done;  // glibc's waitid has no rusage
  do done = syscall(SYS_waitid, P_PIDFD, pidfd, &info, WEXITED, &usage);
  while (done < 0 && errno == EINTR);
  const auto us = [](const timeval& time) {
    return static_cast<uint64_t>(time.tv_sec) * 1'000'000 + time.tv_usec;
  };
  return {.signalled = info.si_code != CLD_EXITED,
          .status = info.si_status,
          .cpu_us = us(usage.ru_utime) + us(usage.ru_stime),
          .peak_rss_bytes = static_cast<uint64_t>(usage.ru_maxrss) * 1024};
}

void end_orphans(std::span<const pid_t> known) {
  constexpr int kRounds = 1'000;  // each sees what the kill of the last one has left to us
  for (int round = 0; round < kRounds; round++) {
    std::ifstream children("/proc/self/task/" + std::to_string(getpid()) + "/children");
    bool any = false;
    for (pid_t pid; children >> pid;) {
      if (std::ranges::find(known, pid) != known.end()) continue;
      any = true;
      kill(pid, SIGKILL);
      while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
    if (!any) return;
  }
}

void kill_child(int pidfd) {
  syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
}

}  // namespace assay::sandbox
