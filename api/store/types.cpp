#include "api/store/types.hpp"

#include <algorithm>

#include "api/json_text.hpp"
#include "api/store/lease.hpp"
#include "core/json.hpp"

namespace assay::api {

bool Access::sees(int64_t container) const {
  return containers.empty() || std::ranges::find(containers, container) != containers.end();
}

std::string key_id_of(std::string_view sha256) {
  return "key_" + std::string(sha256.substr(0, 12));
}

std::string_view to_string(RunStatus status) {
  switch (status) {
    case RunStatus::queued:
      return "queued";
    case RunStatus::running:
    case RunStatus::finalizing:
      return "running";
    case RunStatus::completed:
      return "completed";
    case RunStatus::error:
      return "error";
    case RunStatus::cancelled:
      return "cancelled";
  }
  return "error";
}

std::string_view to_string(LeaseVerdict verdict) {
  switch (verdict) {
    case LeaseVerdict::ok:
      return "ok";
    case LeaseVerdict::cancel:
      return "cancel";
    case LeaseVerdict::lost:
      return "lost";
    case LeaseVerdict::done:
      return "done";
    case LeaseVerdict::pause:
      return "pause";
  }
  return "lost";
}

namespace {

void append_payload(std::string& out, const Outcome& outcome) {
  JsonObject members(out);
  if (outcome.verdict == Verdict::generated) members.text("output", outcome.output);
  members.maybe_text(outcome.verdict == Verdict::skipped ? "skipped" : "reason", outcome.reason);
  if (!outcome.metrics.empty()) {
    JsonObject metrics(members.key("metrics"));
    for (const auto& [name, value] : outcome.metrics) append_json_number(metrics.key(name), value);
  }
  if (outcome.verdict == Verdict::errored) {
    JsonObject error(members.key("error"));
    error.text("kind", to_string(outcome.error.kind));
    error.text("message", outcome.error.message);
  }
  members.maybe_text("log", outcome.log);
  JsonObject usage(members.key("usage"));
  usage.number("wall_us", outcome.usage.wall.count());
  usage.number("cpu_us", outcome.usage.cpu.count());
  usage.number("memory_bytes", static_cast<int64_t>(outcome.usage.memory_bytes));
  usage.maybe_text("method", outcome.usage.method);
  if (outcome.usage.models.calls > 0) append_model_use(usage.key("models"), outcome.usage.models);
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
  stored.models = outcome.usage.models;
  stored.generation = outcome.generation;
  stored.payload_begin = payloads.size();
  append_payload(payloads, outcome);
  stored.payload_size = payloads.size() - stored.payload_begin;
  rows.push_back(stored);
}

}  // namespace assay::api
