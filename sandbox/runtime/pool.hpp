// The pool that feeds evaluator hosts: items in, outcomes out.
//
// Theory of operation. A Pool owns one spawner process (sandbox/jail/spawner.hpp) and, through it, jailed
// host processes. A host serves one Program only and is thrown away with it. Items of a program are written
// to its hosts ahead of need, results are read as they come. The pool owns the kill: an evaluation has an
// absolute wall deadline, which stands still while a model is asked for it, and when it passes the host is
// killed through its pidfd and the item ends as `timeout`. A host that dies costs the item it was on; the
// others go to the next host. Of a host with several under way it is not known which that was: they are
// evaluated again in smaller and smaller company, until the one at fault is alone. Everything here runs on
// the executor it was given; the pool is not thread-safe.
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
#include "sandbox/runtime/completions.hpp"
#include "sandbox/runtime/packages/sources.hpp"
#include "sandbox/runtime/plugin_description.hpp"
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

  /// What the plugin at `path` (absolute) says of itself. Its code runs, so it is asked in a jail: `config`
  /// when it is no plugin, or crashes. To be awaited before close().
  Task<Result<PluginDescription>> describe_plugin(std::string path);

  /// Queues one evaluation; `done` is called once, on the executor, never from inside submit. `item` is the
  /// JSON text of the item (sdk/protocol.md). `completions` answers when it asks models, if its program may.
  /// The queue is not bounded here: callers bound what they submit.
  void submit(std::shared_ptr<const Program> program, std::string item, Done done,
              std::shared_ptr<const bool> unwanted = nullptr,
              std::shared_ptr<Completions> completions = nullptr);
  /// Answers `cancelled` for all that waits and whose `unwanted` has become true, and ends such evaluations
  /// that are under way.
  void sweep();
  /// submit() as an awaitable.
  Task<Outcome> evaluate(std::shared_ptr<const Program> program, std::string item,
                         std::shared_ptr<Completions> completions = nullptr);

  /// Kills every host, answers what is queued with `cancelled`, ends the spawner and waits for it.
  Task<> close();

 private:
  struct Impl;
  explicit Pool(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace assay::sandbox
