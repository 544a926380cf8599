// The pool that feeds evaluator hosts: items in, outcomes out.
//
// Theory of operation. A Pool owns one spawner process (sandbox/jail/spawner.hpp) and, through it, jailed
// host processes. A host serves one Program only and is thrown away with it. Items of a program are written
// to its hosts ahead of need (a host answers in order), results are read as they come. The pool owns the
// kill: the item at the head of a host's queue has an absolute wall deadline, and when it passes the host is
// killed through its pidfd and the item ends as `timeout`. A host that dies costs the item it was on; the
// items queued behind it go to the next host. Everything here runs on the executor it was given; the pool is
// not thread-safe.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/async/task.hpp"
#include "core/outcome.hpp"
#include "sandbox/jail/cgroup.hpp"
#include "sandbox/jail/mode.hpp"
#include "sandbox/runtime/packages/sources.hpp"
#include "sandbox/runtime/program.hpp"

namespace assay::sandbox {

struct PoolOptions {
  size_t hosts = 2;          ///< host processes alive at most; idle hosts of other programs make room
  size_t window = 64;        ///< items written to one host ahead of its answers
  std::optional<Mode> mode;  ///< demand this jail mode instead of the best that works
  PackageSources packages;   ///< for programs that have requirements
};

class Pool {
 public:
  using Done = std::move_only_function<void(Outcome)>;

  /// Starts the spawner and finds the jail mode. `config` or `internal` with the failing step and what to do.
  static Task<Result<std::unique_ptr<Pool>>> start(asio::any_io_executor executor, PoolOptions options);
  /// close() must have been awaited.
  ~Pool();

  /// The jail mode in use, for the record of the run.
  Mode mode() const;
  /// What holds the limits of a jail as a whole.
  Cgroups cgroups() const;

  /// Starts a host for `program`, with its requirements: `config` with the resolver's words when they cannot
  /// be met, or with the line for a source that does not compile or whose top level fails.
  Task<Result<>> prepare(std::shared_ptr<const Program> program);

  /// Queues one evaluation; `done` is called once, on the executor, never from inside submit. `item` is the
  /// JSON text of the item (sdk/protocol.md). The queue is not bounded here: callers bound what they submit.
  void submit(std::shared_ptr<const Program> program, std::string item, Done done,
              std::shared_ptr<const bool> unwanted = nullptr);
  /// Answers `cancelled` for all that waits and whose `unwanted` has become true, and ends the processes that
  /// are at such an item.
  void sweep();
  /// submit() as an awaitable.
  Task<Outcome> evaluate(std::shared_ptr<const Program> program, std::string item);

  /// Kills every host, answers what is queued with `cancelled`, ends the spawner and waits for it.
  Task<> close();

 private:
  struct Impl;
  explicit Pool(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace assay::sandbox
