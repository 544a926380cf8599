#include "core/outcome.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

namespace assay {
namespace {

using std::chrono::microseconds;

Result<int64_t> whole(const Json& json, const char* key, int64_t fallback, int64_t limit) {
  const auto it = json.find(key);
  if (it == json.end()) return fallback;
  if (!it->is_number_integer()) return fail(ErrorKind::config, std::string(key) + " must be a whole number");
  if (it->is_number_unsigned() && it->get<uint64_t>() > static_cast<uint64_t>(limit))
    return fail(ErrorKind::config, std::string(key) + " is too large");
  const auto value = it->get<int64_t>();
  if (value < 0 || value > limit) return fail(ErrorKind::config, std::string(key) + " is out of range");
  return value;
}

Result<std::string> text(const Json& json, const char* key) {
  const auto it = json.find(key);
  if (it == json.end()) return std::string();
  if (!it->is_string()) return fail(ErrorKind::config, std::string(key) + " must be a string");
  return it->get<std::string>();
}

Result<OutcomeId> id_from(const Json& json) {
  constexpr int64_t kSmall = std::numeric_limits<int>::max();
  if (!json.contains("item")) return fail(ErrorKind::config, "item is missing");
  ASSAY_TRY(const auto item, whole(json, "item", 0, int64_t{1} << 53));
  ASSAY_TRY(const auto model, whole(json, "model", 0, kSmall));
  ASSAY_TRY(const auto evaluator, whole(json, "evaluator", 0, kSmall));
  ASSAY_TRY(const auto trial, whole(json, "trial", 0, kSmall));
  return OutcomeId{item, static_cast<int>(model), static_cast<int>(evaluator), static_cast<int>(trial)};
}

constexpr int64_t kMany = int64_t{1} << 53;

struct CountOfUse {
  const char* name;
  int64_t ModelUse::* count;
};
constexpr std::array<CountOfUse, 8> kCountsOfUse = {{
    {"calls", &ModelUse::calls},
    {"from_cache", &ModelUse::from_cache},
    {"input_tokens", &ModelUse::input_tokens},
    {"cached_tokens", &ModelUse::cached_tokens},
    {"output_tokens", &ModelUse::output_tokens},
    {"reasoning_tokens", &ModelUse::reasoning_tokens},
    {"unpriced", &ModelUse::unpriced},
    {"estimated", &ModelUse::estimated},
}};

Result<ModelUse> model_use_from(const Json& usage) {
  ModelUse use;
  const auto it = usage.find("models");
  if (it == usage.end()) return use;
  if (!it->is_object()) return fail(ErrorKind::config, "usage.models must be an object");
  for (const auto& [name, count] : kCountsOfUse) {
    ASSAY_TRY(use.*count, whole(*it, name, 0, kMany));
  }
  const auto cost = it->find("cost");
  if (cost == it->end()) return use;
  constexpr double kMostDollars = 9e6;  // in nano-dollars a double holds them to the last one
  if (!cost->is_number() || !(cost->get<double>() >= 0 && cost->get<double>() <= kMostDollars))
    return fail(ErrorKind::config, "usage.models.cost must be a number from 0 to 9000000");
  use.nano_dollars = std::llround(cost->get<double>() * 1e9);
  return use;
}

Result<Usage> usage_from(const Json& json) {
  Usage usage;
  const auto it = json.find("usage");
  if (it == json.end()) return usage;
  if (!it->is_object()) return fail(ErrorKind::config, "usage must be an object");
  ASSAY_TRY(const auto wall, whole(*it, "wall_us", 0, int64_t{1} << 53));
  ASSAY_TRY(const auto cpu, whole(*it, "cpu_us", 0, int64_t{1} << 53));
  ASSAY_TRY(const auto memory, whole(*it, "memory_bytes", 0, int64_t{1} << 53));
  ASSAY_TRY(usage.method, text(*it, "method"));
  ASSAY_TRY(usage.models, model_use_from(*it));
  usage.wall = microseconds(wall);
  usage.cpu = microseconds(cpu);
  usage.memory_bytes = static_cast<uint64_t>(memory);
  return usage;
}

Result<void> read_score(const Json& json, Outcome& outcome) {
  const Json& score = json["score"];
  if (!score.is_number() || !std::isfinite(score.get<double>()))
    return fail(ErrorKind::config, "score must be a finite number");
  outcome.verdict = Verdict::scored;
  outcome.score = score.get<double>();
  if (const auto it = json.find("passed"); it != json.end() && !it->is_null()) {
    if (!it->is_boolean()) return fail(ErrorKind::config, "passed must be true, false or null");
    outcome.passed = it->get<bool>();
  }
  if (const auto it = json.find("metrics"); it != json.end()) {
    if (!it->is_object()) return fail(ErrorKind::config, "metrics must be an object of numbers");
    for (const auto& [name, value] : it->items()) {
      if (!value.is_number() || !std::isfinite(value.get<double>()))
        return fail(ErrorKind::config, "metrics." + name + " must be a finite number");
      outcome.metrics.emplace_back(name, value.get<double>());
    }
  }
  return {};
}

}  // namespace

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::scored:
      return "scored";
    case Verdict::errored:
      return "errored";
    case Verdict::skipped:
      return "skipped";
    case Verdict::generated:
      return "generated";
  }
  return "errored";
}

Outcome Outcome::scored(double score) {
  Outcome outcome;
  outcome.verdict = Verdict::scored;
  outcome.score = score;
  return outcome;
}

Outcome Outcome::errored(ErrorKind kind, std::string message) {
  Outcome outcome;
  outcome.error = Error{kind, std::move(message)};
  return outcome;
}

Outcome Outcome::skipped(std::string reason) {
  Outcome outcome;
  outcome.verdict = Verdict::skipped;
  outcome.reason = std::move(reason);
  return outcome;
}

Outcome Outcome::generated(std::string output) {
  Outcome outcome;
  outcome.verdict = Verdict::generated;
  outcome.output = std::move(output);
  return outcome;
}

ModelUse& ModelUse::operator+=(const ModelUse& other) {
  for (const auto& [name, count] : kCountsOfUse) this->*count += other.*count;
  nano_dollars += other.nano_dollars;
  return *this;
}

void append_model_use(std::string& out, const ModelUse& use) {
  out += "{\"calls\":" + std::to_string(use.calls);
  for (const auto& [name, count] : kCountsOfUse)
    if (count != &ModelUse::calls && use.*count != 0)
      out += ",\"" + std::string(name) + "\":" + std::to_string(use.*count);
  if (use.nano_dollars != 0) {
    out += ",\"cost\":";
    append_json_number(out, static_cast<double>(use.nano_dollars) / 1e9);
  }
  out += '}';
}

void apply_threshold(Outcome& outcome, std::optional<double> pass_threshold) {
  if (outcome.verdict != Verdict::scored || outcome.passed || !pass_threshold) return;
  outcome.passed = outcome.score >= *pass_threshold;
}

void append_outcome_json(std::string& out, const OutcomeId& id, const Outcome& outcome) {
  const auto number = [&](const char* key, int64_t value) {
    out += key;
    out += std::to_string(value);
  };
  number("{\"item\":", id.item);
  if (id.model != 0) number(",\"model\":", id.model);
  if (id.evaluator != 0) number(",\"evaluator\":", id.evaluator);
  if (id.trial != 0) number(",\"trial\":", id.trial);
  switch (outcome.verdict) {
    case Verdict::scored:
      out += ",\"score\":";
      append_json_number(out, outcome.score);
      if (outcome.passed) out += *outcome.passed ? ",\"passed\":true" : ",\"passed\":false";
      if (!outcome.reason.empty()) {
        out += ",\"reason\":";
        append_json_quote(out, outcome.reason);
      }
      if (!outcome.metrics.empty()) {
        char separator = '{';
        out += ",\"metrics\":";
        for (const auto& [name, value] : outcome.metrics) {
          out += separator;
          append_json_quote(out, name);
          out += ':';
          append_json_number(out, value);
          separator = ',';
        }
        out += '}';
      }
      break;
    case Verdict::errored:
      out += ",\"error\":{\"kind\":\"";
      out += to_string(outcome.error.kind);
      out += "\",\"message\":";
      append_json_quote(out, outcome.error.message);
      out += '}';
      break;
    case Verdict::skipped:
      out += ",\"skipped\":";
      append_json_quote(out, outcome.reason);
      break;
    case Verdict::generated:
      out += ",\"output\":";
      append_json_quote(out, outcome.output);
      if (!outcome.reason.empty()) {
        out += ",\"reason\":";
        append_json_quote(out, outcome.reason);
      }
      break;
  }
  if (!outcome.generation.empty()) {
    out += ",\"generation\":";
    append_json_quote(out, outcome.generation);
  }
  if (!outcome.log.empty()) {
    out += ",\"log\":";
    append_json_quote(out, outcome.log);
  }
  number(",\"usage\":{\"wall_us\":", outcome.usage.wall.count());
  number(",\"cpu_us\":", outcome.usage.cpu.count());
  number(",\"memory_bytes\":", static_cast<int64_t>(outcome.usage.memory_bytes));
  if (!outcome.usage.method.empty()) {
    out += ",\"method\":";
    append_json_quote(out, outcome.usage.method);
  }
  if (outcome.usage.models.calls > 0) {
    out += ",\"models\":";
    append_model_use(out, outcome.usage.models);
  }
  out += "}}";
}

Result<OutcomeRow> outcome_from_json(const Json& json) {
  if (!json.is_object()) return fail(ErrorKind::config, "an outcome must be an object");
  OutcomeRow row;
  ASSAY_TRY(row.id, id_from(json));
  const int said =
      json.contains("score") + json.contains("error") + json.contains("skipped") + json.contains("output");
  if (said != 1)
    return fail(ErrorKind::config, "an outcome has exactly one of score, error, skipped, output");
  if (json.contains("score")) {
    ASSAY_OK(read_score(json, row.outcome));
    ASSAY_TRY(row.outcome.reason, text(json, "reason"));
  } else if (json.contains("error")) {
    const Json& error = json["error"];
    if (!error.is_object()) return fail(ErrorKind::config, "error must be an object");
    ASSAY_TRY(const auto kind, text(error, "kind"));
    ASSAY_TRY(auto message, text(error, "message"));
    row.outcome = Outcome::errored(error_kind_from(kind), std::move(message));
  } else if (json.contains("output")) {
    ASSAY_TRY(auto output, text(json, "output"));
    row.outcome = Outcome::generated(std::move(output));
    ASSAY_TRY(row.outcome.reason, text(json, "reason"));
  } else {
    ASSAY_TRY(auto reason, text(json, "skipped"));
    row.outcome = Outcome::skipped(std::move(reason));
  }
  ASSAY_TRY(row.outcome.generation, text(json, "generation"));
  ASSAY_TRY(row.outcome.log, text(json, "log"));
  ASSAY_TRY(row.outcome.usage, usage_from(json));
  return row;
}

}  // namespace assay
