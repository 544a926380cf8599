// assay-spawner: builds the jails and is the parent of everything in them.
//
// Theory of operation. The daemon starts one spawner and speaks to it over the SOCK_SEQPACKET socket on
// descriptor 3 (sandbox/jail/message.hpp). It exists because cloning a process costs what the parent's memory
// costs: this one is a few hundred kilobytes, has one thread, no secrets, no configuration and an empty
// environment. For each request it clones a child that builds its own jail (sandbox/jail/child.cpp) and
// becomes the runtime host; the daemon gets the jail's pidfd, with which it kills, and the stream over which
// it speaks to the host. The spawner owns the reaping: it says how each jail ended. When its socket closes,
// or the daemon dies, it kills every jail, waits for them and ends; should it be killed itself, the kernel
// kills the jails (PR_SET_PDEATHSIG).
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <optional>
#include <vector>

#include "sandbox/jail/jail.hpp"
#include "sandbox/jail/message.hpp"
#include "sandbox/jail/packet.hpp"

namespace assay::sandbox {
namespace {

constexpr JailLimits kProbeLimits = {.address_space_bytes = 256ULL << 20,
                                     .cpu_seconds = 10,
                                     .descriptors = 32,
                                     .scratch_bytes = 1 << 20,
                                     .scratch_inodes = 16};

class Spawner {
 public:
  explicit Spawner(UniqueFd null) : null_(std::move(null)), slots_(kJailLimit, false) {}

  /// Serves until the daemon is gone.
  void serve() {
    while (true) {
      std::vector<pollfd> polled{{kSpawnerFd, POLLIN, 0}};
      for (const Child& child : children_) polled.push_back({child.pidfd.get(), POLLIN, 0});
      if (poll(polled.data(), polled.size(), -1) < 0) continue;
      // From the back, so that erasing one does not move those still to be looked at.
      for (size_t i = children_.size(); i-- > 0;)
        if (polled[i + 1].revents != 0) finish(i);
      if (polled[0].revents != 0 && !answer_one()) break;
    }
    for (const Child& child : children_) kill_child(child.pidfd.get());
    while (!children_.empty()) finish(children_.size() - 1);
  }

 private:
  struct Child {
    uint64_t id;
    uint32_t slot;
    uint64_t group;  ///< 0: none
    Mode mode;
    pid_t pid;
    UniqueFd pidfd;
  };

  bool answer_one() {
    SpawnRequest request;
    const Received received = receive_packet(kSpawnerFd, &request, sizeof request);
    if (received.end || received.error != 0) return false;
    if (request.kind == SpawnRequest::Kind::probe) return probe(request, received.fds[0].get());
    return make(request, received.fds[0].get());
  }

  /// Best first, until one works.
  bool probe(const SpawnRequest& request, int host_fd) {
    SpawnReply reply{.kind = SpawnReply::Kind::failed, .id = request.id};
    if (!cgroups_) cgroups_.emplace();
    reply.cgroups = cgroups_->kind();
    for (const Mode mode : {Mode::full, Mode::userns, Mode::nons}) {
      if (request.demand_mode && mode != request.mode) continue;
      const ChildError failure = try_mode(mode, request.profile, host_fd);
      reply.mode = mode;
      reply.step = failure.step;
      reply.error = failure.error;
      reply.kind = failure.step == Step::none ? SpawnReply::Kind::found : SpawnReply::Kind::refused;
      if (reply.kind == SpawnReply::Kind::found) break;
      if (send_packet(kSpawnerFd, &reply, sizeof reply) != 0) return false;
      reply.kind = SpawnReply::Kind::failed;
    }
    return send_packet(kSpawnerFd, &reply, sizeof reply) == 0;
  }

  ChildError try_mode(Mode mode, Profile profile, int host_fd) {
    if (mode == Mode::full && geteuid() != 0) return {Step::clone, EPERM};
    return probe_mode({.mode = mode,
                       .slot = free_slot(),
                       .host_fd = host_fd,
                       .null_fd = null_.get(),
                       .profile = profile,
                       .limits = kProbeLimits,
                       .probe = true});
  }

  bool make(const SpawnRequest& request, int host_fd) {
    const uint32_t slot = free_slot();
    SpawnReply reply{.kind = SpawnReply::Kind::failed, .id = request.id, .mode = request.mode};
    reply.step = Step::clone;
    reply.error = EAGAIN;
    if (slot == kJailLimit) return send_packet(kSpawnerFd, &reply, sizeof reply) == 0;

    GroupResult<Group> group;
    const bool wants_group = request.limits.memory_bytes > 0 && cgroups_ && cgroups_->kind() != Cgroups::none;
    if (wants_group) group = cgroups_->make(request.limits);
    if (!group) {
      reply.step = Step::make_group;
      reply.error = group.error().error;
      return send_packet(kSpawnerFd, &reply, sizeof reply) == 0;
    }
    const bool is_full = request.mode == Mode::full;
    const bool is_networked = request.access.proxy;  // no other jail gets what it has used
    JailResult made = make_jail({.mode = request.mode,
                                 .slot = slot,
                                 .host_fd = host_fd,
                                 .null_fd = null_.get(),
                                 .profile = request.profile,
                                 .limits = request.limits,
                                 .access = request.access,
                                 .group = wants_group ? &*group : nullptr,
                                 .network_fd = is_full && !is_networked ? networks_[slot].get() : -1,
                                 .mounts_fd = is_full ? root_mounts(request.profile) : -1});
    if (wants_group && made.failure.step != Step::none) cgroups_->remove(group->id);
    reply.step = made.failure.step;
    reply.error = made.failure.error;
    if (made.failure.step != Step::none) return send_packet(kSpawnerFd, &reply, sizeof reply) == 0;
    reply.kind = SpawnReply::Kind::made;
    const int fds[] = {made.jail.pidfd.get(), made.jail.protocol.get(), made.jail.listener.get()};
    slots_[slot] = true;
    if (made.jail.network && !is_networked) networks_[slot] = std::move(made.jail.network);
    children_.push_back(
        {request.id, slot, group->id, request.mode, made.jail.pid, std::move(made.jail.pidfd)});
    return send_packet(kSpawnerFd, &reply, sizeof reply, fds, is_networked ? 3 : 2) == 0;
  }

  void finish(size_t index) {
    const Child child = std::move(children_[index]);
    children_.erase(children_.begin() + static_cast<std::ptrdiff_t>(index));
    const Ending ending = reap(child.pidfd.get());
    if (child.mode == Mode::nons) {
      std::vector<pid_t> known;
      for (const Child& other : children_) known.push_back(other.pid);
      end_orphans(known);
    }
    slots_[child.slot] = false;
    if (child.group != 0) cgroups_->remove(child.group);
    SpawnReply reply{.kind = SpawnReply::Kind::exited, .id = child.id};
    reply.signalled = ending.signalled;
    reply.status = ending.status;
    reply.cpu_us = ending.cpu_us;
    reply.peak_rss_bytes = ending.peak_rss_bytes;
    send_packet(kSpawnerFd, &reply, sizeof reply);  // a daemon that is gone is noticed by the next receive
  }

  int root_mounts(Profile profile) {
    UniqueFd& mounts = root_mounts_[static_cast<size_t>(profile)];
    if (!mounts) mounts = make_root_mounts(profile);
    return mounts.get();
  }

  uint32_t free_slot() const {
    uint32_t slot = 0;
    while (slot < kJailLimit && slots_[slot]) slot++;
    return slot;
  }

  UniqueFd null_;
  std::array<UniqueFd, 2> root_mounts_;  ///< by profile
  // An empty one for each slot: making and destroying one costs a third of a jail. It is used by one jail
  // after the other, each of which has ended with all that was in it before the next enters.
  std::array<UniqueFd, kJailLimit> networks_;
  std::vector<Child> children_;
  std::vector<bool> slots_;
  std::optional<CgroupTree> cgroups_;  ///< once probed
};

}  // namespace
}  // namespace assay::sandbox

int main() {
  using namespace assay::sandbox;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  if (syscall(SYS_close_range, kSpawnerFd + 1, ~0U, 0) != 0) return 1;
  assay::UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null || fcntl(kSpawnerFd, F_SETFD, FD_CLOEXEC) != 0) return 1;
  Spawner(std::move(null)).serve();
  return 0;
}
