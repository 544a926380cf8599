#include "daemon/spool/sender.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/id.hpp"
#include "core/json.hpp"
#include "core/log.hpp"
#include "core/outcome.hpp"

namespace assay::daemon {
namespace {

using namespace std::chrono_literals;

constexpr auto kBatchAge = 250ms;
constexpr size_t kPosts = 16;

/// No answer, one that says that the API is not there for now, or one that is not the API's own.
bool is_away(const Result<ApiAnswer>& answer) {
  if (!answer) return true;
  const int status = answer->status;
  return answer->ok() || answer->code.empty() || status == 408 || status == 429 || status == 502 ||
         status == 503 || status == 504;
}

/// Of an outcome that may be wrong in any other way.
std::optional<OutcomeId> identity_of(const std::string& outcome) {
  const auto json = Json::parse(outcome, nullptr, false);
  if (!json.is_object() || !json.contains("item")) return std::nullopt;
  const auto number = [&](const char* key) { return json.value(key, int64_t{0}); };
  return OutcomeId{number("item"), static_cast<int>(number("model")), static_cast<int>(number("evaluator")),
                   static_cast<int>(number("trial"))};
}

}  // namespace

Sender::Sender(asio::any_io_executor executor, ApiClient& api, Spool& spool, const Identity& self,
               std::function<void(std::string)> fatal)
    : executor_(executor),
      api_(api),
      spool_(spool),
      self_(self),
      fatal_(std::move(fatal)),
      turns_(executor, kPosts),
      scope_(executor),
      progress_(executor) {}

void Sender::start() {
  for (const auto& [number, box] : spool_.outboxes())
    if (box->leftover) box->posting = {.as_recorded = true, .away = true};
  spool_.on_ready = [this](const Box& box) {
    if (box->posting.active || stopping_) return;
    box->posting.active = true;
    scope_.spawn("post outcomes of " + box->lease->key(), serve(box));
  };
  spool_.resume();
}

Task<> Sender::post_leftovers() {
  const auto waiting = [this] {
    return std::any_of(spool_.outboxes().begin(), spool_.outboxes().end(), [](const auto& entry) {
      const Outbox& box = *entry.second;
      return box.leftover && box.posting.away && box.posting.as_recorded;
    });
  };
  while (!stopping_ && waiting()) co_await progress_.wait_until(Clock::now() + 1s);
}

void Sender::registered() {
  registered_ = true;
  progress_.notify();
}

bool Sender::is_behind() const {
  return spool_.has_backlog() || std::any_of(spool_.outboxes().begin(), spool_.outboxes().end(),
                                             [](const auto& entry) { return entry.second->posting.away; });
}

void Sender::stop() {
  stopping_ = true;
  scope_.cancel();
  progress_.notify();
}

Task<> Sender::join() {
  co_await scope_.join();
}

Task<> Sender::serve(Box box) {
  while (!stopping_ && !box->ready.empty()) {
    const auto due = box->ready_since + kBatchAge;
    if (!box->has_batch() && !box->hurry && Clock::now() < due) {
      co_await box->filled.wait_until(due);
      continue;
    }
    co_await post(box);
  }
  box->posting.active = false;
}

/// One batch, for as long as it takes: nothing computed is given up.
Task<> Sender::post(Box box) {
  for (int attempt = 0; !stopping_ && !box->ready.empty();) {
    if (!box->posting.as_recorded && !registered_) {
      co_await progress_.wait();
      continue;
    }
    const bool turn = co_await turns_.acquire(1);
    if (!turn) co_return;
    Batch batch = next_batch(*box);
    ApiClient::Call call;
    call.method = "POST";
    call.path = "/v1/runs/" + box->lease->run + "/shards/" + std::to_string(box->lease->shard) + "/outcomes";
    call.body = std::move(batch.body);
    const auto answer = co_await api_.call(std::move(call));
    turns_.release(1);
    const Step step = judge(box, batch, answer);
    progress_.notify();
    if (step == Step::over) co_return;
    if (step == Step::at_once) continue;
    if (attempt == 2)
      log::warn("outcomes wait for the API",
                {{"shard", box->lease->key()},
                 {"outcomes", std::to_string(box->held)},
                 {"error", answer ? answer->error().message : answer.error().message}});
    const auto wait = std::max(backoff(attempt++), answer ? answer->retry_after : 0ms);
    co_await sleep_until(Clock::now() + wait);
  }
}

Sender::Batch Sender::next_batch(const Outbox& box) {
  const LeaseRecord& lease = *box.lease;
  Batch batch;
  batch.as_recorded = box.posting.as_recorded;
  batch.number = next_batch_++;
  const Identity& who = batch.as_recorded ? lease.holder : self_;
  batch.body = "{\"worker_id\":" + json_quote(who.worker_id) + ",\"boot_id\":" + json_quote(who.boot_id) +
               ",\"epoch\":" + std::to_string(lease.epoch) + ",\"token\":" + json_quote(lease.token) +
               ",\"batch\":" + std::to_string(batch.number) + ",\"outcomes\":[";
  for (const auto& outcome : box.ready) {
    if (batch.outcomes >= box.posting.most || batch.body.size() >= kBatchBytes) break;
    if (batch.outcomes++ > 0) batch.body += ',';
    batch.body += outcome.json;
  }
  batch.body += "]}";
  batch.crc = crc32c(batch.body);
  return batch;
}

Sender::Step Sender::judge(const Box& box, const Batch& batch, const Result<ApiAnswer>& answer) {
  if (box->standing != Outbox::Standing::wanted) return Step::over;
  if (answer && answer->ok()) {
    const Step step = acknowledged(box, batch, *answer);
    if (step == Step::over) return step;
  }
  box->posting.away = is_away(answer);
  if (!answer || answer->ok() || answer->retryable()) return Step::later;
  if (answer->status == 413)
    return narrow_down(box, batch, {ErrorKind::output_limit, "the outcome is larger than the API takes"});
  return answer->code.empty() ? Step::later : refused(box, batch, *answer);
}

/// Only an answer that echoes the batch is an acknowledgement: proxies answer 200 with pages of their own.
Sender::Step Sender::acknowledged(const Box& box, const Batch& batch, const ApiAnswer& answer) {
  const auto json = parse_json(answer.body);
  const LeaseRecord& lease = *box->lease;
  if (!json || !json->is_object() || json->value("run", Json()) != lease.run ||
      json->value("shard", Json()) != lease.shard || json->value("epoch", Json()) != lease.epoch ||
      json->value("batch", Json()) != batch.number || json->value("crc32c", Json()) != batch.crc)
    return Step::later;
  log::debug("outcomes acknowledged", {{"shard", lease.key()},
                                       {"leftover", box->leftover ? "1" : "0"},
                                       {"outcomes", std::to_string(batch.outcomes)},
                                       {"inserted", dump_json(json->value("inserted", Json()))},
                                       {"duplicate", dump_json(json->value("duplicate", Json()))}});
  if (json->value("verdict", Json()) == "lost") box->lost = true;
  box->posting.most = std::min(kBatchOutcomes, 2 * std::max(batch.outcomes, box->posting.most));
  posted_ += static_cast<int64_t>(batch.outcomes);
  spool_.acknowledge(box, batch.outcomes);
  if (!box->leftover && !box->has_batch()) box->posting.away = false;
  return Step::over;
}

/// One outcome is not what the API takes, and the others are innocent: halved until it is found. In its place
/// goes what is wrong with it, under its own identity, so that the shard can end.
Sender::Step Sender::narrow_down(const Box& box, const Batch& batch, Error error) {
  if (batch.outcomes > 1) {
    box->posting.most = batch.outcomes / 2;
    return Step::at_once;
  }
  const auto& culprit = box->ready.front();
  const auto id = identity_of(culprit.json);
  if (id && culprit.seq != box->posting.replaced) {
    log::warn("an outcome is refused, and reported as errored",
              {{"shard", box->lease->key()}, {"why", error.message}});
    box->posting.replaced = culprit.seq;
    std::string json;
    append_outcome_json(json, *id, Outcome::errored(error.kind, std::move(error.message)));
    spool_.replace_first(box, std::move(json));
    return Step::at_once;
  }
  return give_up(box, error.message);
}

Sender::Step Sender::give_up(const Box& box, const std::string& why) {
  box->refusal = Error{ErrorKind::internal, "the API refused outcomes: " + why};
  log::error(box->refusal.message, {{"shard", box->lease->key()}, {"dropped", std::to_string(box->held)}});
  spool_.drop(box, Outbox::Standing::refused);
  return Step::over;
}

Sender::Step Sender::refused(const Box& box, const Batch& batch, const ApiAnswer& answer) {
  const bool stranger = answer.code == "superseded" || answer.code == "unknown_worker";
  if (stranger && batch.as_recorded) {
    box->posting.as_recorded = false;  // they are this process's to post, once it is registered
    box->posting.away = true;
    return Step::at_once;
  }
  if (answer.code == "unknown_worker") return Step::later;  // the heartbeat registers this process again
  if (answer.code == "superseded" || answer.status == 401 || answer.status == 403) {
    fatal_(answer.error().message);
    return Step::over;
  }
  if (answer.code == "run_finished" || answer.code == "run_not_found") return not_wanted(box, answer);
  // An API that lacks this very call is the wrong one, or in the wrong place.
  if (answer.status == 404 && answer.code != "shard_not_found") return Step::later;
  const std::string why = answer.error().message;
  if (answer.status != 400 && answer.status != 422) return give_up(box, why);
  return narrow_down(box, batch, {ErrorKind::bad_result, "the API refused the outcome: " + why});
}

/// The run is over. One that the API does not know was deleted, or this is the wrong API for it.
Sender::Step Sender::not_wanted(const Box& box, const ApiAnswer& answer) {
  const std::string count = std::to_string(box->held);
  const bool unknown = answer.code == "run_not_found";
  if (unknown)
    log::warn("the API does not know the run of these outcomes; a copy stays in the spool's folder bad",
              {{"shard", box->lease->key()},
               {"outcomes", count},
               {"database", box->lease->holder.incarnation},
               {"now", self_.incarnation}});
  else
    log::info("outcomes are not wanted any more: the run has ended",
              {{"shard", box->lease->key()}, {"outcomes", count}});
  spool_.drop(box, Outbox::Standing::ended, unknown);
  return Step::over;
}

}  // namespace assay::daemon
