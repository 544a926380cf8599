// The store in a PostgreSQL database, for any number of servers at once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "api/store/store.hpp"

namespace assay::api {

struct PostgresOptions {
  /// "postgresql://USER@HOST/DATABASE?…", as libpq takes it. Without a password: that is for a password file
  /// (`passfile=`, ~/.pgpass), because addresses show in process lists and logs.
  std::string address;
  LeasePolicy leases;
  size_t queue = 4096;  ///< commands that may wait, for the writers and for the readers
  size_t writers = 8;   ///< connections for commands that write
  size_t readers = 4;   ///< connections for commands that read
  /// Milliseconds, instead of the database's clock; for tests.
  std::function<int64_t()> clock;
};

/// Whether a store's address means PostgreSQL.
bool is_postgres_address(std::string_view address);

/// Makes or migrates the schema. One sentence says why it cannot be opened: not reached, of a newer version,
/// …
Result<std::unique_ptr<Store>> open_postgres_store(PostgresOptions options);

}  // namespace assay::api
