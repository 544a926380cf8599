// The store in one SQLite file.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "api/store/store.hpp"

namespace assay::api {

struct SqliteOptions {
  /// A file, made when absent; ":memory:" is a temporary file, removed at the end.
  std::string path = ":memory:";
  LeasePolicy leases;
  size_t queue = 4096;  ///< commands that may wait, for the writer and for the readers
  /// Milliseconds of a steady clock, for leases; tests bring their own.
  std::function<int64_t()> clock;
  /// For one short write into a store that another process may be serving: takes no lock, touches no lease.
  bool beside_server = false;
};

/// One sentence says why it cannot be opened: held by another process, of a newer version, no permission, …
Result<std::unique_ptr<Store>> open_sqlite_store(SqliteOptions options);

}  // namespace assay::api
