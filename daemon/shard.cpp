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

bool is_errored(const Outcome& outcome, ErrorKind kind) {
  return outcome.verdict == Verdict::errored && outcome.error.kind == kind;
}

/// Our fault, not the evaluator's or the model's.
bool is_ours(const Outcome& outcome) {
  return is_errored(outcome, ErrorKind::internal);
}

bool is_cancelled(const Outcome& outcome) {
  return is_errored(outcome, ErrorKind::cancelled);
}

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
  if (spec_->generates())
    if (const auto known = check_models(spec_->generation()->models); !known) {
      failed_ = Error(known.error()).with("generation");
      co_return false;
    }
  for (const auto& evaluator : spec_->evaluators) {
    if (const auto known = check_models(evaluator.models); !known) {
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

/// Whether it can ask these models, before anything is paid for.
Result<> Shard::check_models(const std::vector<std::string>& slugs) const {
  if (slugs.empty()) return {};
  if (context_.broker == nullptr)
    return fail(ErrorKind::config, "this worker has no models: set models.file (docs/models.md)");
  for (const std::string& slug : slugs) {
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
  int64_t page = std::min<int64_t>(kPageItems, static_cast<int64_t>(context_.items.capacity()) / 2);
  int64_t next = lease_.lo;
  while (next < lease_.hi && !halted()) {
    if (is_whole(next)) {  // items that are done already are not even read
      ++next;
      continue;
    }
    const int64_t end = std::min(lease_.hi, next + page);
    const auto count = static_cast<size_t>(end - next);
    const bool acquired = co_await context_.items.acquire(count);
    if (!acquired) break;
    auto stored = co_await read_stored(next, end);
    Result<std::vector<Item>> items;
    if (stored)
      items = co_await read_items(context_.api, *spec_, lease_, next, end);
    else
      items = std::unexpected(std::move(stored.error()));
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
    for (const auto& item : *items) submit_item(item, *stored);
    next = end;
    co_await wait_for_room();
  }
  while (outstanding_ > 0) co_await answered_.wait();
  if (failed_) co_return End::failed;
  co_return next >= lease_.hi ? End::complete : End::partial;
}

bool Shard::is_whole(int64_t item) const {
  const int64_t first = first_code(item);
  for (int64_t code = 0; code < spec_->outcomes_per_item(); ++code)
    if (!lease_.is_done(first + code)) return false;
  return true;
}

/// The texts of the items [from, to) that need not be generated: those of another run, or those that this one
/// has already.
Task<Result<StoredTexts>> Shard::read_stored(int64_t from, int64_t to) {
  if (spec_->generation() == nullptr) co_return StoredTexts();
  if (!spec_->generates()) co_return co_await read_texts(context_.api, spec_->generation()->run, from, to);
  const bool none = lease_.done.empty() || lease_.done.front().first >= first_code(to) ||
                    lease_.done.back().second <= first_code(from);
  if (none) co_return StoredTexts();
  co_return co_await read_texts(context_.api, lease_.run, from, to);
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

void Shard::submit_item(const Item& item, const StoredTexts& stored) {
  const auto place = std::make_shared<Place>(context_.items);
  for (int model = 0; model < static_cast<int>(spec_->models.size()); ++model)
    for (int trial = 0; trial < spec_->trials; ++trial) {
      Candidate candidate{.id = {.item = item.index, .model = model, .trial = trial}, .place = place};
      if (!item.text) {
        settle(candidate, Outcome::errored(item.text.error().kind, item.text.error().message));
        continue;
      }
      candidate.item = *item.text;
      if (spec_->generation() == nullptr)
        evaluate_all(candidate, candidate.item.json, "");
      else
        submit_text(std::move(candidate), stored);
    }
}

/// Where a side is generated: from what is stored, or by asking the model.
void Shard::submit_text(Candidate candidate, const StoredTexts& stored) {
  const auto& [item, model, evaluator, trial] = candidate.id;
  if (const auto text = stored.find({item, model, trial}); text != stored.end())
    return settle(candidate, text->second);
  if (spec_->generates()) return generate(std::move(candidate));
  settle(candidate, Outcome::errored(ErrorKind::config, "the run " + spec_->generation()->run +
                                                            " has no text of this item: retry it first"));
}

void Shard::generate(Candidate candidate) {
  const Generation& how = *spec_->generation();
  // Of several models each gives a sample; a ground truth has one model, whatever the samples are.
  const size_t model = how.models.size() > 1 ? static_cast<size_t>(candidate.id.model) : 0;
  auto request = request_for(how, how.models[model], candidate.item.without_output());
  if (!request) return settle(candidate, Outcome::errored(request.error().kind, request.error().message));
  ++outstanding_;
  const auto asking = std::make_shared<Asking>(*context_.broker, purse_, candidate.id.trial > 0);
  asking->complete(std::move(*request), unwanted_,
                   [this, asking, began = Clock::now(),
                    candidate = std::move(candidate)](Result<std::string> reply) mutable {
                     auto text = generated_from(reply);
                     text.usage.models = asking->use();
                     text.usage.wall =
                         std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - began);
                     if (is_ours(text) && ++candidate.tries < kInternalTries)
                       generate(std::move(candidate));
                     else
                       settle(candidate, std::move(text));
                     item_done();
                   });
}

/// The text is there, or will not be: it is an outcome itself, where this run has it generated, and then it
/// is evaluated.
void Shard::settle(const Candidate& candidate, Outcome text) {
  if (is_cancelled(text)) return;
  if (spec_->generates()) {
    text.generation = generation_id(text);
    OutcomeId id = candidate.id;
    id.evaluator = spec_->text_index();
    if (!is_done(id)) append(id, text);
  }
  if (text.verdict == Verdict::generated)
    evaluate_all(candidate, candidate.item.with_output(text.output), text.generation);
  else
    fail_all(candidate.id, text);
}

void Shard::evaluate_all(const Candidate& candidate, const std::string& item, const std::string& generation) {
  OutcomeId id = candidate.id;
  for (id.evaluator = 0; id.evaluator < spec_->text_index(); ++id.evaluator) {
    if (is_done(id)) continue;
    Evaluation evaluation{.id = id, .item = item, .generation = generation, .place = candidate.place};
    if (context_.broker != nullptr && evaluator_of(id).may_ask_models())
      evaluation.asking = std::make_shared<Asking>(*context_.broker, purse_,
                                                   id.trial > 0);  // trials show how much replies differ
    submit(std::move(evaluation));
  }
}

/// What cannot be evaluated, because there is no text or no item.
void Shard::fail_all(OutcomeId id, const Outcome& text) {
  auto outcome = Outcome::errored(text.error.kind, text.error.message);
  outcome.generation = text.generation;
  for (id.evaluator = 0; id.evaluator < spec_->text_index(); ++id.evaluator)
    if (!is_done(id)) append(id, outcome);
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
    // Our fault, not the evaluator's: tried again before it is reported.
    if (is_ours(outcome) && ++evaluation.tries < kInternalTries) {
      submit(std::move(evaluation));
    } else {
      outcome.generation = evaluation.generation;
      record(evaluation.id, std::move(outcome));
    }
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
  if (is_cancelled(outcome)) return;
  apply_threshold(outcome, spec_->evaluators[static_cast<size_t>(id.evaluator)].pass_threshold);
  append(id, outcome);
}

void Shard::append(const OutcomeId& id, const Outcome& outcome) {
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
