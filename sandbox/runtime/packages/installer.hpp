// Installs the packages of one program, in a jail of its own.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <optional>
#include <string>

#include "core/async/task.hpp"
#include "core/error.hpp"
#include "sandbox/runtime/host.hpp"
#include "sandbox/runtime/packages/sources.hpp"
#include "sandbox/runtime/program.hpp"
#include "sandbox/runtime/spawner_client.hpp"

namespace assay::sandbox {

Error too_large(size_t limit_bytes);

class Installer {
 public:
  /// `config` when nothing can be installed for `program` on this worker, whatever the index has.
  static Result<void> can_install(const PackageSources& sources, Mode mode, const Program& program);

  /// Where the packages of `program` come from; empty: from the wheelhouse.
  static const std::string& url_of(const PackageSources& sources, const Program& program);

  /// `disk` is where what takes long is done.
  Installer(asio::any_io_executor executor, asio::thread_pool& disk)
      : executor_(executor), disk_(disk), standstill_(executor) {}

  /// Fills `folder`, which is empty and writable for everybody. `config` with the resolver's own words when
  /// the requirements cannot be met, `cancelled` after stop(). `host_fd` is the host of kPackages.
  Task<Result<void>> install(SpawnerClient* spawner, int host_fd, const PackageSources& sources,
                             const Program& program, std::string folder);
  void stop();

 private:
  Task<> watch_size(std::string folder, size_t limit_bytes);

  asio::any_io_executor executor_;
  asio::thread_pool& disk_;
  Standstill standstill_;
  std::shared_ptr<Host> host_;
  bool stopped_ = false;
  std::optional<Error> fault_;  ///< found while it ran
};

}  // namespace assay::sandbox
