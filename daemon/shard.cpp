#include "daemon/shard.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/log.hpp"

namespace assay::daemon {
namespace {

using namespace std::chrono_literals;

constexpr int64_t kPageItems = 256;
constexpr int kInternalTries = 3;
constexpr int kReadTries = 3;

}  // namespace

/// An item's place in the budget: given back when its last evaluation has answered.
class Shard::Place {
 public:
  explicit Place(Budget& budget) : budget_(budget) {}
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() { budget_.release(1); }

 private:
  Budget& budget_;
};

Shard::Shard(WorkerContext& context, Lease lease, std::shared_ptr<const RunSpec> spec,
             asio::any_io_executor executor)
    : context_(context),
      lease_(std::move(lease)),
      spec_(std::move(spec)),
      executor_(executor),
      answered_(executor),
      outbox_(context.spool.begin({.holder = context.self,
                                   .run = lease_.run,
                                   .shard = lease_.shard,
                                   .epoch = lease_.epoch,
                                   .token = lease_.token})) {}

Shard::~Shard() {
  context_.spool.finish(outbox_);
}

void Shard::set_cancelled() {
  context_.spool.drop(outbox_, Outbox::Standing::ended);
  *unwanted_ = true;
  context_.pool.sweep();
}

std::string Shard::fence() const {
  return "{\"worker_id\":" + json_quote(context_.self.worker_id) +
         ",\"boot_id\":" + json_quote(context_.self.boot_id) + ",\"epoch\":" + std::to_string(lease_.epoch) +
         ",\"token\":" + json_quote(lease_.token);
}

Task<> Shard::run() {
  purse_ = context_.purses.take(*spec_);
  const End end = co_await evaluate();
  purse_.reset();
  co_await context_.purses.release(lease_.run);
  co_await wait_until_posted();
  if (outbox_->standing == Outbox::Standing::refused && !failed_) failed_ = outbox_->refusal;
  co_await finish(failed_ ? End::failed : end);
}

Task<> Shard::wait_until_posted() {
  context_.spool.flush(outbox_);
  while (!context_.stopping && !context_.spool.settled(*outbox_)) co_await outbox_->changed.wait();
}

Task<> Shard::give_up(Error why) {
  failed_ = std::move(why);
  co_await finish(End::failed);
}

Task<bool> Shard::prepare() {
  for (const auto& evaluator : spec_->evaluators) {
    if (const auto known = check_models(evaluator); !known) {
      failed_ = Error(known.error()).with("evaluator " + evaluator.name);
      co_return false;
    }
    for (const auto& program : evaluator.programs()) {
      const auto prepared = co_await context_.pool.prepare(program);
      if (prepared) continue;
      if (prepared.error().kind != ErrorKind::cancelled)
        failed_ =
            Error{prepared.error().kind, "evaluator " + program->name + ": " + prepared.error().message};
      co_return false;
    }
  }
  co_return true;
}

/// Whether it can ask its models, before anything is paid for.
Result<> Shard::check_models(const RunEvaluator& evaluator) const {
  if (evaluator.models.empty()) return {};
  if (context_.broker == nullptr)
    return fail(ErrorKind::config, "this worker has no models: set models.file (docs/models.md)");
  for (const std::string& slug : evaluator.models) {
    ASSAY_TRY(const auto model, context_.broker->models().find(slug));
    if (spec_->spend_limit && !model.prices)
      return fail(ErrorKind::config, "the run has a spend_limit, but the model " + slug +
                                         " has no prices: give it some in models.toml, 0 if it is free");
  }
  return {};
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
      if (items.error().kind == ErrorKind::transport) {
        const bool again = co_await wait_for_api();
        if (again) continue;
      }
      if (items.error().kind != ErrorKind::cancelled) failed_ = std::move(items.error());
      break;
    }
    read_failures_ = 0;
    for (auto& item : *items) submit_item(std::move(item));
    next = end;
    co_await wait_for_room();
  }
  while (outstanding_ > 0) co_await answered_.wait();
  if (failed_) co_return End::failed;
  co_return next >= lease_.hi ? End::complete : End::partial;
}

Task<> Shard::wait_for_room() {
  while (!halted() && outstanding_ > kPageItems / 4) co_await answered_.wait();
  while (!halted() && !context_.spool.has_room()) co_await sleep_until(Clock::now() + 50ms);
}

/// Whether to read again. An API that is away is waited for, however long; one that answers heartbeats and
/// gives no rows is not.
Task<bool> Shard::wait_for_api() {
  if (heartbeats_seen_ != context_.heartbeats && ++read_failures_ >= kReadTries) co_return false;
  heartbeats_seen_ = context_.heartbeats;
  const bool slept = co_await sleep_until(Clock::now() + backoff(3));
  co_return slept;
}

void Shard::submit_item(Item item) {
  const auto evaluators = static_cast<int64_t>(spec_->evaluators.size());
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
    Evaluation evaluation{.id = id, .item = *item.json, .place = place};
    if (context_.broker != nullptr && evaluator_of(id).may_ask_models())
      evaluation.asking = std::make_shared<Asking>(*context_.broker, purse_,
                                                   id.trial > 0);  // trials show how much replies differ
    submit(std::move(evaluation));
  }
}

const RunEvaluator& Shard::evaluator_of(const OutcomeId& id) const {
  return spec_->evaluators[static_cast<size_t>(id.evaluator)];
}

void Shard::submit(Evaluation evaluation) {
  ++outstanding_;
  const RunEvaluator& evaluator = evaluator_of(evaluation.id);
  std::string item = evaluation.item;
  const auto asking = evaluation.asking;
  auto done = [this, evaluation = std::move(evaluation)](Outcome outcome) mutable {
    if (evaluation.asking) outcome.usage.models = evaluation.asking->use();
    const bool ours = outcome.verdict == Verdict::errored && outcome.error.kind == ErrorKind::internal;
    // Our fault, not the evaluator's: tried again before it is reported.
    if (ours && ++evaluation.tries < kInternalTries)
      submit(std::move(evaluation));
    else
      record(evaluation.id, std::move(outcome));
    item_done();
  };
  if (evaluator.multi)
    submit_parts(context_.pool, evaluator.multi, item, std::move(done), unwanted_, asking);
  else
    context_.pool.submit(evaluator.program, std::move(item), std::move(done), unwanted_, asking);
}

void Shard::item_done() {
  --outstanding_;
  if (outstanding_ <= kPageItems / 4) answered_.notify();
}

void Shard::record(OutcomeId id, Outcome outcome) {
  // A cancelled evaluation has no outcome: it was told to stop, and whoever leases the shard next computes
  // it.
  if (outcome.verdict == Verdict::errored && outcome.error.kind == ErrorKind::cancelled) return;
  apply_threshold(outcome, spec_->evaluators[static_cast<size_t>(id.evaluator)].pass_threshold);
  std::string json;
  append_outcome_json(json, id, outcome);
  context_.spool.add(outbox_, std::move(json));
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

Task<Result<ApiAnswer>> Shard::complete() {
  const auto verdict = co_await context_.completer.complete(lease_);
  if (!verdict) co_return std::unexpected(verdict.error());
  if (*verdict != "incomplete" || is_lost()) co_return ApiAnswer();
  // What the store says is missing is computed again by whoever leases the shard next, perhaps this worker.
  co_return co_await control("release", fence() + ",\"reason\":\"incomplete\"}");
}

Task<> Shard::finish(End end) {
  if (outbox_->standing == Outbox::Standing::ended || context_.stopping) co_return;
  Result<ApiAnswer> answer;
  if (end == End::failed) {
    log::warn("shard failed", {{"shard", lease_.key()}, {"error", failed_->message}});
    answer = co_await control("fail", fence() + ",\"kind\":\"" + std::string(to_string(failed_->kind)) +
                                          "\",\"message\":" + json_quote(failed_->message) + "}");
  } else if (end == End::complete) {
    answer = co_await complete();
  } else if (!is_lost()) {
    answer = co_await control("release",
                              fence() + (paused_ ? ",\"reason\":\"pause\"}" : ",\"reason\":\"drain\"}"));
  }
  if (!answer)
    log::warn("the shard's end did not reach the API",
              {{"shard", lease_.key()}, {"error", answer.error().message}});
}

}  // namespace assay::daemon
