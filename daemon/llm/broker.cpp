#include "daemon/llm/broker.hpp"

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>
#include <random>
#include <unordered_map>

#include "core/async/on_disk.hpp"
#include "core/async/scope.hpp"
#include "core/http/client.hpp"
#include "core/log.hpp"
#include "daemon/llm/ask.hpp"
#include "daemon/llm/learned.hpp"
#include "daemon/llm/permitted.hpp"
#include "daemon/llm/reply_cache.hpp"

namespace assay::llm {

using namespace std::chrono_literals;

namespace {

constexpr auto kLongestBackoff = 30'000ms;
constexpr auto kConnectTimeout = 10'000ms;
constexpr auto kProbeWait = 120s;       // for the first call with structured output to find out how
constexpr auto kUnwantedEvery = 100ms;  // how often calls are asked whether they are still wanted
constexpr int kMostBilled = 4;          // attempts of one call that may cost money without bringing a reply
constexpr int kMostChanges = 20;        // of one request
constexpr size_t kResponseLimit = 16 << 20;
constexpr size_t kMostLearned = 1000;    // models without an entry
constexpr int64_t kUnsaidOutput = 4096;  // tokens reserved for a call without a limit, of a model without one

std::unexpected<Error> cancelled() {
  return fail(ErrorKind::cancelled, "cancelled");
}

/// Full jitter of a quarter: calls that failed together must not come back together.
std::chrono::milliseconds jittered(std::chrono::milliseconds wait) {
  static thread_local std::minstd_rand random{std::random_device{}()};
  return std::chrono::milliseconds(
      std::uniform_int_distribution<int64_t>(wait.count() * 3 / 4, wait.count())(random));
}

/// Where a model is and what is known of it.
struct Route {
  Model model;
  Endpoint endpoint;
  std::shared_ptr<Account> account;
  std::shared_ptr<Learned> learned;
};

int64_t most_output(const Request& request, const Model& model) {
  return request.parameters.max_tokens.value_or(model.max_output_tokens.value_or(kUnsaidOutput));
}

/// A token is at least a byte of what is sent; then there is what providers add: the marks of messages and
/// the words around a tool. An image costs what models.toml says, and not its bytes.
int64_t most_input(const Request& request, const Call& call, const Model& model) {
  constexpr int64_t kAdded = 1000, kPerMessage = 16;
  int64_t tokens = static_cast<int64_t>(call.body.size()) + kAdded;
  for (const auto& message : request.messages) {
    tokens += kPerMessage;
    for (const auto& part : message.parts)
      if (part.type == Part::Type::image)
        tokens += model.image_tokens.value_or(0) - static_cast<int64_t>(part.text.size());
  }
  return tokens;
}

/// The most that one attempt can cost.
std::optional<Cost> worst_cost(const Request& request, const Call& call, const Model& model) {
  TokenUsage most;
  // Writing to the provider's cache costs more than reading, and for an hour only when it is asked for.
  (request.parameters.forwarded == "{}" ? most.cache_write_5m : most.cache_write_1h) =
      most_input(request, call, model);
  most.output = most_output(request, model);
  const auto written = cost_of(most, model.prices);
  most.input = std::exchange(most.cache_write_5m, 0) + std::exchange(most.cache_write_1h, 0);
  const auto read = cost_of(most, model.prices);
  if (!written || !read) return std::nullopt;
  return Cost{std::max(written->nano_dollars, read->nano_dollars), true};
}

/// Usage of an attempt whose answer was lost.
TokenUsage lost_usage(const Request& request, const Model& model) {
  TokenUsage usage = estimate_usage(request);
  usage.output = most_output(request, model);
  return usage;
}

/// What nobody told costs, where a limit is to hold, the most that it can: that was reserved.
std::optional<Cost> cost_to_count(const TokenUsage& usage, const Model& model, int64_t reserved) {
  if (usage.estimated && reserved > 0) return Cost{reserved, true};
  return cost_of(usage, model.prices);
}

void add(ModelUse& lost, const TokenUsage& usage, const std::optional<Cost>& cost) {
  lost.input_tokens += usage.input + usage.cache_write_5m + usage.cache_write_1h;
  lost.cached_tokens += usage.cached;
  lost.output_tokens += usage.output;
  lost.reasoning_tokens += usage.reasoning;
  lost.estimated += usage.estimated ? 1 : 0;
  lost.unpriced += cost ? 0 : 1;
  if (cost) lost.nano_dollars = added(lost.nano_dollars, cost->nano_dollars);
}

bool is_good(const Reply& reply) {
  return reply.finish == Finish::tool || (reply.finish == Finish::stop && !reply.text.empty());
}

/// Whether an equal call would fail the same way, whoever makes it.
bool is_final(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::auth:
    case ErrorKind::config:
    case ErrorKind::content_filter:
    case ErrorKind::context_too_long:
    case ErrorKind::judge_parse:
    case ErrorKind::model_not_found:
      return true;
    default:
      return false;
  }
}

}  // namespace

class Broker::Impl {
 public:
  Impl(asio::any_io_executor executor, Models models, BrokerOptions options)
      : models_(std::move(models)),
        options_(std::move(options)),
        executor_(executor),
        http_(executor),
        scope_(executor) {}

  Result<> start() {
    for (const auto& [name, provider] : models_.providers()) {
      ASSAY_TRY(auto account, Account::open(executor_, provider, options_.probe_after));
      accounts_.emplace(name, std::move(account));
    }
    if (options_.cache_folder.empty()) return {};
    ASSAY_TRY(cache_, ReplyCache::open(options_.cache_folder, options_.cache_bytes));
    cache_bytes_ = cache_->bytes();
    return {};
  }

  void complete(std::string request, Caller caller, Done done) {
    if (closing_) {
      asio::post(executor_, [done = std::move(done)]() mutable { done(cancelled()); });
      return;
    }
    const auto call = calls_.emplace(calls_.end());
    call->unwanted = caller.unwanted;
    if (caller.unwanted && !std::exchange(watching_, true)) scope_.spawn("unwanted completions", watch());
    scope_.spawn("completion", run(call, std::move(request), std::move(caller), std::move(done)));
  }

  Task<> close() {
    closing_ = true;
    for (const auto& call : calls_) cancel(call);
    scope_.cancel();
    co_await scope_.join();
  }

  const Models& models() const { return models_; }

  BrokerStatus status() const {
    BrokerStatus status = counted_;
    for (const auto& [name, account] : accounts_) status.accounts.push_back(account->status());
    status.calls = calls_.size();
    status.cache_bytes = cache_bytes_;
    return status;
  }

 private:
  struct Active {
    std::shared_ptr<const bool> unwanted;
    // Shared: a posted cancellation may come after the call's end.
    std::shared_ptr<asio::cancellation_signal> signal = std::make_shared<asio::cancellation_signal>();
    bool cancelled = false;
  };
  using ActiveCall = std::list<Active>::iterator;

  /// A cacheable call under way, and the equal ones that wait for its end.
  struct Flight {
    explicit Flight(asio::any_io_executor executor) : line(executor) {}
    WaitingLine line;
    std::optional<Result<Answered>> outcome;
  };
  /// What one attempt came to.
  struct Attempt {
    std::expected<Reply, Failure> result;
    TokenUsage usage;          ///< when it is to be paid
    std::optional<Cost> cost;  ///< of that
    bool renewed_key = false;  ///< ask again at once
  };
  /// One call between its attempts.
  struct Progress {
    uint64_t ticket = 0;
    Deadline deadline;
    int attempts = 0, changes = 0, billed = 0;
    std::optional<Error> last;         ///< of the last attempt
    std::vector<std::string> changed;  ///< for this call alone
  };
  /// Of one call that may be kept.
  struct Keeping {
    std::string name;            ///< of the wish
    std::string key;             ///< of what is sent, as far as known; empty: not to be kept
    bool without_limit = false;  ///< max_tokens is that of a limit of money, and no part of the key
  };

  void cancel(const Active& call) {
    asio::post(executor_, [signal = call.signal] { signal->emit(asio::cancellation_type::terminal); });
  }

  Task<> watch() {
    while (!closing_ && !calls_.empty()) {
      for (auto& call : calls_)
        if (call.unwanted && *call.unwanted && !std::exchange(call.cancelled, true)) cancel(call);
      const bool slept = co_await sleep_until(Clock::now() + kUnwantedEvery);
      if (!slept) break;
    }
    watching_ = false;
  }

  Task<> run(ActiveCall call, std::string request, Caller caller, Done done) {
    const auto signal = call->signal;
    auto answer = answered(std::move(request), std::move(caller));
    auto outcome = co_await asio::co_spawn(executor_, std::move(answer),
                                           asio::bind_cancellation_slot(signal->slot(), asio::use_awaitable));
    calls_.erase(call);
    ++counted_.outcomes[outcome ? "ok" : std::string(to_string(outcome.error().kind))];
    if (outcome)
      done(to_json(*outcome));
    else
      done(std::unexpected(std::move(outcome).error()));
  }

  Task<Result<Answered>> answered(std::string text, Caller caller) {
    co_await asio::this_coro::throw_if_cancelled(false);
    if (closing_ || (caller.unwanted && *caller.unwanted)) co_return cancelled();
    ASSAY_CO_TRY(auto ask, ask_from(text));
    ASSAY_CO_TRY(auto route, route_to(ask.model));
    ask.request.model = route.model.name;
    const bool limited = caller.purse && caller.purse->limited();
    if (limited && !route.model.prices)
      co_return fail(ErrorKind::config, "the run has a spend limit, but models.toml has no price for \"" +
                                            ask.model + "\": give it one, or the run no limit");
    const auto permitted = check_permitted(ask.request, route.model, route.account->provider(), limited);
    if (!permitted) co_return std::unexpected(permitted.error());
    auto built = build(route.endpoint, ask.request);
    if (!built) co_return std::unexpected(std::move(built).error());
    const auto deadline = deadline_of(caller, route);
    const auto model = ask.model;
    Keeping keeping{.name = ask.cache.name, .key = {}, .without_limit = false};
    if (ask.cache.on) keeping.key = key_of(route, keeping.name, *built);
    // A limit of money holds only if the output has one. What is cut there is not kept, so it is no part of
    // the key.
    if (limited && !ask.request.parameters.max_tokens) {
      ask.request.parameters.max_tokens = most_output(ask.request, route.model);
      keeping.without_limit = true;
    }
    auto outcome = co_await maybe_cached(std::move(keeping), std::move(route), std::move(ask.request),
                                         std::move(caller), deadline);
    if (!outcome) co_return std::unexpected(std::move(outcome.error()).with("model " + model));
    co_return outcome;
  }

  Result<Route> route_to(const std::string& slug) {
    ASSAY_TRY(auto model, models_.find(slug));
    Route route;
    route.account = accounts_.at(model.provider);
    route.endpoint = route.account->provider().endpoint;
    if (model.api) route.endpoint.dialect = *model.api;
    route.learned = learned_of(model, route.endpoint.dialect);
    route.model = std::move(model);
    return route;
  }

  /// Of models without an entry the names come from requests, and may be of none: only what something was
  /// learned of is remembered for long.
  std::shared_ptr<Learned> learned_of(const Model& model, Dialect dialect) {
    const auto name = model.provider + "\n" + model.name + "\n" + std::string(to_string(dialect));
    if (const auto known = learned_.find(name); known != learned_.end()) return known->second;
    if (learned_.size() >= kMostLearned)
      std::erase_if(learned_, [](const auto& one) { return one.second->is_empty(); });
    const auto learned = std::make_shared<Learned>(executor_);
    if (model.listed || learned_.size() < kMostLearned) learned_.emplace(name, learned);
    return learned;
  }

  static Deadline deadline_of(const Caller& caller, const Route& route) {
    return std::min(caller.deadline, Clock::now() + route.account->provider().give_up);
  }

  // --- the cache -------------------------------------------------------------------------------------------

  static std::string key_of(const Route& route, const std::string& name, const Call& call) {
    return cache_key({"1", route.account->provider().base_url, call.path, name, call.body});
  }

  /// The key of what is really sent, which is not always what was asked for.
  static std::string key_of(const Route& route, const Keeping& keeping, const Call& call,
                            const Request& request) {
    if (!keeping.without_limit) return key_of(route, keeping.name, call);
    Request unlimited = request;
    unlimited.parameters.max_tokens.reset();
    const auto built = build(route.endpoint, unlimited);
    return built ? key_of(route, keeping.name, *built) : std::string();
  }

  Task<Result<Answered>> maybe_cached(Keeping keeping, Route route, Request request, Caller caller,
                                      Deadline deadline) {
    if (keeping.key.empty())
      co_return co_await asked(std::move(keeping), std::move(route), std::move(request), std::move(caller),
                               deadline);
    // Calls of runs with and without a limit may be cut differently.
    const std::string equal = keeping.key + (caller.purse && caller.purse->limited() ? "+" : "");
    while (flights_.contains(equal)) {
      const auto flight = flights_.at(equal);
      const bool landed = co_await flight->line.wait(deadline);
      if (!landed) {
        const bool was_cancelled = co_await is_cancelled();
        if (was_cancelled) co_return cancelled();
        co_return fail(ErrorKind::timeout, "an equal call that is under way did not end in time");
      }
      if (*flight->outcome) {
        ++counted_.coalesced;
        co_return given_before(**flight->outcome, route);
      }
      if (is_final(flight->outcome->error().kind)) co_return std::unexpected(flight->outcome->error());
    }
    const auto flight = std::make_shared<Flight>(executor_);
    flights_.emplace(equal, flight);
    auto outcome = co_await kept_or_asked(std::move(keeping), std::move(route), std::move(request),
                                          std::move(caller), deadline);
    flights_.erase(equal);
    flight->outcome = outcome;
    flight->line.wake_all();
    co_return outcome;
  }

  static Answered given_before(Answered answered, const Route& route) {
    answered.from_cache = true;
    answered.cost = route.model.prices ? std::optional<int64_t>(0) : std::nullopt;
    return answered;
  }

  Task<Result<Answered>> kept_or_asked(Keeping keeping, Route route, Request request, Caller caller,
                                       Deadline deadline) {
    auto kept = co_await find(keeping.key);
    if (kept) {
      ++counted_.cache_hits;
      co_return given_before(std::move(*kept), route);
    }
    auto outcome =
        co_await asked(std::move(keeping), std::move(route), std::move(request), std::move(caller), deadline);
    if (!outcome || !outcome->from_cache) ++counted_.cache_misses;
    co_return outcome;
  }

  /// What is kept of this request as it is sent now, if that is not how it was asked for.
  Task<std::optional<Answered>> find_changed(Keeping& keeping, const Route& route, const Call& call,
                                             const Request& request) {
    if (keeping.key.empty()) co_return std::nullopt;
    if (const auto key = key_of(route, keeping, call, request); key == keeping.key)
      co_return std::nullopt;
    else
      keeping.key = key;
    auto kept = co_await find(keeping.key);
    if (!kept) co_return std::nullopt;
    ++counted_.cache_hits;
    co_return given_before(std::move(*kept), route);
  }

  Task<std::optional<Answered>> find(std::string key) {
    if (!cache_) co_return std::nullopt;
    ReplyCache* cache = cache_.get();
    auto text = co_await on_disk(disk_, [cache, key = std::move(key)] { return cache->find(key); });
    if (!text) co_return std::nullopt;
    auto answered = answered_from(*text);
    if (!answered) co_return std::nullopt;
    co_return std::move(*answered);
  }

  Task<> keep(std::string key, std::string text) {
    if (!cache_) co_return;
    ReplyCache* cache = cache_.get();
    cache_bytes_ = co_await on_disk(disk_, [cache, key = std::move(key), text = std::move(text)] {
      cache->keep(key, text);
      return cache->bytes();
    });
  }

  // --- asking ----------------------------------------------------------------------------------------------

  Task<Result<Answered>> asked(Keeping keeping, Route route, Request request, Caller caller,
                               Deadline deadline) {
    bool probing = false;
    if (request.structure)
      probing = co_await route.learned->probe(std::min(deadline, Clock::now() + kProbeWait));
    const auto learned = route.learned;
    auto outcome = co_await attempts(std::move(keeping), std::move(route), std::move(request),
                                     std::move(caller), deadline);
    const bool found = outcome && !outcome->from_cache;
    if (probing && found) learned->found();
    if (probing && !found) learned->gave_up();
    co_return outcome;
  }

  Task<Result<Answered>> attempts(Keeping keeping, Route route, Request asked, Caller caller,
                                  Deadline deadline) {
    Progress progress;
    progress.ticket = ++tickets_;
    progress.deadline = deadline;
    for (;;) {
      Request request = asked;
      auto changes = progress.changed;
      std::ranges::move(route.learned->apply(request, route.endpoint.dialect), std::back_inserter(changes));
      ASSAY_CO_TRY(auto call, build(route.endpoint, request));
      auto kept = co_await find_changed(keeping, route, call, request);
      if (kept) co_return std::move(*kept);
      auto attempt = co_await attempted(route, request, call, caller, progress);
      if (!attempt) co_return given_up(std::move(attempt).error(), progress);
      if (attempt->result) {
        for (const auto& name : call.left_out) changes.push_back(name + " left out");
        auto answered = answered_with(*attempt, std::move(changes));
        if (!keeping.key.empty() && is_good(answered.reply)) co_await keep(keeping.key, to_json(answered));
        co_return answered;
      }
      Failure& failure = attempt->result.error();
      if (change_alone(asked, request, changes, failure, route, progress)) continue;
      auto next = after(route, request, failure, attempt->renewed_key, progress);
      if (!next) co_return std::unexpected(std::move(next).error());
      ++counted_.retries;
      log::debug("a model is asked again", {{"model", route.model.slug}, {"why", failure.error.message}});
      if (*next <= Clock::now()) continue;
      const bool slept = co_await sleep_until(*next);
      if (!slept) co_return cancelled();
    }
  }

  /// Where a refusal may be about what this request alone says: changes this one, and teaches nobody. `sent`:
  /// `asked` as it was sent, with its `changes`.
  bool change_alone(Request& asked, const Request& sent, const std::vector<std::string>& changes,
                    const Failure& failure, const Route& route, Progress& progress) {
    if (failure.of_model || progress.changes >= kMostChanges) return false;
    Request changed = sent;
    auto change = adapt(changed, failure, route.endpoint.dialect);
    if (!change) return false;
    asked = std::move(changed);
    progress.changed = changes;
    progress.changed.push_back(std::move(*change));
    ++progress.changes;
    ++progress.attempts;
    ++counted_.retries;
    return true;
  }

  /// When to try again, or why not to.
  Result<Deadline> after(const Route& route, const Request& request, const Failure& failure, bool renewed_key,
                         Progress& progress) {
    ++progress.attempts;
    progress.last = failure.error;
    if (!failure.request_id.empty()) progress.last->message += " (request " + failure.request_id + ")";
    const auto now = Clock::now();
    const bool changeable = failure.of_model && (failure.remedy == Remedy::change_parameter ||
                                                 failure.remedy == Remedy::weaker_structure);
    if (renewed_key && progress.attempts <= kMostChanges) return now;
    if (changeable && ++progress.changes <= kMostChanges) {
      const auto lesson = route.learned->learn(request, failure, route.endpoint.dialect);
      if (lesson.value_or(false))
        log::info("a model does not take all of a request: asked otherwise from now on",
                  {{"model", route.model.slug}, {"why", failure.error.message}});
      if (lesson) return now;
    }
    if (failure.remedy != Remedy::retry) return std::unexpected(*progress.last);
    if (failure.possibly_billed || failure.usage) ++progress.billed;
    if (progress.billed >= kMostBilled) return given_up(std::nullopt, progress);
    const auto when = now + wait_before(failure, progress.attempts);
    if (when >= progress.deadline) return given_up(std::nullopt, progress);
    return when;
  }

  /// Besides what the account waits for.
  std::chrono::milliseconds wait_before(const Failure& failure, int attempts) const {
    constexpr int kPatient = 3;  // what the provider asked for is enough for the first few
    if (failure.retry_after.value_or(0ms) > 0ms) attempts -= kPatient;
    if (attempts <= 0) return 0ms;
    const auto wait = std::min<std::chrono::milliseconds>(
        kLongestBackoff, options_.first_backoff * (1 << std::min(attempts - 1, 10)));
    return jittered(wait);
  }

  /// `error` ended the waiting, or time is up: with what the attempts so far brought.
  static std::unexpected<Error> given_up(std::optional<Error> error, const Progress& progress) {
    if (error && error->kind != ErrorKind::timeout && error->kind != ErrorKind::rate_limited)
      return std::unexpected(*error);
    if (!progress.last) return std::unexpected(error.value_or(Error{ErrorKind::timeout, "no time was left"}));
    Error last = *progress.last;
    last.message += "; given up after " + std::to_string(progress.attempts) +
                    (progress.attempts == 1 ? " attempt" : " attempts");
    if (error) last.message += ": " + error->message;
    return std::unexpected(std::move(last));
  }

  static Answered answered_with(Attempt& attempt, std::vector<std::string> changes) {
    Answered answered;
    answered.reply = std::move(*attempt.result);
    answered.usage = attempt.usage;
    if (attempt.cost) answered.cost = attempt.cost->nano_dollars;
    answered.changes = std::move(changes);
    return answered;
  }

  /// One request and its answer. An error: it could not be sent at all.
  Task<Result<Attempt>> attempted(const Route& route, const Request& request, const Call& call,
                                  const Caller& caller, const Progress& progress) {
    Purse* const purse = caller.purse.get();
    const auto worst = worst_cost(request, call, route.model);
    const int64_t most = purse != nullptr && purse->limited() && worst ? worst->nano_dollars : 0;
    if (purse != nullptr) {
      auto reserved = co_await purse->reserve(most, progress.deadline);
      if (!reserved) co_return std::unexpected(std::move(reserved).error());
    }
    auto turn = co_await route.account->admit(progress.ticket, route.model.name, estimate_usage(request),
                                              progress.deadline);
    if (!turn) {
      if (purse != nullptr) purse->release(most);
      co_return std::unexpected(std::move(turn).error());
    }
    auto exchange = co_await http_.exchange(http_request(route, call, turn->key, progress.deadline));
    const bool abandoned = !exchange.response && exchange.response.error().kind == ErrorKind::cancelled;
    Attempt attempt = read(route, request, exchange, turn->key);
    const bool pays =
        attempt.result.has_value() || attempt.result.error().usage || attempt.result.error().possibly_billed;
    Account::Ending ending;
    if (exchange.response) ending.headers = &exchange.response->headers;
    if (!attempt.result) ending.failure = &attempt.result.error();
    if (pays) ending.usage = &attempt.usage;
    ending.timed_out = exchange.timed_out;
    ending.abandoned = abandoned;
    attempt.renewed_key = route.account->finish(*turn, ending);
    attempt.cost = cost_to_count(attempt.usage, route.model, most);
    settle(purse, most, pays, attempt);
    if (pays && !attempt.result && caller.lost) add(*caller.lost, attempt.usage, attempt.cost);
    if (abandoned) co_return cancelled();
    co_return attempt;
  }

  void settle(Purse* purse, int64_t reserved, bool pays, const Attempt& attempt) {
    if (!pays) {
      if (purse != nullptr) purse->release(reserved);
      return;
    }
    all_.settle(0, attempt.cost, attempt.usage);
    if (purse != nullptr) purse->settle(reserved, attempt.cost, attempt.usage);
    counted_.spend = all_.spend();
  }

  static http::Request http_request(const Route& route, const Call& call, const std::string& key,
                                    Deadline deadline) {
    const Provider& provider = route.account->provider();
    http::Request request;
    request.method = "POST";
    request.url = provider.base_url + call.path;
    request.body = call.body;
    request.headers = call.headers;
    if (!key.empty()) request.headers.emplace_back(call.key_header, call.key_prefix + key);
    request.ca_file = provider.ca_file;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(std::max(deadline - Clock::now(), Clock::duration(1ms)));
    request.timeout = std::min(provider.timeout, left);
    request.connect_timeout = std::min<std::chrono::milliseconds>(kConnectTimeout, request.timeout);
    request.response_limit_bytes = kResponseLimit;
    request.multiplex = true;
    request.send_once = true;
    return request;
  }

  static Attempt read(const Route& route, const Request& request, http::Exchange& exchange,
                      const std::string& key) {
    Attempt attempt;
    if (exchange.response) {
      Answer answer{exchange.response->status, exchange.response->headers,
                    std::move(exchange.response->body)};
      const auto now =
          std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
      attempt.result = decode(route.endpoint.dialect, answer, now, key, &request);
    } else {
      Error error = std::move(exchange.response.error());
      if (exchange.timed_out) error.kind = ErrorKind::timeout;
      attempt.result = std::unexpected(failure_without_answer(
          std::move(error).with("the model endpoint at " + route.account->provider().base_url),
          exchange.sent));
    }
    if (attempt.result)
      attempt.usage = attempt.result->usage.value_or(estimate_usage(request, *attempt.result));
    else
      attempt.usage = attempt.result.error().usage.value_or(lost_usage(request, route.model));
    return attempt;
  }

  Models models_;
  BrokerOptions options_;
  asio::any_io_executor executor_;
  http::Client http_;
  std::map<std::string, std::shared_ptr<Account>> accounts_;
  std::unordered_map<std::string, std::shared_ptr<Learned>> learned_;
  std::unordered_map<std::string, std::shared_ptr<Flight>> flights_;
  std::unique_ptr<ReplyCache> cache_;  ///< used on the thread of disk_ only
  int64_t cache_bytes_ = 0;
  Purse all_{executor_, std::nullopt};
  BrokerStatus counted_;
  std::list<Active> calls_;
  uint64_t tickets_ = 0;
  bool watching_ = false;
  bool closing_ = false;
  asio::thread_pool disk_{1};
  Scope scope_;
};

Broker::Broker(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Broker::~Broker() = default;

Result<std::unique_ptr<Broker>> Broker::start(asio::any_io_executor executor, Models models,
                                              BrokerOptions options) {
  auto impl = std::make_unique<Impl>(executor, std::move(models), std::move(options));
  ASSAY_OK(impl->start());
  return std::unique_ptr<Broker>(new Broker(std::move(impl)));
}

void Broker::complete(std::string request_json, Caller caller, Done done) {
  impl_->complete(std::move(request_json), std::move(caller), std::move(done));
}

Task<> Broker::close() {
  co_await impl_->close();
}

const Models& Broker::models() const {
  return impl_->models();
}

BrokerStatus Broker::status() const {
  return impl_->status();
}

}  // namespace assay::llm
