#include "sandbox/runtime/pool.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <filesystem>
#include <map>
#include <unordered_map>
#include <vector>

#include "core/async/scope.hpp"
#include "core/check.hpp"
#include "core/log.hpp"
#include "sandbox/jail/helper.hpp"
#include "sandbox/runtime/host.hpp"
#include "sandbox/runtime/packages/store.hpp"

namespace assay::sandbox {
namespace {

using namespace std::chrono_literals;

constexpr auto kIdleLife = 30s;   // of a host that nobody gives work to
constexpr auto kQuantum = 100ms;  // that a program keeps its last host before another program may take it
constexpr auto kHousekeeping = 1s;
constexpr auto kDescribing = 5s;
constexpr std::string_view kProbedHost = "assay-lua-host";  // finds out what jails this machine gives

Outcome closed() {
  return Outcome::errored(ErrorKind::cancelled, "the sandbox was closed");
}

/// What the jail of a program is let see.
Result<JailAccess> access_of(const Program& program) {
  JailAccess access;
  if (program.language != kPlugin) return access;
  const std::filesystem::path library(program.plugin);
  if (!library.is_absolute())
    return fail(ErrorKind::config, "the path of a plugin must be absolute: \"" + program.plugin + '"');
  if (::access(library.c_str(), R_OK) != 0)
    return fail_errno(ErrorKind::config, "cannot read the plugin " + program.plugin, errno);
  if (!access.set(JailFolder::plugin, library.parent_path().string(), false))
    return fail(ErrorKind::config,
                "the folder of a plugin may have 500 bytes in its path: " + program.plugin);
  return access;
}

/// "The host ended" says less than how: a crash at the top level, a forbidden call.
Error why_not_started(Error error, const Host& host, const Outcome& ending) {
  const ErrorKind how = ending.error.kind;
  if (error.kind != ErrorKind::internal || !host.had_jail() || how == ErrorKind::cancelled) return error;
  error.message += " (" + ending.error.message + ")";
  // A plugin is loaded into the host itself.
  if (host.is_plugin() && how != ErrorKind::internal) error.kind = ErrorKind::config;
  return error;
}

/// Somebody who waits for a program to have a host.
struct Waiter {
  explicit Waiter(asio::any_io_executor executor)
      : arrived(executor, asio::steady_timer::time_point::max()) {}
  asio::steady_timer arrived;  // cancelled on arrival
  std::optional<Result<void>> result;
};

/// One program: its work and its hosts.
struct Queue {
  std::shared_ptr<const Program> program;
  const Language* language = nullptr;  ///< nullptr: this build has none of that name
  std::deque<Work> waiting;
  std::vector<std::shared_ptr<Host>> hosts;  // starting, serving or ending
  std::vector<std::shared_ptr<Waiter>> waiters;
  Clock::time_point last_turn{};                   // when it last took a place
  std::shared_ptr<const Environment> environment;  // of its requirements, once it is there
  bool is_providing = false;

  bool needs_packages() const { return !program->requirements.empty() && !environment; }

  /// Hosts that serve one item are made ahead of need: `ahead` of them may stand by.
  bool wants_host(size_t ahead) const {
    if (language->jail_per_item) {
      const bool in_use = !waiters.empty() ||
                          std::ranges::any_of(hosts, [](const auto& host) { return host->in_flight() > 0; });
      return hosts.size() - serving() < std::min(ahead, waiting.size() + (in_use ? 1 : 0));
    }
    size_t in_flight = 0;
    for (const auto& host : hosts) {
      if (!host->is_ready() && !host->is_leaving())
        return false;  // one at a time; the next when this one serves
      in_flight += host->in_flight();
    }
    if (hosts.empty()) return !waiting.empty() || !waiters.empty();
    return !waiting.empty() && waiting.size() + in_flight > hosts.size();
  }
  size_t serving() const {
    return static_cast<size_t>(std::ranges::count_if(
        hosts, [](const auto& host) { return host->is_leaving() || host->in_flight() > 0; }));
  }
  /// How many of the pool's places it has. Hosts of one item that stand by are not in anybody's way.
  size_t places() const { return language->jail_per_item ? serving() : hosts.size(); }
  /// Has something to do and no place to do it.
  bool is_starving() const {
    if (needs_packages()) return false;
    return (!waiting.empty() && places() == 0) || (!waiters.empty() && hosts.empty());
  }
  bool is_of_candidates() const { return language->name == kCandidate; }
  bool is_unused() const { return waiting.empty() && hosts.empty() && waiters.empty() && !is_providing; }
};

}  // namespace

struct Pool::Impl {
  Impl(asio::any_io_executor executor_, PoolOptions options_)
      : executor(executor_),
        options(options_),
        packages(executor_, options_.packages),
        scope(executor_),
        housekeeping(executor_),
        standstill(executor_) {}

  asio::any_io_executor executor;
  PoolOptions options;
  PackageStore packages;
  std::map<std::string_view, UniqueFd> host_programs;  // by the name of the program
  Mode mode = Mode::nons;
  std::vector<std::unique_ptr<SpawnerClient>>
      spawners;  // the last one serves; hosts may still wait for earlier ones
  bool reviving = false;
  std::unordered_map<std::string, std::unique_ptr<Queue>> queues;  // by Program::key()
  // Programs seen, so that a key is computed once for each and not for each item. Holding them keeps
  // addresses unique.
  std::unordered_map<std::shared_ptr<const Program>, Queue*> known;
  bool scheduled = false;
  bool closing = false;
  bool housekeeping_runs = false;
  Scope scope;
  asio::steady_timer housekeeping;
  Standstill standstill;

  Queue& queue_of(const std::shared_ptr<const Program>& program);
  void forget_unused();
  void schedule();
  void run_schedule();
  void fill(Queue& queue);
  bool grow(Queue& queue);
  void limit_standing_by();
  bool has_no_hosts() const {
    return std::ranges::all_of(queues, [](const auto& entry) { return entry.second->hosts.empty(); });
  }
  bool has_place(const Queue& queue) const;
  /// Those that waited longer.
  bool others_starve(const Queue& queue) const;
  Result<int> host_program(const Language& language);
  bool make_room(const Queue& wanting);
  void start_host(Queue& queue);
  Task<> run_host(Queue* queue, std::shared_ptr<Host> host);
  Task<> provide_packages(Queue* queue);
  Task<Result<SpawnerClient*>> live_spawner();
  Task<Result<std::string>> describe(std::shared_ptr<const Program> plugin);
  void host_started(Queue& queue);
  void host_failed(Queue& queue, Error error);
  void host_ended(Queue& queue, const std::shared_ptr<Host>& host, Outcome ending);
  void keep_house();
  void finish_later(Work work, Outcome outcome);
  void drop(Work work);
  void take(Work work, std::shared_ptr<const Program> program);
};

Queue& Pool::Impl::queue_of(const std::shared_ptr<const Program>& program) {
  const bool is_new_each_time = program->language == kCandidate;
  if (const auto found = known.find(program); found != known.end()) return *found->second;
  auto& queue = queues[program->key()];
  if (!queue) {
    queue = std::make_unique<Queue>();
    queue->program = program;
    queue->language = language_named(program->language);
  }
  if (!is_new_each_time) known.emplace(program, queue.get());
  return *queue;
}

void Pool::Impl::forget_unused() {
  std::erase_if(known, [](const auto& entry) { return entry.second->is_unused(); });
  std::erase_if(queues, [](const auto& entry) { return entry.second->is_unused(); });
}

/// Work is handed out once for all that was submitted or answered in one turn of the loop, so that it goes
/// out in one write.
void Pool::Impl::schedule() {
  if (std::exchange(scheduled, true)) return;
  asio::post(executor, [this] { run_schedule(); });
}

void Pool::Impl::run_schedule() {
  scheduled = false;
  if (closing) return;
  for (auto& [key, queue] : queues) fill(*queue);
  // Programs without any host first: nobody starves while another gets its second.
  for (const bool starving : {true, false})
    for (auto& [key, queue] : queues)
      if (queue->hosts.empty() == starving)
        while (queue->wants_host(options.hosts) && grow(*queue)) {
        }
  keep_house();
}

void Pool::Impl::fill(Queue& queue) {
  const bool one_each = queue.language->jail_per_item;
  while (!queue.waiting.empty()) {
    // Each of its items takes a place of its own; it lets go when others have none.
    if (one_each && others_starve(queue)) break;
    if (one_each && !has_place(queue) && !make_room(queue)) break;
    Host* freest = nullptr;
    for (const auto& host : queue.hosts)
      if (host->has_room(queue.waiting.front()) &&
          (freest == nullptr || host->in_flight() < freest->in_flight()))
        freest = host.get();
    if (freest == nullptr) break;
    freest->send(std::move(queue.waiting.front()));
    queue.waiting.pop_front();
    if (!one_each) continue;
    queue.last_turn = Clock::now();
    freest->flush();
    freest->leave();
  }
  for (const auto& host : queue.hosts) {
    if (host->is_ready()) host->flush();
    if (host->is_leaving() && host->is_idle()) host->kill(Host::Kill::unwanted);
  }
}

/// True when a host was started.
bool Pool::Impl::grow(Queue& queue) {
  if (queue.needs_packages()) {
    if (!std::exchange(queue.is_providing, true))
      scope.spawn("packages of " + queue.program->name, provide_packages(&queue));
    return false;
  }
  if (!queue.language->jail_per_item) {
    if (others_starve(queue) || (!has_place(queue) && !make_room(queue))) return false;
    queue.last_turn = Clock::now();
  } else {
    limit_standing_by();
  }
  start_host(queue);
  return true;
}

/// Of all programs together: the host that nobody has given work to for longest makes way.
void Pool::Impl::limit_standing_by() {
  std::shared_ptr<Host> oldest;
  size_t count = 0;
  for (const auto& [key, queue] : queues) {
    if (!queue->language->jail_per_item) continue;
    for (const auto& host : queue->hosts) {
      if (!host->is_idle() || host->is_leaving()) continue;
      count++;
      if (queue->waiting.empty() && (!oldest || host->last_active() < oldest->last_active())) oldest = host;
    }
  }
  if (count >= 2 * options.hosts && oldest) oldest->kill(Host::Kill::unwanted);
}

/// Evaluators wait for candidates, so those have places of their own.
bool Pool::Impl::has_place(const Queue& queue) const {
  size_t taken = 0;
  for (const auto& [key, other] : queues)
    if (other->is_of_candidates() == queue.is_of_candidates()) taken += other->places();
  return taken < options.hosts;
}

bool Pool::Impl::others_starve(const Queue& queue) const {
  return std::ranges::any_of(queues, [&](const auto& entry) {
    const Queue& other = *entry.second;
    return &other != &queue && other.is_of_candidates() == queue.is_of_candidates() && other.is_starving() &&
           (queue.places() > 0 || other.last_turn < queue.last_turn);
  });
}

/// Opened once; the hosts of a language are all the same program.
Result<int> Pool::Impl::host_program(const Language& language) {
  UniqueFd& program = host_programs[language.host];
  if (!program) {
    ASSAY_TRY(const std::string path, helper_path(language.host));
    ASSAY_TRY(program, open_cloexec(path, O_PATH));
  }
  return program.get();
}

/// True when there is room at once; else something may have been asked to leave, and its end schedules again.
bool Pool::Impl::make_room(const Queue& wanting) {
  std::shared_ptr<Host> idle, busy;
  size_t most_hosts = 0;
  for (auto& [key, queue] : queues) {
    if (queue.get() == &wanting || queue->is_of_candidates() != wanting.is_of_candidates()) continue;
    for (const auto& host : queue->hosts) {
      if (host->is_leaving()) return false;  // a place is already on its way
      if (queue->language->jail_per_item) continue;
      if (host->is_idle() && queue->waiting.empty()) {
        if (!idle || host->last_active() < idle->last_active()) idle = host;
      } else if (host->is_ready() && Clock::now() - host->ready_since() >= kQuantum) {
        if (busy && queue->hosts.size() < most_hosts) continue;
        busy = host;
        most_hosts = queue->hosts.size();
      }
    }
  }
  if (idle)
    idle->kill(Host::Kill::unwanted);
  else if (busy && wanting.places() == 0)  // takes turns: finishes what it was given and goes
    busy->leave();
  return false;
}

void Pool::Impl::start_host(Queue& queue) {
  auto host = std::make_shared<Host>(
      executor, queue.program, queue.language,
      [this](std::shared_ptr<const Program> program, std::string item,
             std::move_only_function<void(Outcome)> done) {
        take({std::move(item), std::move(done), nullptr}, std::move(program));
      },
      standstill);
  host->set_window(std::max<size_t>(1, options.window));
  queue.hosts.push_back(host);
  scope.spawn("host of " + queue.program->name, run_host(&queue, host));
}

Task<> Pool::Impl::run_host(Queue* queue, std::shared_ptr<Host> host) {
  Result<SpawnerClient*> spawner = co_await live_spawner();
  if (!spawner) {
    host_failed(*queue, std::move(spawner).error());
    host_ended(*queue, host, Outcome());
    co_return;
  }
  Result<int> program = host_program(*queue->language);
  if (!program) {
    host_failed(*queue, std::move(program).error());
    host_ended(*queue, host, Outcome());
    co_return;
  }
  Result<JailAccess> access = access_of(*queue->program);
  if (!access) {
    host_failed(*queue, std::move(access).error());
    host_ended(*queue, host, Outcome());
    co_return;
  }
  if (queue->environment) access->set(JailFolder::packages, queue->environment->folder, false);
  Result<void> started = co_await host->start(*spawner, *program, *access);
  if (started) {
    host_started(*queue);
    std::function<void()> on_progress = [this] { schedule(); };
    co_await host->serve(std::move(on_progress));
  }
  Outcome ending = co_await host->end(*spawner);
  if (!started) host_failed(*queue, why_not_started(std::move(started).error(), *host, ending));
  host_ended(*queue, host, std::move(ending));
}

/// Takes no place of the pool: it may take minutes, and others have work.
Task<> Pool::Impl::provide_packages(Queue* queue) {
  Result<SpawnerClient*> spawner = co_await live_spawner();
  Result<int> installer = host_program(*language_named(kPackages));
  Result<std::shared_ptr<const Environment>> environment;
  if (!spawner)
    environment = std::unexpected(std::move(spawner).error());
  else if (!installer)
    environment = std::unexpected(std::move(installer).error());
  else
    environment = co_await packages.provide(queue->program, *spawner, *installer);
  queue->is_providing = false;
  if (environment)
    queue->environment = std::move(*environment);
  else
    host_failed(*queue, std::move(environment).error());
  schedule();
}

/// By a host that serves nobody: it takes no place.
Task<Result<std::string>> Pool::Impl::describe(std::shared_ptr<const Program> plugin) {
  const Language* const language = language_named(kPlugin);
  ASSAY_CO_TRY(SpawnerClient* const spawner, co_await live_spawner());
  ASSAY_CO_TRY(const int program, host_program(*language));
  ASSAY_CO_TRY(const JailAccess access, access_of(*plugin));
  const auto host = std::make_shared<Host>(executor, plugin, language, nullptr, standstill);
  Result<void> started = co_await host->start(spawner, program, access);
  const Outcome ending = co_await host->end(spawner);
  if (!started) co_return std::unexpected(why_not_started(std::move(started).error(), *host, ending));
  co_return host->description();
}

/// A spawner that was killed is replaced; its jails died with it.
Task<Result<SpawnerClient*>> Pool::Impl::live_spawner() {
  if (spawners.back()->alive()) co_return spawners.back().get();
  if (closing) co_return fail(ErrorKind::cancelled, "the sandbox is closed");
  if (reviving) co_return fail(ErrorKind::internal, "the sandbox's spawner has ended and is being replaced");
  reviving = true;
  log::warn("the sandbox's spawner has ended; starting another");
  auto started = co_await SpawnerClient::start(executor, mode, host_programs[kProbedHost].get());
  reviving = false;
  if (!started) co_return std::unexpected(std::move(started).error().with("the sandbox's spawner has ended"));
  spawners.push_back(std::move(*started));
  co_return spawners.back().get();
}

void Pool::Impl::host_started(Queue& queue) {
  for (const auto& waiter : std::exchange(queue.waiters, {})) {
    waiter->result = Result<void>();
    waiter->arrived.cancel();
  }
  schedule();
}

/// The program does not load, or no jail could be made. Whatever waits for it hears so now: trying again is
/// the caller's choice.
void Pool::Impl::host_failed(Queue& queue, Error error) {
  for (const auto& waiter : std::exchange(queue.waiters, {})) {
    waiter->result = std::unexpected(error);
    waiter->arrived.cancel();
  }
  const auto serves = [](const auto& host) { return host->is_ready(); };
  if (std::any_of(queue.hosts.begin(), queue.hosts.end(), serves)) return;
  for (Work& work : std::exchange(queue.waiting, {})) {
    const ErrorKind kind = closing ? ErrorKind::cancelled : error.kind;
    finish_later(std::move(work), Outcome::errored(kind, error.message));
  }
}

void Pool::Impl::host_ended(Queue& queue, const std::shared_ptr<Host>& host, Outcome ending) {
  auto [guilty, others] = host->take_leftovers(ending);
  if (guilty && guilty->is_unwanted())
    drop(std::move(*guilty));
  else if (guilty)
    finish_later(std::move(*guilty), closing ? closed() : std::move(ending));
  for (; !others.empty(); others.pop_back()) {
    if (closing)
      finish_later(std::move(others.back()), closed());
    else if (others.back().is_unwanted())
      drop(std::move(others.back()));
    else
      queue.waiting.push_front(std::move(others.back()));
  }
  std::erase(queue.hosts, host);
  schedule();
}

/// Hosts without work end after a while, and programs without hosts are forgotten.
void Pool::Impl::keep_house() {
  forget_unused();
  if (closing || queues.empty() || std::exchange(housekeeping_runs, true)) return;
  housekeeping.expires_after(kHousekeeping);
  housekeeping.async_wait([this](boost::system::error_code error) {
    if (error) return;
    housekeeping_runs = false;
    for (auto& [key, queue] : queues)
      for (const auto& host : queue->hosts)
        if (host->is_idle() && Clock::now() - host->last_active() > kIdleLife)
          host->kill(Host::Kill::unwanted);
    schedule();
  });
}

void Pool::Impl::finish_later(Work work, Outcome outcome) {
  asio::post(executor, [done = std::move(work.done), outcome = std::move(outcome)]() mutable {
    done(std::move(outcome));
  });
}

void Pool::Impl::drop(Work work) {
  finish_later(std::move(work), Outcome::errored(ErrorKind::cancelled, "nobody wants it any more"));
}

void Pool::Impl::take(Work work, std::shared_ptr<const Program> program) {
  if (closing)
    return finish_later(std::move(work), Outcome::errored(ErrorKind::cancelled, "the sandbox is closed"));
  if (work.item.size() > kItemLimit)
    return finish_later(std::move(work),
                        Outcome::errored(ErrorKind::config, "the item is larger than 15 MiB"));
  if (language_named(program->language) == nullptr)
    return finish_later(std::move(work),
                        Outcome::errored(ErrorKind::config, "this build does not run " + program->language));
  queue_of(program).waiting.push_back(std::move(work));
  schedule();
}

Pool::Pool(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Pool::~Pool() {
  ASSAY_CHECK(impl_->closing && impl_->has_no_hosts(), "Pool::close() was not awaited");
}

Task<Result<std::unique_ptr<Pool>>> Pool::start(asio::any_io_executor executor, PoolOptions options) {
  auto impl = std::make_unique<Impl>(executor, options);
  impl->options.hosts = std::max<size_t>(1, options.hosts);
  ASSAY_CO_TRY(const int probed, impl->host_program(*language_named("lua")));
  ASSAY_CO_TRY(auto spawner, co_await SpawnerClient::start(executor, options.mode, probed));
  impl->mode = spawner->mode();
  impl->spawners.push_back(std::move(spawner));
  co_return std::unique_ptr<Pool>(new Pool(std::move(impl)));
}

Mode Pool::mode() const {
  return impl_->mode;
}

Cgroups Pool::cgroups() const {
  return impl_->spawners.back()->cgroups();
}

Task<Result<>> Pool::prepare(std::shared_ptr<const Program> program) {
  if (impl_->closing) co_return fail(ErrorKind::cancelled, "the sandbox is closed");
  if (language_named(program->language) == nullptr)
    co_return fail(ErrorKind::config, "this build does not run " + program->language);
  Queue& queue = impl_->queue_of(program);
  for (const auto& host : queue.hosts)
    if (host->is_ready() && !host->is_leaving()) co_return Result<>();
  const auto waiter = std::make_shared<Waiter>(impl_->executor);
  queue.waiters.push_back(waiter);
  impl_->schedule();
  boost::system::error_code ignored;
  co_await waiter->arrived.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  if (!waiter->result) co_return fail(ErrorKind::cancelled, "stopped while an evaluator was being prepared");
  co_return *waiter->result;
}

Task<Result<PluginDescription>> Pool::describe_plugin(std::string path) {
  if (impl_->closing) co_return fail(ErrorKind::cancelled, "the sandbox is closed");
  auto program = std::make_shared<Program>();
  program->name = path;
  program->language = kPlugin;
  program->plugin = std::move(path);
  program->limits.load = program->limits.wall = kDescribing;
  program->limits.memory_bytes = language_named(kPlugin)->memory_bytes;
  auto described = co_await impl_->describe(program);
  if (!described) co_return std::unexpected(std::move(described).error().with(program->plugin));
  auto description = parse_plugin_description(*described);
  if (!description) co_return std::unexpected(std::move(description).error().with(program->plugin));
  co_return std::move(*description);
}

void Pool::submit(std::shared_ptr<const Program> program, std::string item, Done done,
                  std::shared_ptr<const bool> unwanted, std::shared_ptr<Completions> completions) {
  impl_->take({std::move(item), std::move(done), std::move(unwanted), std::move(completions)},
              std::move(program));
}

void Pool::sweep() {
  for (auto& [key, queue] : impl_->queues) {
    for (Work& work : std::exchange(queue->waiting, {})) {
      if (work.is_unwanted())
        impl_->drop(std::move(work));
      else
        queue->waiting.push_back(std::move(work));
    }
    for (const auto& host : queue->hosts) host->drop_unwanted();
  }
  impl_->schedule();
}

Task<Outcome> Pool::evaluate(std::shared_ptr<const Program> program, std::string item,
                             std::shared_ptr<Completions> completions) {
  struct Waiting {
    explicit Waiting(asio::any_io_executor executor)
        : arrived(executor, asio::steady_timer::time_point::max()) {}
    asio::steady_timer arrived;
    std::optional<Outcome> outcome;
  };
  const auto waiting = std::make_shared<Waiting>(impl_->executor);
  submit(
      std::move(program), std::move(item),
      [waiting](Outcome outcome) {
        waiting->outcome = std::move(outcome);
        waiting->arrived.cancel();
      },
      nullptr, std::move(completions));
  boost::system::error_code ignored;
  if (!waiting->outcome)
    co_await waiting->arrived.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  if (!waiting->outcome) co_return Outcome::errored(ErrorKind::cancelled, "stopped waiting");
  co_return std::move(*waiting->outcome);
}

Task<> Pool::close() {
  if (std::exchange(impl_->closing, true)) co_return;
  impl_->housekeeping.cancel();
  impl_->standstill.stop();
  impl_->packages.stop();
  for (auto& [key, queue] : impl_->queues) {
    for (Work& work : std::exchange(queue->waiting, {})) impl_->finish_later(std::move(work), closed());
    for (const auto& host : queue->hosts) host->kill(Host::Kill::unwanted);
  }
  co_await impl_->scope.join();
  for (const auto& spawner : impl_->spawners) co_await spawner->close();
}

}  // namespace assay::sandbox
