// What of this machine an evaluator must not get at, and whether it did: files, processes, sockets, the
// environment and memory of the process that runs the sandbox.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/fd.hpp"
#include "core/outcome.hpp"

namespace assay::sandbox {

class Victim {
 public:
  Victim();
  ~Victim();
  Victim(const Victim&) = delete;
  Victim& operator=(const Victim&) = delete;

  /// Gives files and processes to the users of a jail that lives, and of those beside it: the daemon as root
  /// has other users for its jails. They stand for what is ours where it is no root and they have its user.
  void add_jail_users();

  /// Where everything is, as a JSON object: an attacker is told all but the secret.
  std::string description() const;

  /// What was read (and is told in `outcome`), changed, signalled or spoken to, each said once.
  std::vector<std::string> harm_done(const Outcome& outcome);

 private:
  struct File {
    std::filesystem::path path;
    struct stat before{};
  };
  void add_file(const std::string& name, mode_t mode, uid_t owner);
  void add_owned(uid_t owner);
  void add_process(uid_t owner);

  std::string secret_;
  std::filesystem::path folder_;
  std::vector<File> files_;
  std::map<uid_t, pid_t> processes_;
  UniqueFd tcp_, abstract_, path_socket_;
  int port_ = 0;
};

/// Children of this process that nobody here started: what is left behind by a jail comes to us, the
/// subreaper. Each as "pid name". Waits for those that are about to end, and ends the others.
std::vector<std::string> orphans_left();

std::vector<pid_t> processes_named(const std::string& name);  ///< that live
std::vector<pid_t> spawners();                                ///< of this build, children of this process

size_t open_descriptors();
size_t mounts();  ///< where a jail has its own; others may come and go
size_t resident_bytes();

}  // namespace assay::sandbox
