// The environments of packages on this machine: a folder for each set of requirements, made once, shared by
// every run and every worker that has the same folder of settings, and removed when room is needed.
//
// Theory of operation. An environment is named by the hash of its interpreter, its requirements and where
// they come from: FOLDER/HASH. FOLDER/HASH.lock is locked (flock) shared by those who use it and exclusively
// by whoever makes or removes it, so that also other processes wait, and a process that dies lets go. It is
// made under another name and renamed when it is whole, and renamed before it is removed. The lock file's
// time is that of the last use, its text the size in bytes.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "core/async/task.hpp"
#include "core/error.hpp"
#include "core/fd.hpp"
#include "sandbox/runtime/packages/installer.hpp"
#include "sandbox/runtime/packages/sources.hpp"

namespace assay::sandbox {

/// Kept as long as somebody holds it.
struct Environment {
  std::string folder;
  UniqueFd lock;
};

class PackageStore {
 public:
  PackageStore(asio::any_io_executor executor, PackageSources sources)
      : executor_(executor), sources_(std::move(sources)) {}

  /// The environment that `program` asks for, installed by `spawner` with `host_fd` (kPackages) if it is not
  /// there. Whoever asks meanwhile waits for it. `config` when its requirements cannot be met: remembered for
  /// a while.
  Task<Result<std::shared_ptr<const Environment>>> provide(std::shared_ptr<const Program> program,
                                                           SpawnerClient* spawner, int host_fd);
  /// Ends what is being installed: provide() then says `cancelled`.
  void stop();

 private:
  struct Failure {
    Error error;
    Clock::time_point when;
  };
  Task<Result<void>> make(const Program& program, SpawnerClient* spawner, int host_fd, std::string folder,
                          int lock_file);
  void make_room(const std::string& keep) const;

  asio::any_io_executor executor_;
  PackageSources sources_;
  std::map<std::string, Failure> failures_;  ///< by the environment's name
  std::set<Installer*> installing_;
  asio::thread_pool disk_{1};  ///< for what may take long there: others wait on the executor
  bool stopped_ = false;
};

}  // namespace assay::sandbox
