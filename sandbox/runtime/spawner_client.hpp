// The pool's end of the spawner (sandbox/jail/spawner.cpp).
#pragma once

#include <sys/types.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>

#include "core/async/scope.hpp"
#include "core/async/task.hpp"
#include "core/fd.hpp"
#include "sandbox/jail/message.hpp"
#include "sandbox/jail/packet.hpp"

namespace assay::sandbox {

class SpawnerClient {
 public:
  struct Jail {
    uint64_t id = 0;
    UniqueFd pidfd;
    UniqueFd protocol;
    UniqueFd listener;  ///< of JailAccess::proxy
  };

  /// Starts the spawner and finds the jail mode with the host `host_fd`; `internal` with the failing step of
  /// every mode that was tried.
  static Task<Result<std::unique_ptr<SpawnerClient>>> start(asio::any_io_executor executor,
                                                            std::optional<Mode> mode, int host_fd);
  /// Whether a jail of `mode` and `profile` can be built around the host `host_fd`, as a spawner of its own
  /// finds: `found`, or `refused` with the step and errno.
  static Task<Result<SpawnReply>> try_mode(asio::any_io_executor executor, Mode mode, Profile profile,
                                           int host_fd);
  /// close() must have been awaited.
  ~SpawnerClient();

  Mode mode() const { return mode_; }
  Cgroups cgroups() const { return cgroups_; }
  bool alive() const { return alive_; }
  pid_t pid() const { return pid_; }

  /// A jail with `host_fd` as its host. `internal` with the failing step.
  Task<Result<Jail>> make(int host_fd, Profile profile, JailLimits limits, JailAccess access);
  /// How the jail ended; nullopt when that does not become known in a few seconds. Once for each jail.
  Task<std::optional<SpawnReply>> wait_end(uint64_t id);

  /// Ends the spawner, which kills every jail, and waits for it.
  Task<> close();

 private:
  /// One answer that somebody waits for, or will.
  struct Expected {
    explicit Expected(asio::any_io_executor executor)
        : arrived(executor, asio::steady_timer::time_point::max()) {}
    asio::steady_timer arrived;  // cancelled on arrival
    std::optional<SpawnReply> reply;
    std::array<UniqueFd, kPacketFds> fds;
  };
  using Expectations = std::map<uint64_t, std::shared_ptr<Expected>>;

  SpawnerClient(asio::any_io_executor executor, pid_t pid, UniqueFd socket);
  static Result<std::unique_ptr<SpawnerClient>> launch(asio::any_io_executor executor);
  Task<Result<void>> find_mode(std::optional<Mode> mode, Profile profile, int host_fd);
  Result<void> send(const SpawnRequest& request, int host_fd);
  Task<> receive_all();
  void receive(SpawnReply reply, std::array<UniqueFd, kPacketFds> fds);
  Task<std::optional<SpawnReply>> await(std::shared_ptr<Expected> expected, Clock::duration patience);
  void lose_spawner();

  asio::any_io_executor executor_;
  pid_t pid_;
  Mode mode_ = Mode::nons;
  Cgroups cgroups_ = Cgroups::none;
  bool alive_ = true;
  uint64_t next_id_ = 1;
  asio::posix::stream_descriptor socket_;
  Expectations made_, ended_;
  std::vector<SpawnReply> refused_modes_;
  Scope scope_;
};

}  // namespace assay::sandbox
