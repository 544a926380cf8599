#include "sandbox/runtime/plugin/session.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "sandbox/runtime/plugin/answer.hpp"
#include "sandbox/runtime/plugin/lookup.hpp"
#include "sandbox/runtime/wire/exit_code.hpp"
#include "sandbox/runtime/wire/json_reader.hpp"

namespace assay::sandbox::plugin {
namespace {

using namespace std::chrono_literals;

constexpr auto kUsedStale = 50ms;

int32_t give(const std::optional<Value>& found, assay_text* value) {
  if (!found) return 0;
  *value = text_of(found->value);
  return found->is_text ? 1 : 2;
}

bool is_object(std::string_view json) {
  wire::JsonReader reader(json);
  return reader.peek() == wire::JsonReader::Kind::object && reader.skip() && reader.at_end();
}

}  // namespace

Session::Session(const wire::EvaluatorLimits& limits, int wake_fd, std::string& out)
    : assay_host{sizeof(assay_host), ASSAY_ABI_MINOR, service, done, cancelled},
      limits_(limits),
      wake_fd_(wake_fd),
      out_(out) {}

Result<void> Session::create(const Library& library, const std::string& name, const std::string& params) {
  std::array<char, 1'024> message{};
  params_ = params;
  evaluator_ = library.entry().create(this, name.c_str(), text_of(params), message.data(), message.size());
  params_ = {};
  param_values_.clear();
  message.back() = 0;
  if (evaluator_ == nullptr) return fail(ErrorKind::config, message.data());
  if (evaluator_->size < sizeof(assay_evaluator) || evaluator_->evaluate == nullptr)
    return fail(ErrorKind::config, "it made an evaluator that is smaller than that of ABI 1.0");
  used_ = used_so_far();
  return {};
}

void Session::evaluate(int64_t id, std::string item) {
  auto made = std::make_unique<assay_call>();
  assay_call* const call = made.get();
  call->session = this;
  call->id = id;
  call->item = std::move(item);
  call->began = Clock::now();
  if (progress_ != nullptr) {
    progress_->began.store(std::chrono::nanoseconds(call->began.time_since_epoch()).count());
    progress_->evaluation.store(id);
  }
  if (calls_.empty() && call->began - used_at_ > kUsedStale) {  // what it did between evaluations is nobody's
    used_ = used_so_far();
    used_at_ = call->began;
  }
  calls_.emplace_hint(calls_.end(), id, std::move(made));
  watch_->note(calls_.size(), used_.cpu);
  evaluator_->evaluate(evaluator_, call, text_of(call->item));
}

void Session::cancel(int64_t id) {
  const auto found = calls_.find(id);
  if (found == calls_.end()) return;  // its answer is on its way
  assay_call* const call = found->second.get();
  if (call->is_cancelled.exchange(true)) return;
  late_.emplace(id, Clock::now() + wire::kUnwindGrace);
  // First the plugin, to which the call must be alive: either may lead to done().
  if (evaluator_->cancel != nullptr) evaluator_->cancel(evaluator_, call);
  fail_completions(call);
}

std::optional<Session::Clock::time_point> Session::due() const {
  std::optional<Clock::time_point> first;
  for (const auto& [id, when] : late_) first = std::min(first.value_or(when), when);
  return first;
}

void Session::take_completion(const Message& answer) {
  const auto found = asked_.find(answer.id);
  if (found == asked_.end()) return;  // of an evaluation that is over
  const Asked asked = found->second;
  asked_.erase(found);
  if (answer.error) return fail_completion(asked, answer.error->kind, answer.error->message);
  std::deque<std::string> kept;
  const auto text = [&](const char* name) {
    const auto value = look_up(answer.params, name, kept);
    return text_of(value && value->is_text ? value->value : std::string_view());
  };
  const assay_llm_reply reply{sizeof reply, text("text"), text("finish"), text_of(answer.params)};
  asked.done(asked.user, &reply, nullptr);
}

void Session::fail_completion(const Asked& asked, ErrorKind kind, std::string_view message) {
  assay_outcome outcome{};
  outcome.size = sizeof outcome;
  outcome.verdict = ASSAY_ERRORED;
  outcome.reason = text_of(message);
  outcome.kind = text_of(to_string(kind));
  asked.done(asked.user, nullptr, &outcome);
}

/// Those of `call`: nobody waits for their answers any more.
void Session::fail_completions(const assay_call* call) {
  std::vector<Asked> over;
  std::erase_if(asked_, [&](const auto& entry) {
    if (entry.second.call != call) return false;
    over.push_back(entry.second);
    return true;
  });
  for (const Asked& asked : over) fail_completion(asked, ErrorKind::cancelled, "the evaluation is over");
}

void Session::settle() {
  std::vector<Posted> taken;
  abandon_late();
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      taken.swap(posted_);
    }
    if (taken.empty()) return;
    for (Posted& posted : taken) {
      if (posted.asked)
        ask(posted);
      else
        answer(*posted.call, std::move(posted.answer));
    }
    taken.clear();
  }
}

void Session::answer(assay_call& call, wire::Answer answer) {
  if (!asked_.empty()) fail_completions(&call);
  if (call.is_abandoned) {
    std::erase_if(abandoned_, [&](const auto& abandoned) { return abandoned.get() == &call; });
    return;
  }
  const auto now = Clock::now();
  const Used used = used_so_far();
  answer.wall = std::chrono::duration_cast<std::chrono::microseconds>(now - call.began);
  answer.cpu = used.cpu - std::exchange(used_, used).cpu;
  answer.memory_bytes = used.memory_bytes;
  used_at_ = now;
  {
    const std::lock_guard lock(mutex_);
    if (call.has_log) answer.log = call.log.text();
  }
  append_answer(out_, call.id, answer);
  late_.erase(call.id);
  const auto found = calls_.find(call.id);
  watch_->note(calls_.size() - 1, used.cpu);
  calls_.erase(found);
}

/// Answers for what was cancelled long ago. The plugin may still hold the call, so it stays.
void Session::abandon_late() {
  if (late_.empty()) return;
  const auto now = Clock::now();
  for (auto entry = late_.begin(); entry != late_.end();) {
    if (entry->second > now) {
      ++entry;
      continue;
    }
    const auto found = calls_.find(entry->first);
    entry = late_.erase(entry);
    wire::Answer given_up;
    given_up.error = Error{ErrorKind::timeout, "the evaluator does not give up what is cancelled"};
    append_answer(out_, found->first, given_up);
    found->second->is_abandoned = true;
    abandoned_.push_back(std::move(found->second));
    calls_.erase(found);
    watch_->note(calls_.size(), used_.cpu);
  }
}

void Session::ask(Posted& posted) {
  const Asked& asked = *posted.asked;
  if (posted.call->is_cancelled)
    return fail_completion(asked, ErrorKind::cancelled, "the evaluation is over");
  if (posted.request.size() > wire::kCallLimit || !is_object(posted.request))
    return fail_completion(asked, ErrorKind::config,
                           "the request for a completion is no JSON object of 4 MiB at most");
  const int64_t id = next_asked_++;
  asked_.emplace_hint(asked_.end(), id, asked);
  wire::append_call(
      out_, id, "llm.complete",
      R"({"evaluation":)" + std::to_string(posted.call->id) + R"(,"request":)" + posted.request + '}');
}

// ---- what the plugin calls ----

void Session::post(Posted posted) {
  const std::lock_guard lock(mutex_);
  const bool must_wake = posted_.empty() && std::this_thread::get_id() != host_thread_;
  posted_.push_back(std::move(posted));
  const uint64_t one = 1;
  if (must_wake) (void)!write(wake_fd_, &one, sizeof one);
}

const void* Session::service(const assay_host*, const char* name) {
  static constexpr assay_json_service kJson{sizeof(assay_json_service), read_item, read_param};
  static constexpr assay_log_service kLog{sizeof(assay_log_service), write_log};
  static constexpr assay_llm_service kLlm{sizeof(assay_llm_service), complete};
  const std::string_view wanted(name);
  if (wanted == ASSAY_SERVICE_JSON) return &kJson;
  if (wanted == ASSAY_SERVICE_LOG) return &kLog;
  if (wanted == ASSAY_SERVICE_LLM) return &kLlm;
  return nullptr;
}

void Session::done(assay_call* call, const assay_outcome* outcome) {
  Session& session = of(call);
  session.post({call, to_answer(outcome, session.limits_.result_bytes), {}, {}});
}

int32_t Session::cancelled(const assay_call* call) {
  return call->is_cancelled ? 1 : 0;
}

int32_t Session::read_item(assay_call* call, assay_text path, assay_text* value) {
  return give(look_up_item(call->item, view_of(path), call->values), value);
}

int32_t Session::read_param(const assay_host* host, assay_text path, assay_text* value) {
  auto& session = *const_cast<Session*>(static_cast<const Session*>(host));  // made as one, never const
  return give(look_up(session.params_, view_of(path), session.param_values_), value);
}

void Session::write_log(assay_call* call, assay_text line) {
  Session& session = of(call);
  const std::lock_guard lock(session.mutex_);
  if (!std::exchange(call->has_log, true)) call->log.start(session.limits_.log_bytes);
  call->log.append(view_of(line));
  call->log.append("\n");
}

void Session::complete(assay_call* call, assay_text request, assay_llm_done done, void* user) {
  of(call).post({call, {}, Asked{call, done, user}, std::string(view_of(request))});
}

}  // namespace assay::sandbox::plugin
