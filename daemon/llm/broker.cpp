#include "daemon/llm/broker.hpp"

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>
#include <random>
#include <unordered_map>

#include "core/async/scope.hpp"
#include "core/http/client.hpp"
#include "core/log.hpp"
#include "daemon/llm/ask.hpp"
#include "daemon/llm/kept_replies.hpp"
#include "daemon/llm/learned.hpp"
#include "daemon/llm/permitted.hpp"

namespace assay::llm {

using namespace std::chrono_literals;

namespace {

constexpr auto kLongestBackoff = 30'000ms;
constexpr auto kConnectTimeout = 10'000ms;
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

// A thousand calls wait at once, each in a chain of coroutines: what they carry is on the heap, once.
using Given = std::shared_ptr<const Answered>;

/// What is to be asked.
struct Question {
  std::shared_ptr<const Route> route;
  Request request;
  Call call;                   ///< of it, for the first attempt, unless its body is empty
  std::string name;            ///< of the cache's wish
  std::string key;             ///< of what is sent, as far as known; empty: not to be kept
  bool without_limit = false;  ///< max_tokens is that of a limit of money, and no part of the key
  bool changed_alone = false;  ///< it is not as it was asked for
  Caller caller;
  Deadline deadline;
};

/// What is asked in one attempt.
struct Sending {
  std::optional<Request> changed;  ///< by what is known of the model
  Call call;
  std::vector<std::string> changes;
  std::vector<std::string> left_out;  ///< parameters that the dialect does not have
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
    ASSAY_TRY(auto cache, ReplyCache::open(options_.cache_folder, options_.cache_bytes));
    cache_ = std::make_unique<KeptReplies>(executor_, std::move(cache));
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
    if (cache_) co_await cache_->close();
  }

  const Models& models() const { return models_; }

  BrokerStatus status() const {
    BrokerStatus status = counted_;
    for (const auto& [name, account] : accounts_) status.accounts.push_back(account->status());
    status.calls = calls_.size();
    if (cache_) status.cache_bytes = cache_->bytes();
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
    std::optional<Result<Given>> outcome;
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
      done(to_json(**outcome));
    else
      done(std::unexpected(std::move(outcome).error()));
  }

  Task<Result<Given>> answered(std::string text, Caller caller) {
    co_await asio::this_coro::throw_if_cancelled(false);
    if (closing_ || (caller.unwanted && *caller.unwanted)) co_return cancelled();
    ASSAY_CO_TRY(auto question, question_from(std::exchange(text, {}), std::move(caller)));
    const auto route = question->route;
    auto outcome = co_await maybe_cached(std::move(question));
    if (!outcome) co_return std::unexpected(std::move(outcome.error()).with("model " + route->model.slug));
    co_return outcome;
  }

  Result<std::unique_ptr<Question>> question_from(const std::string& text, Caller caller) {
    ASSAY_TRY(auto ask, ask_from(text));
    auto made = std::make_unique<Question>();
    Question& question = *made;
    ASSAY_TRY(question.route, route_to(ask.model));
    const Route& route = *question.route;
    question.request = std::move(ask.request);
    question.request.model = route.model.name;
    const bool limited = caller.purse && caller.purse->limited();
    if (limited && !route.model.prices)
      return fail(ErrorKind::config, "the run has a spend limit, but models.toml has no price for \"" +
                                         ask.model + "\": give it one, or the run no limit");
    ASSAY_OK(check_permitted(question.request, route.model, route.account->provider(), limited));
    ASSAY_TRY(question.call, build(route.endpoint, question.request));
    question.name = ask.cache.name;
    if (ask.cache.on) question.key = key_of(route, question.name, question.call);
    // A limit of money holds only if the output has one. What is cut there is not kept, so it is no part of
    // the key.
    if (limited && !question.request.parameters.max_tokens) {
      question.request.parameters.max_tokens = most_output(question.request, route.model);
      question.without_limit = true;
      question.call = {};
    }
    question.deadline = std::min(caller.deadline, Clock::now() + route.account->provider().give_up);
    question.caller = std::move(caller);
    return made;
  }

  Result<std::shared_ptr<const Route>> route_to(const std::string& slug) {
    if (const auto known = routes_.find(slug); known != routes_.end()) return known->second;
    auto route = std::make_shared<Route>();
    ASSAY_TRY(route->model, models_.find(slug));
    const Model& model = route->model;
    route->account = accounts_.at(model.provider);
    route->endpoint = route->account->provider().endpoint;
    if (model.api) route->endpoint.dialect = *model.api;
    route->learned = learned_of(model, route->endpoint.dialect);
    if (routes_.size() >= kMostLearned) routes_.clear();
    routes_.emplace(slug, route);
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

  // --- the cache -------------------------------------------------------------------------------------------

  static std::string key_of(const Route& route, const std::string& name, const Call& call) {
    return cache_key({"1", route.account->provider().base_url, call.path, name, call.body});
  }

  /// The key of what is really sent, which is not always what was asked for.
  static std::string key_of(const Question& question, const Call& call, const Request& request) {
    if (!question.without_limit) return key_of(*question.route, question.name, call);
    Request unlimited = request;
    unlimited.parameters.max_tokens.reset();
    const auto built = build(question.route->endpoint, unlimited);
    return built ? key_of(*question.route, question.name, *built) : std::string();
  }

  Task<Result<Given>> maybe_cached(std::unique_ptr<Question> question) {
    if (question->key.empty()) co_return co_await asked(std::move(question));
    // Calls of runs with and without a limit may be cut differently.
    const auto& purse = question->caller.purse;
    const std::string equal = question->key + (purse && purse->limited() ? "+" : "");
    for (auto found = flights_.find(equal); found != flights_.end(); found = flights_.find(equal)) {
      const auto flight = found->second;
      const bool landed = co_await flight->line.wait(question->deadline);
      if (!landed) {
        const bool was_cancelled = co_await is_cancelled();
        if (was_cancelled) co_return cancelled();
        co_return fail(ErrorKind::timeout, "an equal call that is under way did not end in time");
      }
      if (*flight->outcome) {
        ++counted_.coalesced;
        co_return given_before(***flight->outcome, *question->route);
      }
      if (is_final(flight->outcome->error().kind)) co_return std::unexpected(flight->outcome->error());
    }
    const auto flight = std::make_shared<Flight>(executor_);
    flights_.emplace(equal, flight);
    auto outcome = co_await kept_or_asked(std::move(question));
    flights_.erase(equal);
    if (flight.use_count() > 1) flight->outcome = outcome;
    flight->line.wake_all();
    co_return outcome;
  }

  static Given given_before(Answered answered, const Route& route) {
    answered.from_cache = true;
    answered.cost = route.model.prices ? std::optional<int64_t>(0) : std::nullopt;
    return std::make_shared<const Answered>(std::move(answered));
  }

  /// Null when nothing is kept, or what is kept cannot be read.
  static Given given_again(const std::optional<std::string>& kept, const Route& route) {
    if (!kept) return nullptr;
    auto answered = answered_from(*kept);
    return answered ? given_before(std::move(*answered), route) : nullptr;
  }

  Task<Result<Given>> kept_or_asked(std::unique_ptr<Question> question) {
    const auto key = question->key;
    const auto route = question->route;
    std::optional<std::string> kept;
    if (cache_) kept = co_await cache_->find(key);
    if (auto given = given_again(kept, *route)) {
      ++counted_.cache_hits;
      co_return given;
    }
    auto outcome = co_await asked(std::move(question));
    if (!outcome || !(*outcome)->from_cache) ++counted_.cache_misses;
    co_return outcome;
  }

  /// What is kept of this request as it is sent now, if that is not how it was asked for; else null.
  Task<Given> kept_of_changed(Question& question, const Sending& sending, const Request& request) {
    if (question.key.empty() || (!sending.changed && !question.changed_alone)) co_return nullptr;
    auto key = key_of(question, sending.call, request);
    if (key == question.key) co_return nullptr;
    question.key = std::move(key);
    std::optional<std::string> kept;
    if (cache_ && !question.key.empty()) kept = co_await cache_->find(question.key);
    auto given = given_again(kept, *question.route);
    if (given) ++counted_.cache_hits;
    co_return given;
  }

  // --- asking ----------------------------------------------------------------------------------------------

  Task<Result<Given>> asked(std::unique_ptr<Question> question) {
    const auto learned = question->route->learned;
    const bool is_structured = question->request.structure.has_value();
    bool probing = false;
    if (is_structured) probing = co_await learned->probe(options_.probe_patience, question->deadline);
    auto outcome = co_await attempts(std::move(question));
    const bool found = outcome && !(*outcome)->from_cache;
    if (is_structured && found) learned->found();
    if (probing && !found) learned->gave_up();
    co_return outcome;
  }

  Task<Result<Given>> attempts(std::unique_ptr<Question> question) {
    const Route& route = *question->route;
    Progress progress;
    progress.ticket = ++tickets_;
    progress.deadline = question->deadline;
    for (;;) {
      ASSAY_CO_TRY(const auto sending, prepared(*question, progress));
      const Request& request = sending->changed ? *sending->changed : question->request;
      auto kept = co_await kept_of_changed(*question, *sending, request);
      if (kept) co_return kept;
      const auto attempt = co_await attempted(route, request, sending->call, question->caller, progress);
      if (!attempt) co_return given_up(attempt.error(), progress);
      if ((*attempt)->result) {
        for (const auto& name : sending->left_out) sending->changes.push_back(name + " left out");
        auto given = answered_with(**attempt, std::move(sending->changes));
        if (cache_ && !question->key.empty() && is_good(given->reply))
          co_await cache_->keep(question->key, to_json(*given));
        co_return given;
      }
      Failure& failure = (*attempt)->result.error();
      if (change_alone(*question, request, sending->changes, failure, progress)) continue;
      auto next = after(route, request, failure, (*attempt)->renewed_key, progress);
      if (!next) co_return std::unexpected(std::move(next).error());
      ++counted_.retries;
      log::debug("a model is asked again", {{"model", route.model.slug}, {"why", failure.error.message}});
      if (*next <= Clock::now()) continue;
      const bool slept = co_await sleep_until(*next);
      if (!slept) co_return cancelled();
    }
  }

  /// What to send now, by all that is known of the model.
  static Result<std::unique_ptr<Sending>> prepared(Question& question, const Progress& progress) {
    const Route& route = *question.route;
    auto made = std::make_unique<Sending>();
    Sending& sending = *made;
    sending.changes = progress.changed;
    if (route.learned->concerns(question.request)) {
      sending.changed = question.request;
      std::ranges::move(route.learned->apply(*sending.changed, route.endpoint.dialect),
                        std::back_inserter(sending.changes));
    }
    sending.call = std::exchange(question.call, {});
    if (sending.changed || sending.call.body.empty()) {
      ASSAY_TRY(sending.call, build(route.endpoint, sending.changed ? *sending.changed : question.request));
    }
    sending.left_out = sending.call.left_out;
    return made;
  }

  /// Where a refusal may be about what this request alone says: changes this one, and teaches nobody. `sent`:
  /// the request as it was sent, with its `changes`.
  bool change_alone(Question& question, const Request& sent, const std::vector<std::string>& changes,
                    const Failure& failure, Progress& progress) {
    if (failure.of_model || progress.changes >= kMostChanges) return false;
    Request changed = sent;
    auto change = adapt(changed, failure, question.route->endpoint.dialect);
    if (!change) return false;
    question.request = std::move(changed);
    question.changed_alone = true;
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

  static Given answered_with(Attempt& attempt, std::vector<std::string> changes) {
    Answered answered;
    answered.reply = std::move(*attempt.result);
    answered.usage = attempt.usage;
    if (attempt.cost) answered.cost = attempt.cost->nano_dollars;
    answered.changes = std::move(changes);
    return std::make_shared<const Answered>(std::move(answered));
  }

  /// One request and its answer. An error: it could not be sent at all.
  Task<Result<std::unique_ptr<Attempt>>> attempted(const Route& route, const Request& request, Call& call,
                                                   const Caller& caller, const Progress& progress) {
    Purse* const purse = caller.purse.get();
    int64_t most = 0;
    if (purse != nullptr && purse->limited()) {
      const auto worst = worst_cost(request, call, route.model);
      most = worst ? worst->nano_dollars : 0;
      auto reserved = co_await purse->reserve(most, progress.deadline);
      if (!reserved) co_return std::unexpected(std::move(reserved).error());
    }
    auto turn = co_await route.account->admit(progress.ticket, route.model.name, estimate_usage(request),
                                              progress.deadline);
    if (!turn) {
      if (purse != nullptr) purse->release(most);
      co_return std::unexpected(std::move(turn).error());
    }
    auto exchange =
        co_await http_.exchange(http_request(route, std::move(call), turn->key, progress.deadline));
    auto attempt = ended(route, request, exchange, *turn, caller, most);
    if (!attempt) co_return cancelled();
    co_return attempt;
  }

  /// What it brought, told to the account and paid; null: it was cancelled.
  std::unique_ptr<Attempt> ended(const Route& route, const Request& request, http::Exchange& exchange,
                                 const Account::Turn& turn, const Caller& caller, int64_t reserved) {
    const bool abandoned = !exchange.response && exchange.response.error().kind == ErrorKind::cancelled;
    auto attempt = std::make_unique<Attempt>(read(route, request, exchange, turn.key));
    const auto& result = attempt->result;
    const bool pays = result.has_value() || result.error().usage || result.error().possibly_billed;
    Account::Ending ending;
    if (exchange.response) ending.headers = &exchange.response->headers;
    if (!attempt->result) ending.failure = &attempt->result.error();
    if (pays) ending.usage = &attempt->usage;
    ending.timed_out = exchange.timed_out;
    ending.abandoned = abandoned;
    attempt->renewed_key = route.account->finish(turn, ending);
    attempt->cost = cost_to_count(attempt->usage, route.model, reserved);
    settle(caller.purse.get(), reserved, pays, *attempt);
    if (pays && !attempt->result && caller.lost) add(*caller.lost, attempt->usage, attempt->cost);
    return abandoned ? nullptr : std::move(attempt);
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

  static http::Request http_request(const Route& route, Call call, const std::string& key,
                                    Deadline deadline) {
    const Provider& provider = route.account->provider();
    http::Request request;
    request.method = "POST";
    request.url = provider.base_url + call.path;
    request.body = std::move(call.body);
    request.headers = std::move(call.headers);
    if (!key.empty()) request.headers.emplace_back(call.key_header, call.key_prefix + key);
    request.ca_file = provider.ca_file;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(std::max(deadline - Clock::now(), Clock::duration(1ms)));
    request.timeout = std::min(provider.timeout, left);
    request.connect_timeout = std::min<std::chrono::milliseconds>(kConnectTimeout, request.timeout);
    request.response_limit_bytes = kResponseLimit;
    request.multiplex = true;
    request.send_once = true;
    request.one_of_many = true;
    return request;
  }

  static Attempt read(const Route& route, const Request& request, http::Exchange& exchange,
                      const std::string& key) {
    Attempt attempt;
    if (exchange.response) {
      Answer answer{exchange.response->status, std::move(exchange.response->headers),
                    std::move(exchange.response->body)};
      const auto now =
          std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
      attempt.result = decode(route.endpoint.dialect, answer, now, key, &request);
      exchange.response->headers = std::move(answer.headers);  // say what the account may do
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
  std::unordered_map<std::string, std::shared_ptr<const Route>> routes_;  ///< by slug
  std::unique_ptr<KeptReplies> cache_;
  Purse all_{executor_, std::nullopt};
  BrokerStatus counted_;
  std::list<Active> calls_;
  uint64_t tickets_ = 0;
  bool watching_ = false;
  bool closing_ = false;
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
