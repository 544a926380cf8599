#include "api/server.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <thread>

#include "api/context.hpp"
#include "api/http/connection.hpp"
#include "api/http/tls.hpp"
#include "api/routes.hpp"
#include "api/store/postgres_store.hpp"
#include "api/store/sqlite_store.hpp"
#include "api/upkeep.hpp"
#include "core/async/scope.hpp"
#include "core/check.hpp"
#include "core/http/status_server.hpp"
#include "core/id.hpp"
#include "core/log.hpp"

namespace assay::api {
namespace {

// A loop is one thread with its own connections: within it nothing runs at once, so connections need no
// locks. What loops share (the store, the bells, the cache) is safe to share.
struct Loop {
  Loop()
      : work(io.get_executor()),
        connections(io.get_executor()),
        refusals(io.get_executor()),
        upkeep(io.get_executor()) {}

  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> work;
  Scope connections, refusals, upkeep;
  IdleConnections idle;
  Deadline next_full_line{};
  std::jthread thread;
};

/// Lets requests end until `deadline`, then cancels what is left.
Task<> drain(Loop& loop, Deadline deadline) {
  loop.idle.cancel_waiting();
  loop.upkeep.cancel();
  loop.refusals.cancel();
  asio::steady_timer timer(loop.io, deadline);
  timer.async_wait([&loop](const boost::system::error_code& error) {
    if (!error) loop.connections.cancel();
  });
  co_await loop.connections.join();
  co_await loop.upkeep.join();
  co_await loop.refusals.join();
  timer.cancel();
}

constexpr std::array<std::pair<KeyScope, const char*>, 5> kScopeNames = {
    {{kAdmin, "admin"}, {kSubmit, "submit"}, {kRead, "read"}, {kWorker, "worker"}, {kMonitor, "monitor"}}};

Result<unsigned> parse_scopes(const std::vector<std::string>& names) {
  unsigned scopes = 0;
  for (const auto& name : names) {
    const auto known = std::ranges::find(kScopeNames, name, [](const auto& entry) { return entry.second; });
    if (known == kScopeNames.end())
      return fail(ErrorKind::config,
                  "the scope " + name + " is not one of admin, submit, read, worker, monitor");
    scopes |= known->first;
  }
  if (scopes == 0)
    return fail(ErrorKind::config, "a key needs at least one scope: admin, submit, read, worker, monitor");
  return scopes;
}

/// Runs `task` on a loop; the caller is another thread and waits.
template <class T>
Result<T> wait_for(asio::io_context& io, Task<Answer<T>> task) {
  auto done = asio::co_spawn(io, std::move(task), asio::use_future);
  if (done.wait_for(std::chrono::seconds(30)) != std::future_status::ready)
    return fail(ErrorKind::internal, "the store did not answer within 30 s");
  auto answer = done.get();
  if (!answer)
    return fail(answer.error().status < 500 ? ErrorKind::config : ErrorKind::internal,
                answer.error().message);
  if constexpr (std::is_void_v<T>)
    return {};
  else
    return std::move(*answer);
}

Result<std::string> make_key(asio::io_context& io, Store& store, const KeyRequest& request) {
  NewKey key;
  ASSAY_TRY(key.scopes, parse_scopes(request.scopes));
  key.project = request.project;
  key.name = request.name;
  key.containers = request.containers;
  std::string secret = make_id("ak_");
  key.sha256 = sha256_hex(secret);
  ASSAY_OK(wait_for(io, store.create_key(std::move(key))));
  return secret;
}

Result<std::unique_ptr<Store>> open_store(const Server::Options& options) {
  LeasePolicy leases;
  leases.ttl = options.lease_ttl;
  leases.accept_within = options.accept_within;
  leases.stall = options.stall_timeout;
  leases.retry_base = options.retry_base;
  leases.retention = options.retention;
  leases.audit_retention = options.audit_retention;
  leases.fruitless_failures = static_cast<int>(options.shard_lives);
  leases.outage = std::max<std::chrono::milliseconds>(std::chrono::seconds(3), options.heartbeat());
  if (is_postgres_address(options.store))
    return open_postgres_store({.address = options.store, .leases = leases});
  return open_sqlite_store({.path = options.store, .leases = leases});
}

}  // namespace

struct Server::Impl {
  Options options;
  std::unique_ptr<Store> store;
  std::unique_ptr<Context> context;
  std::vector<Route> routes = all_routes();
  std::vector<std::unique_ptr<Loop>> loops;
  std::unique_ptr<Tls> tls;  ///< null: plain HTTP
  std::unique_ptr<http::Listener> listener;
  std::unique_ptr<http::StatusServer> status;  ///< null: /metrics is with the rest only
  std::string address;
  std::atomic<size_t> connections = 0;
  size_t turn = 0;  // whose connection is next; used on the first loop only
  bool stopped = false;

  Result<void> start();
  Result<void> start_tls();
  Result<void> start_status();
  Task<> accept();
  Task<> serve(Loop& loop, Socket socket);
  void take(Loop& loop, Socket socket);
  bool make_room(Loop& loop);
  void refuse(Loop& loop, Socket socket);
};

Result<void> Server::Impl::start_tls() {
  if (options.tls_cert.empty() && options.tls_key.empty()) return {};
  if (options.tls_cert.empty() || options.tls_key.empty())
    return fail(ErrorKind::config,
                "TLS needs both files: a certificate (api.tls_cert) and its key (api.tls_key)");
  tls = std::make_unique<Tls>(options.tls_cert, options.tls_key);
  return tls->load();
}

Result<void> Server::Impl::start_status() {
  if (options.metrics_listen.empty()) return {};
  http::StatusServer::Pages pages{{"/metrics", [this]() -> Task<http::StatusPage> {
                                     auto text = co_await metrics_text(*context);
                                     co_return http::StatusPage{200, std::string(Telemetry::kContentType),
                                                                std::move(text)};
                                   }}};
  auto made =
      http::StatusServer::start(loops.front()->io.get_executor(), options.metrics_listen, std::move(pages));
  if (!made) return std::unexpected(std::move(made.error()).with("api.metrics_listen"));
  status = std::move(*made);
  return {};
}

Result<void> Server::Impl::start() {
  ASSAY_OK(start_tls());
  ASSAY_TRY(store, open_store(options));
  context = std::make_unique<Context>(options, *store);
  store->listen([this](Change change) { context->ring(change); });
  for (size_t i = 0; i < std::max<size_t>(1, options.threads); ++i) loops.push_back(std::make_unique<Loop>());
  ASSAY_TRY(listener, http::listen_on(loops.front()->io.get_executor(), options.listen));
  address = listener->address();
  ASSAY_OK(start_status());
  Loop& first = *loops.front();
  first.upkeep.spawn("accept", accept());
  first.upkeep.spawn("finish runs", finish_runs(*context));
  first.upkeep.spawn("keep tidy", keep_tidy(*context));
  for (auto& loop : loops) loop->thread = std::jthread([&io = loop->io] { io.run(); });
  return {};
}

Task<> Server::Impl::accept() {
  // A connection stays on the loop that it was accepted for: the two calls alternate.
  auto next = [this]() -> asio::any_io_executor { return loops[++turn % loops.size()]->io.get_executor(); };
  auto give = [this](Socket socket) { take(*loops[turn % loops.size()], std::move(socket)); };
  co_await listener->accept(std::move(next), std::move(give));
}

void Server::Impl::take(Loop& loop, Socket socket) {
  const bool full = connections.fetch_add(1) >= options.limits.connections;
  asio::post(loop.io, [this, &loop, full, held = std::move(socket)]() mutable {
    if (full && !make_room(loop)) {
      connections.fetch_sub(1);
      refuse(loop, std::move(held));
      return;
    }
    context->telemetry.connection_opened();
    loop.connections.spawn("connection", serve(loop, std::move(held)));
  });
}

/// Idle connections are worth less than a new one, which may be a worker's heartbeat: whoever holds all that
/// there are keeps nobody out.
bool Server::Impl::make_room(Loop& loop) {
  constexpr std::chrono::seconds kBetweenLines(10);
  const bool made = loop.idle.close_longest();
  if (made) context->telemetry.connection_closed_early();
  if (const auto now = Clock::now(); now >= loop.next_full_line) {
    log::warn(made ? "there are as many connections as the limit allows: idle ones are closed for new ones"
                   : "there are as many connections as the limit allows: new ones are refused",
              {{"limit", std::to_string(options.limits.connections)}});
    loop.next_full_line = now + kBetweenLines;
  }
  return made;
}

/// Only a few are told why: they cost a descriptor each while they are.
void Server::Impl::refuse(Loop& loop, Socket socket) {
  constexpr size_t kMost = 64;
  context->telemetry.connection_refused();
  if (tls) return;  // a handshake is dearer than an answer
  if (loop.refusals.size() < kMost) loop.refusals.spawn("refuse", refuse_connection(std::move(socket)));
}

Task<> Server::Impl::serve(Loop& loop, Socket socket) {
  auto certificate = tls ? tls->context() : nullptr;
  co_await serve_connection({*context, routes}, loop.idle, std::move(socket), std::move(certificate));
  context->telemetry.connection_closed();
  connections.fetch_sub(1);
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() {
  stop();
}

Result<std::unique_ptr<Server>> Server::start(Options options) {
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  ASSAY_OK(impl->start());
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

const std::string& Server::address() const {
  return impl_->address;
}

std::string Server::metrics_address() const {
  return impl_->status ? impl_->status->address() : "";
}

Result<void> Server::reload_tls() {
  if (!impl_->tls) return {};
  return impl_->tls->load();
}

Result<std::string> Server::create_key(const KeyRequest& request) {
  return make_key(impl_->loops.front()->io, *impl_->store, request);
}

Result<void> Server::revoke_key(const std::string& key) {
  return wait_for(impl_->loops.front()->io, impl_->store->revoke_key(key_id_of(sha256_hex(key))));
}

void Server::stop() {
  if (std::exchange(impl_->stopped, true)) return;
  impl_->context->stopping = true;
  const Deadline deadline = Clock::now() + impl_->options.timeouts.stop;
  // The listener's own thread closes it; only then can no connection come any more.
  std::promise<void> closed;
  asio::post(impl_->loops.front()->io, [this, &closed] {
    impl_->listener->close();
    closed.set_value();
  });
  closed.get_future().wait();
  impl_->context->ring(Change::work);
  impl_->context->ring(Change::ended);
  std::vector<std::future<void>> drained;
  for (auto& loop : impl_->loops)
    drained.push_back(asio::co_spawn(loop->io, drain(*loop, deadline), asio::use_future));
  if (impl_->status)
    drained.push_back(asio::co_spawn(impl_->loops.front()->io, impl_->status->close(), asio::use_future));
  for (auto& done : drained) done.wait();
  for (auto& loop : impl_->loops) {
    loop->work.reset();
    if (loop->thread.joinable()) loop->thread.join();
  }
  impl_->status.reset();
  impl_->listener.reset();
  impl_->store.reset();
}

struct KeyStore::Impl {
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> work = asio::make_work_guard(io);
  std::unique_ptr<Store> store;
  std::jthread thread;

  ~Impl() {
    store.reset();
    work.reset();
  }
};

namespace {

/// Only a server makes a store; one that was just started needs a moment for it.
Result<std::unique_ptr<Store>> open_beside_server(const std::string& path) {
  constexpr auto kServerStarts = std::chrono::seconds(2);
  const auto end = Clock::now() + kServerStarts;
  for (;;) {
    auto store = open_sqlite_store({.path = path, .beside_server = true});
    if (store || Clock::now() >= end) return store;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace

KeyStore::KeyStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KeyStore::KeyStore(KeyStore&&) noexcept = default;
KeyStore::~KeyStore() = default;

Result<KeyStore> KeyStore::open(const std::string& store) {
  auto impl = std::make_unique<Impl>();
  if (is_postgres_address(store)) {
    ASSAY_TRY(impl->store, open_postgres_store({.address = store, .writers = 1, .readers = 1}));
  } else {
    ASSAY_TRY(impl->store, open_beside_server(store));
  }
  impl->thread = std::jthread([&io = impl->io] { io.run(); });
  return KeyStore(std::move(impl));
}

Result<std::string> KeyStore::create(const KeyRequest& request) {
  return make_key(impl_->io, *impl_->store, request);
}

Result<std::vector<KeyInfo>> KeyStore::list() {
  return wait_for(impl_->io, impl_->store->keys());
}

Result<void> KeyStore::revoke(const std::string& id) {
  return wait_for(impl_->io, impl_->store->revoke_key(id));
}

std::vector<std::string> scope_names(unsigned scopes) {
  std::vector<std::string> names;
  for (const auto& [scope, name] : kScopeNames)
    if ((scopes & scope) != 0) names.emplace_back(name);
  return names;
}

}  // namespace assay::api
