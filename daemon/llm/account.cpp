#include "daemon/llm/account.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "core/check.hpp"
#include "core/log.hpp"

namespace assay::llm {
namespace {

constexpr auto kLongestPark = std::chrono::hours(1);  // then somebody has to ask again
constexpr size_t kMostPauses = 1000;                  // names of models come from requests
/// What a request is taken to write when nobody said, for the limits of tokens; corrected by its usage.
constexpr int64_t kUsualOutput = 500;

std::array<double, 4> amounts_of(const TokenUsage& usage) {
  const auto input = static_cast<double>(usage.input + usage.cache_write_5m + usage.cache_write_1h);
  const auto output = static_cast<double>(usage.output > 0 ? usage.output : kUsualOutput);
  return {1, input + static_cast<double>(usage.cached) + output, input, output};
}

std::string seconds(std::chrono::nanoseconds time) {
  return std::to_string((std::chrono::duration_cast<std::chrono::milliseconds>(time).count() + 999) / 1000) +
         " s";
}

/// Whether an answer with this failure shows that key and account are in order.
bool works(const Failure& failure) {
  return failure.status >= 200 && failure.status < 500;
}

}  // namespace

struct Account::Waiter {
  asio::steady_timer timer;
  std::string model;
  TokenUsage estimate;
  Deadline until;
  Turn turn{};
  bool served = false;
  std::optional<Error> error{};
};

Account::Account(asio::any_io_executor executor, Provider provider, std::chrono::milliseconds probe_after)
    : executor_(executor),
      timer_(executor),
      provider_(std::move(provider)),
      probe_after_(probe_after),
      limit_(provider_.start_in_flight, provider_.max_in_flight),
      paces_{Pace(static_cast<double>(provider_.requests_per_minute) / 60),
             Pace(static_cast<double>(provider_.tokens_per_minute) / 60), Pace(), Pace()} {}

Result<std::shared_ptr<Account>> Account::open(asio::any_io_executor executor, Provider provider,
                                               std::chrono::milliseconds probe_after) {
  std::shared_ptr<Account> account(new Account(executor, std::move(provider), probe_after));
  bool is_public = false;
  ASSAY_OK(account->load_key(&is_public));
  if (is_public)
    log::warn("everybody on this machine may read the key of a model provider: chmod 0600 its file",
              {{"provider", account->provider_.name}, {"file", account->provider_.key_file}});
  return account;
}

Result<> Account::load_key(bool* is_public) {
  key_changed();  // takes the stamp before the key: a file that changes now is read again
  ASSAY_TRY(key_, read_key(provider_, is_public));
  return {};
}

bool Account::key_changed() {
  struct stat file{};
  if (provider_.key_file.empty() || ::stat(provider_.key_file.c_str(), &file) != 0) return false;
  const Stamp stamp{file.st_mtim.tv_sec, file.st_mtim.tv_nsec, file.st_size, file.st_ino};
  return stamp != std::exchange(key_stamp_, stamp);
}

std::optional<Error> Account::refusal(const std::string& model, Turn& turn) {
  for (const auto& scope : {std::string(), model}) {
    const auto it = pauses_.find(scope);
    if (it == pauses_.end()) continue;
    const auto now = Clock::now();
    if (key_changed())
      if (const auto loaded = load_key(); !loaded) log::warn(loaded.error().message);
    const bool other_key = it->second.error.kind == ErrorKind::auth && turn.key != key_;
    if (now < it->second.next_probe && !other_key) return it->second.error;
    it->second.next_probe = now + probe_after_;
    turn.pass = scope;
    turn.probing = true;
  }
  return std::nullopt;
}

Task<Result<Account::Turn>> Account::admit(uint64_t ticket, std::string model, TokenUsage estimate,
                                           Deadline until) {
  const auto self = shared_from_this();
  Waiter waiter{asio::steady_timer(executor_), std::move(model), estimate, until};
  waiter.turn.key = key_;
  if (auto error = refusal(waiter.model, waiter.turn)) co_return std::unexpected(std::move(*error));
  // A call that is tried again, and so has a smaller number, is not turned away.
  const bool full = std::ssize(waiting_) >= provider_.max_waiting;
  if (full && ticket > waiting_.rbegin()->first)
    co_return fail(ErrorKind::rate_limited, "provider " + provider_.name + ": " +
                                                std::to_string(waiting_.size()) +
                                                " calls are waiting for their turn already");
  for (;;) {
    if (parked_until_ > until) co_return std::unexpected(parked_too_long(until));
    const bool cancelled = co_await is_cancelled();
    if (cancelled) co_return fail(ErrorKind::cancelled, "cancelled");
    waiter.timer.expires_at(until);
    waiter.served = false;
    ASSAY_CHECK(waiting_.emplace(ticket, &waiter).second, "a call waits twice");
    serve();
    if (!waiter.served && !waiter.error)
      co_await waiter.timer.async_wait(asio::as_tuple(asio::use_awaitable));
    if (waiter.error) co_return std::unexpected(std::move(*waiter.error));
    if (!waiter.served) {
      waiting_.erase(ticket);
      serve();  // it may have been the first
      if (Clock::now() < until) co_return fail(ErrorKind::cancelled, "cancelled");
      co_return fail(ErrorKind::timeout, "no turn came at provider " + provider_.name +
                                             " in time: " + std::to_string(waiting_.size()) +
                                             " calls wait, " + std::to_string(in_flight_) + " are under way");
    }
    if (Clock::now() >= parked_until_) break;
    --in_flight_;  // parked since
  }
  ++requests_;
  co_return std::move(waiter.turn);
}

Error Account::parked_too_long(Deadline until) const {
  const auto now = Clock::now();
  return {ErrorKind::rate_limited, "provider " + provider_.name + " asked to wait " +
                                       seconds(parked_until_ - now) +
                                       " more, longer than this call may take (" +
                                       seconds(std::max(until - now, Clock::duration(0))) + ")"};
}

void Account::serve() {
  const auto now = Clock::now();
  while (!waiting_.empty()) {
    if (now < parked_until_) return serve_at(parked_until_);
    if (in_flight_ >= limit_.allowed()) return;
    Instant ready = now;
    for (auto& pace : paces_) ready = std::max(ready, pace.ready(now));
    if (ready > now) return serve_at(ready);
    Waiter& first = *waiting_.begin()->second;
    waiting_.erase(waiting_.begin());
    take_turn(first, now);
  }
}

void Account::serve_at(Instant when) {
  timer_.expires_at(when);
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!error && self) self->serve();
  });
}

void Account::take_turn(Waiter& waiter, Instant now) {
  Turn& turn = waiter.turn;
  ++in_flight_;
  turn.model = waiter.model;
  turn.key = key_;
  turn.sent = now;
  turn.full = in_flight_ >= limit_.allowed();
  turn.amounts = amounts_of(waiter.estimate);
  for (size_t i = 0; i < paces_.size(); ++i) {
    turn.amounts[i] = paces_[i].bounded(turn.amounts[i]);
    turn.marks[i] = paces_[i].sent(turn.amounts[i], now);
  }
  waiter.served = true;
  waiter.timer.cancel();
}

bool Account::finish(const Turn& turn, const Ending& ending) {
  --in_flight_;
  const auto now = Clock::now();
  bool again = false;
  if (ending.usage == nullptr)  // refused, or never sent: it was a request, but took no tokens
    for (size_t i = 1; i < paces_.size(); ++i) paces_[i].give_back(turn.amounts[i], now);
  if (!ending.abandoned) {
    learn(turn, ending, now);
    const bool answered = ending.failure == nullptr || works(*ending.failure);
    if (ending.failure != nullptr &&
        (ending.failure->remedy == Remedy::pay || ending.failure->error.kind == ErrorKind::auth))
      again = pause(turn, *ending.failure, now);
    else if (turn.probing && answered && pauses_.erase(turn.pass) > 0)
      log::info("a model provider answers again", {{"provider", provider_.name}, {"model", turn.pass}});
  }
  serve();
  return again;
}

void Account::learn(const Turn& turn, const Ending& ending, Instant now) {
  if (ending.headers != nullptr) {
    const auto wall =
        std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
    const auto said = rate_limits_from(*ending.headers, wall);
    const std::array<const Allowance*, 4> allowances = {&said.requests, &said.tokens, &said.input_tokens,
                                                        &said.output_tokens};
    for (size_t i = 0; i < paces_.size(); ++i)
      paces_[i].learn(*allowances[i], turn.marks[i], limit_.latency(), now, wall);
  }
  if (ending.usage != nullptr) {
    const auto actual = amounts_of(*ending.usage);
    for (size_t i = 1; i < paces_.size(); ++i) paces_[i].correct(turn.amounts[i], actual[i]);
  }
  if (ending.failure == nullptr)
    limit_.good(turn.sent, now, turn.full);
  else
    learn_overload(turn, ending, now);
}

void Account::learn_overload(const Turn& turn, const Ending& ending, Instant now) {
  const Failure& failure = *ending.failure;
  const bool rate = failure.error.kind == ErrorKind::rate_limited;
  if (rate) ++refused_;
  bool explained = false;  // by an allowance that is used up: then the pace is at fault, not how many at once
  for (size_t i = 0; i < paces_.size(); ++i) explained |= paces_[i].exhausted(turn.amounts[i]);
  const bool busy = failure.status == 503 || failure.status == 504 || ending.timed_out;
  if (busy || (rate && !explained)) limit_.overload(turn.sent, now, in_flight_ + 1);
  if (failure.remedy == Remedy::retry && failure.retry_after)
    park(now + std::min<std::chrono::milliseconds>(*failure.retry_after, kLongestPark));
}

void Account::park(Instant until) {
  if (until <= parked_until_) return;
  parked_until_ = until;
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    Waiter& waiter = *it->second;
    if (waiter.until >= until) {
      ++it;
      continue;
    }
    waiter.error = parked_too_long(waiter.until);
    waiter.timer.cancel();
    it = waiting_.erase(it);
  }
}

bool Account::pause(const Turn& turn, Failure& failure, Instant now) {
  const bool auth = failure.error.kind == ErrorKind::auth;
  if (auth) {
    if (key_changed())
      if (const auto loaded = load_key(); !loaded) log::warn(loaded.error().message);
    if (turn.key != key_) return true;
  }
  // 403 is about what a key may do, and so mostly about one model.
  const std::string scope = auth && failure.status == 403 ? turn.model : "";
  const std::string remedy = !auth ? "; calls go on when it is paid"
                             : provider_.key_file.empty()
                                 ? "; provider " + provider_.name + " has no key_file"
                                 : "; the key is that of " + provider_.key_file;
  Error error{failure.error.kind, "provider " + provider_.name + ": " + failure.error.message + remedy};
  failure.error = error;
  if (pauses_.size() >= kMostPauses) pauses_.clear();
  const bool is_new = pauses_.insert_or_assign(scope, Pause{error, now + probe_after_}).second;
  if (is_new)
    log::error("a model provider is paused: calls end at once until it answers again",
               {{"provider", provider_.name}, {"model", scope}, {"why", error.message}});
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    Waiter& waiter = *it->second;
    if (waiter.turn.probing || (!scope.empty() && waiter.model != scope)) {
      ++it;
      continue;
    }
    waiter.error = error;
    waiter.timer.cancel();
    it = waiting_.erase(it);
  }
  return false;
}

AccountStatus Account::status() const {
  AccountStatus status;
  status.provider = provider_.name;
  status.in_flight = in_flight_;
  status.allowed = limit_.allowed();
  status.waiting = waiting_.size();
  const auto now = Clock::now();
  if (parked_until_ > now)
    status.parked_for = std::chrono::duration_cast<std::chrono::milliseconds>(parked_until_ - now);
  if (const auto it = pauses_.find(""); it != pauses_.end()) status.paused = to_string(it->second.error.kind);
  status.requests = requests_;
  status.refused = refused_;
  return status;
}

}  // namespace assay::llm
