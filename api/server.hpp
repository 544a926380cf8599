// The control plane, ready to be embedded: `assay serve` runs one, `assay run` runs one in its own process.
#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "api/store/types.hpp"
#include "core/error.hpp"

namespace assay::api {

struct KeyRequest {
  std::string project;  ///< made when absent; "*": every project, for workers and monitors alone
  std::string name;
  std::vector<std::string> scopes;      ///< admin, submit, read, worker, monitor
  std::vector<std::string> containers;  ///< ids or labels of those that it may see; empty: all
};

/// As KeyRequest has them.
std::vector<std::string> scope_names(unsigned scopes);

class Server {
 public:
  struct Limits {
    size_t json_body_bytes = size_t{8} << 20;
    size_t line_bytes = size_t{8} << 20;  ///< one row of a dataset
    size_t dataset_bytes = size_t{64} << 30;
    size_t header_bytes = size_t{16} << 10;
    size_t header_fields = 100;
    size_t connections = 4096;
    size_t requests_per_second = 0;   ///< of one key, but for what workers do; 0: any number
    size_t requests_at_once = 0;      ///< that a quiet key may make on top; 0: as many as in two seconds
    size_t bad_keys_per_second = 20;  ///< unknown keys from one address

    size_t burst() const { return requests_at_once > 0 ? requests_at_once : 2 * requests_per_second; }
  };
  struct Timeouts {
    std::chrono::milliseconds header{10'000};      ///< from a request's first byte to the end of its header
    std::chrono::milliseconds body{30'000};        ///< without a byte of a body that is being read
    size_t body_bytes_per_second = 256;            ///< that a body must have beyond that, on the whole
    std::chrono::milliseconds write{30'000};       ///< for each 64 KiB of an answer
    std::chrono::milliseconds keep_alive{75'000};  ///< between requests
    std::chrono::milliseconds stop{10'000};        ///< for requests in flight when the server stops
  };
  struct Options {
    /// A SQLite file; ":memory:" is a temporary one, removed at the end. Or postgresql://…
    std::string store = ":memory:";
    std::string listen = "127.0.0.1:0";  ///< HOST:PORT (port 0 chooses one) or unix:/PATH
    std::string tls_cert, tls_key;       ///< PEM files; both or neither
    std::string metrics_listen;          ///< where /metrics is plain and open; empty: nowhere
    bool access_log = false;             ///< a log line for every request
    size_t threads = 2;                  ///< that serve requests; the store has its own
    Limits limits;
    Timeouts timeouts;
    std::chrono::milliseconds lease_ttl{30'000};
    std::chrono::milliseconds accept_within{30'000};  ///< the first heartbeat of a lease
    /// Longer than an item may take, which is an hour of its own and an hour of waiting for a model's
    /// provider.
    std::chrono::milliseconds stall_timeout{std::chrono::hours(3)};
    size_t shard_lives = 3;  ///< a shard that fails so often in a row without one new outcome is set aside
    std::chrono::milliseconds claim_wait{20'000};  ///< told to workers; they may ask for at most 25 s
    std::chrono::milliseconds retry_base{1'000};   ///< a failed shard waits 2^attempt of these
    std::chrono::milliseconds tick{1'000};         ///< how often expired leases are looked for
    std::chrono::milliseconds retention{0};        ///< ended runs are deleted after so long; 0: never
    /// The same of lines of the audit log: a year.
    std::chrono::milliseconds audit_retention{std::chrono::hours(8760)};

    /// What workers are told: two may be lost before the lease is.
    std::chrono::milliseconds heartbeat() const {
      return std::max(std::chrono::milliseconds(100), lease_ttl / 3);
    }
  };

  /// Binds, opens the store and starts the threads. The error is one sentence: what is wrong and what to do.
  static Result<std::unique_ptr<Server>> start(Options options);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  /// Stops.
  ~Server();

  /// Where it listens, with the real port: "127.0.0.1:41235" or "unix:/run/assay.sock".
  const std::string& address() const;
  /// The same of Options::metrics_listen.
  std::string metrics_address() const;
  /// Reads the certificate and key again, for connections to come; an error leaves those in use as they are.
  /// Nothing without TLS.
  Result<void> reload_tls();
  /// A new key, shown this once.
  Result<std::string> create_key(const KeyRequest& request);
  /// What `create_key` gave is worth nothing any more.
  Result<void> revoke_key(const std::string& key);
  /// Takes no new requests, lets those in flight end (Timeouts::stop), and returns when all threads have
  /// ended.
  void stop();

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// The keys in a store, also while servers are serving it.
class KeyStore {
 public:
  /// A SQLite file must be there, or come within a moment from a server that is starting: a key in a store
  /// that nobody serves opens nothing. `config` when there is none.
  static Result<KeyStore> open(const std::string& store);
  KeyStore(KeyStore&&) noexcept;
  ~KeyStore();

  /// The key, which is shown this once.
  Result<std::string> create(const KeyRequest& request);
  Result<std::vector<KeyInfo>> list();
  /// By its id. Servers notice within a second.
  Result<void> revoke(const std::string& id);

 private:
  struct Impl;
  explicit KeyStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace assay::api
