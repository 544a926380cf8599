#include "daemon/shard.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/async/scope.hpp"
#include "core/id.hpp"
#include "core/log.hpp"

namespace assay::daemon {
namespace {

using namespace std::chrono_literals;

constexpr int64_t kPageItems = 256;
constexpr size_t kBatchOutcomes = 1000;
constexpr size_t kBatchBytes = 2ULL << 20;
constexpr size_t kPendingOutcomes = 4000;  ///< beyond this nothing more is read until the API took some
constexpr auto kBatchAge = 250ms;
constexpr int kInternalTries = 3;

}  // namespace

Shard::Shard(WorkerContext& context, Lease lease, std::shared_ptr<const RunSpec> spec,
             asio::any_io_executor executor)
    : context_(context),
      lease_(std::move(lease)),
      spec_(std::move(spec)),
      executor_(executor),
      answered_(executor),
      posting_(executor) {}

void Shard::set_cancelled() {
  cancelled_ = true;
  pending_.clear();
  posting_.notify();
}

std::string Shard::fence() const {
  return "{\"worker_id\":" + json_quote(context_.worker_id) + ",\"boot_id\":" + json_quote(context_.boot_id) +
         ",\"epoch\":" + std::to_string(lease_.epoch) + ",\"token\":" + json_quote(lease_.token);
}

Task<> Shard::run() {
  End end = End::failed;
  {
    Scope scope(executor_);
    scope.spawn("post outcomes of " + lease_.key(), post_loop());
    end = co_await evaluate();
    evaluated_ = true;
    posting_.notify();
    co_await scope.join();
  }
  co_await finish(failed_ ? End::failed : end);
}

Task<> Shard::give_up(Error why) {
  failed_ = std::move(why);
  co_await finish(End::failed);
}

Task<bool> Shard::prepare() {
  for (const auto& evaluator : spec_->evaluators) {
    const auto prepared = co_await context_.pool.prepare(evaluator.program);
    if (prepared) continue;
    if (prepared.error().kind != ErrorKind::cancelled)
      failed_ = Error{prepared.error().kind, "evaluator " + evaluator.name + ": " + prepared.error().message};
    co_return false;
  }
  co_return true;
}

Task<Shard::End> Shard::evaluate() {
  const bool prepared = co_await prepare();
  if (!prepared) co_return failed_ ? End::failed : End::partial;
  const auto codes = spec_->outcomes_per_item();
  int64_t page = std::min<int64_t>(kPageItems, static_cast<int64_t>(context_.items.capacity()) / 2);
  int64_t next = lease_.lo;
  while (next < lease_.hi && !halted()) {
    // Items that are done already are not even read.
    if (lease_.is_done((next - lease_.lo) * codes)) {
      bool whole = true;
      for (int64_t code = 0; code < codes && whole; ++code)
        whole = lease_.is_done((next - lease_.lo) * codes + code);
      if (whole) {
        ++next;
        continue;
      }
    }
    const int64_t end = std::min(lease_.hi, next + page);
    const auto count = static_cast<size_t>(end - next);
    const bool acquired = co_await context_.items.acquire(count);
    if (!acquired) break;
    auto items = co_await read_items(context_.api, *spec_, lease_, next, end);
    if (!items) {
      context_.items.release(count);
      if (items.error().kind == ErrorKind::output_limit && page > 1) {
        page = std::max<int64_t>(1, page / 4);
        continue;
      }
      if (items.error().kind != ErrorKind::cancelled) failed_ = std::move(items.error());
      break;
    }
    for (auto& item : *items) submit_item(std::move(item));
    next = end;
    co_await wait_for_room();
  }
  while (outstanding_ > 0) co_await answered_.wait();
  if (failed_) co_return End::failed;
  co_return next >= lease_.hi ? End::complete : End::partial;
}

Task<> Shard::wait_for_room() {
  while (!halted() && (outstanding_ > kPageItems / 4 || pending_.size() > kPendingOutcomes))
    co_await answered_.wait();
}

void Shard::submit_item(Item item) {
  const auto evaluators = static_cast<int64_t>(spec_->evaluators.size());
  // The item's place in the budget is given back when its last evaluation has answered.
  struct Place {
    explicit Place(Budget& b) : budget(b) {}
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() { budget.release(1); }
    Budget& budget;
  };
  const auto place = std::make_shared<Place>(context_.items);
  for (int64_t code = 0; code < spec_->outcomes_per_item(); ++code) {
    if (lease_.is_done((item.index - lease_.lo) * spec_->outcomes_per_item() + code)) continue;
    const OutcomeId id{item.index, static_cast<int>(code / (evaluators * spec_->trials)),
                       static_cast<int>(code / spec_->trials % evaluators),
                       static_cast<int>(code % spec_->trials)};
    if (!item.json) {
      record(id, Outcome::errored(item.json.error().kind, item.json.error().message));
      continue;
    }
    ++outstanding_;
    const auto& program = spec_->evaluators[static_cast<size_t>(id.evaluator)].program;
    context_.pool.submit(program, *item.json, [this, id, place, json = *item.json](Outcome outcome) {
      if (outcome.verdict == Verdict::errored && outcome.error.kind == ErrorKind::internal)
        submit(id, json, 1);  // our fault, not the evaluator's: tried again before it is reported
      else
        record(id, std::move(outcome));
      item_done();
    });
  }
}

void Shard::submit(OutcomeId id, std::string item, int attempt) {
  ++outstanding_;
  const auto& program = spec_->evaluators[static_cast<size_t>(id.evaluator)].program;
  std::string copy = item;
  context_.pool.submit(
      program, std::move(copy), [this, id, attempt, json = std::move(item)](Outcome outcome) mutable {
        const bool ours = outcome.verdict == Verdict::errored && outcome.error.kind == ErrorKind::internal;
        if (ours && attempt + 1 < kInternalTries)
          submit(id, std::move(json), attempt + 1);
        else
          record(id, std::move(outcome));
        item_done();
      });
}

void Shard::item_done() {
  --outstanding_;
  if (outstanding_ <= kPageItems / 4) answered_.notify();
}

void Shard::record(OutcomeId id, Outcome outcome) {
  // A cancelled evaluation has no outcome: it was told to stop, and whoever leases the shard next computes
  // it.
  if (cancelled_ || (outcome.verdict == Verdict::errored && outcome.error.kind == ErrorKind::cancelled))
    return;
  apply_threshold(outcome, spec_->evaluators[static_cast<size_t>(id.evaluator)].pass_threshold);
  std::string json;
  append_outcome_json(json, id, outcome);
  if (pending_.empty()) pending_since_ = Clock::now();
  pending_bytes_ += json.size();
  pending_.emplace_back(id, std::move(json));
  if (pending_.size() == 1 || pending_.size() == kBatchOutcomes || pending_bytes_ >= kBatchBytes)
    posting_.notify();
}

Task<> Shard::post_loop() {
  for (;;) {
    const bool full = pending_.size() >= kBatchOutcomes || pending_bytes_ >= kBatchBytes;
    if (cancelled_ || context_.stopping || (evaluated_ && pending_.empty())) co_return;
    if (pending_.empty()) {
      co_await posting_.wait();
      continue;
    }
    if (!full && !evaluated_ && Clock::now() < pending_since_ + kBatchAge) {
      co_await posting_.wait_until(pending_since_ + kBatchAge);
      continue;
    }
    std::string outcomes;
    size_t count = 0;
    while (count < pending_.size() && count < kBatchOutcomes && outcomes.size() < kBatchBytes) {
      if (count > 0) outcomes += ',';
      outcomes += pending_[count].second;
      ++count;
    }
    co_await post(std::move(outcomes), count);
    answered_.notify();
  }
}

/// Sends one batch until the API has it, for as long as that takes: nothing computed is given up.
Task<> Shard::post(std::string outcomes, size_t count) {
  const int64_t batch = next_batch_++;
  const std::string body =
      fence() + ",\"batch\":" + std::to_string(batch) + ",\"outcomes\":[" + std::move(outcomes) + "]}";
  const uint32_t crc = crc32c(body);
  for (int attempt = 0; !cancelled_ && !context_.stopping; ++attempt) {
    ApiClient::Call call;
    call.method = "POST";
    call.path = "/v1/runs/" + lease_.run + "/shards/" + std::to_string(lease_.shard) + "/outcomes";
    call.body = body;
    const auto answer = co_await context_.api.call(std::move(call));
    if (answer && answer->ok()) {
      const auto json = parse_json(answer->body);
      // Only an answer that echoes the batch is an acknowledgement: proxies answer 200 with pages of their
      // own.
      if (json && json->is_object() && json->value("run", Json()) == lease_.run &&
          json->value("shard", Json()) == lease_.shard && json->value("epoch", Json()) == lease_.epoch &&
          json->value("batch", Json()) == batch && json->value("crc32c", Json()) == crc) {
        if (json->value("verdict", Json()) == "lost") lost_ = true;
        for (size_t i = 0; i < count && !pending_.empty(); ++i) {
          pending_bytes_ -= pending_.front().second.size();
          pending_.pop_front();
        }
        pending_since_ = Clock::now();
        context_.outcomes_posted += static_cast<int64_t>(count);
        co_return;
      }
    } else if (answer && answer->code == "superseded") {
      context_.fatal = answer->message;
      set_cancelled();
      co_return;
    } else if (answer && answer->status == 409) {
      set_cancelled();
      co_return;
    } else if (answer && !answer->retryable()) {
      failed_ = Error{ErrorKind::internal, "the API refused outcomes: " + answer->error().message};
      pending_.clear();
      co_return;
    }
    if (attempt == 2)
      log::warn("outcomes wait for the API", {{"shard", lease_.key()}, {"outcomes", std::to_string(count)}});
    co_await sleep_until(Clock::now() + backoff(attempt));
  }
}

Task<Result<ApiAnswer>> Shard::control(std::string verb, std::string body) {
  ApiClient::Call call;
  call.method = "POST";
  call.path = "/v1/runs/" + lease_.run + "/shards/" + std::to_string(lease_.shard) + "/" + verb;
  call.body = std::move(body);
  call.timeout = 15s;
  // When this gives up, the lease runs out and the shard is offered again: its outcomes are stored.
  co_return co_await context_.api.call_until(std::move(call), Clock::now() + 60s);
}

Task<> Shard::finish(End end) {
  if (cancelled_ || context_.stopping) co_return;
  Result<ApiAnswer> answer;
  if (end == End::failed) {
    log::warn("shard failed", {{"shard", lease_.key()}, {"error", failed_->message}});
    answer = co_await control("fail", fence() + ",\"kind\":\"" + std::string(to_string(failed_->kind)) +
                                          "\",\"message\":" + json_quote(failed_->message) + "}");
  } else if (end == End::complete) {
    answer = co_await control("complete", fence() + "}");
    // What the store says is missing is computed again by whoever leases the shard next, perhaps this worker.
    if (answer && answer->status == 409 && answer->code == "incomplete" && !lost_)
      answer = co_await control("release", fence() + ",\"reason\":\"incomplete\"}");
  } else if (!lost_) {
    answer = co_await control("release", fence() + ",\"reason\":\"drain\"}");
  }
  if (!answer)
    log::warn("the shard's end did not reach the API",
              {{"shard", lease_.key()}, {"error", answer.error().message}});
}

}  // namespace assay::daemon
