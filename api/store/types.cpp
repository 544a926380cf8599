#include "api/store/types.hpp"

#include "api/store/lease.hpp"
#include "core/check.hpp"
#include "core/json.hpp"

namespace assay::api {

std::string_view to_string(RunStatus status) {
  switch (status) {
    case RunStatus::queued: return "queued";
    case RunStatus::running:
    case RunStatus::finalizing: return "running";
    case RunStatus::completed: return "completed";
    case RunStatus::error: return "error";
    case RunStatus::cancelled: return "cancelled";
  }
  return "error";
}

std::string_view to_string(LeaseVerdict verdict) {
  switch (verdict) {
    case LeaseVerdict::ok: return "ok";
    case LeaseVerdict::cancel: return "cancel";
    case LeaseVerdict::lost: return "lost";
    case LeaseVerdict::done: return "done";
  }
  return "lost";
}

namespace {

class Members {
 public:
  explicit Members(std::string& out) : out_(out) { out_ += '{'; }
  ~Members() { out_ += '}'; }
  Members(const Members&) = delete;
  Members& operator=(const Members&) = delete;

  std::string& key(std::string_view name) {
    if (!std::exchange(first_, false)) out_ += ',';
    append_json_quote(out_, name);
    out_ += ':';
    return out_;
  }
  void text(std::string_view name, std::string_view value) {
    if (!value.empty()) append_json_quote(key(name), value);
  }
  void number(std::string_view name, int64_t value) { key(name) += std::to_string(value); }

 private:
  std::string& out_;
  bool first_ = true;
};

void append_payload(std::string& out, const Outcome& outcome) {
  Members members(out);
  members.text(outcome.verdict == Verdict::skipped ? "skipped" : "reason", outcome.reason);
  if (!outcome.metrics.empty()) {
    Members metrics(members.key("metrics"));
    for (const auto& [name, value] : outcome.metrics) append_json_number(metrics.key(name), value);
  }
  if (outcome.verdict == Verdict::errored) {
    Members error(members.key("error"));
    error.text("kind", to_string(outcome.error.kind));
    append_json_quote(error.key("message"), outcome.error.message);
  }
  members.text("log", outcome.log);
  Members usage(members.key("usage"));
  usage.number("wall_us", outcome.usage.wall.count());
  usage.number("cpu_us", outcome.usage.cpu.count());
  usage.number("memory_bytes", static_cast<int64_t>(outcome.usage.memory_bytes));
  usage.text("method", outcome.usage.method);
}

}  // namespace

void OutcomeBatch::add(const OutcomeRow& row) {
  const Outcome& outcome = row.outcome;
  Row stored;
  stored.id = row.id;
  stored.verdict = outcome.verdict;
  if (outcome.verdict == Verdict::errored) stored.kind = to_string(outcome.error.kind);
  stored.score = outcome.score;
  stored.passed = outcome.passed;
  stored.wall_us = outcome.usage.wall.count();
  stored.payload_begin = payloads.size();
  append_payload(payloads, outcome);
  stored.payload_size = payloads.size() - stored.payload_begin;
  rows.push_back(stored);
}

}  // namespace assay::api
