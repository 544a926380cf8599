// Reading the body of a request for a run.
#include <array>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "api/fields.hpp"
#include "api/planner.hpp"

namespace assay::api {
namespace {

constexpr int64_t kMaxRows = int64_t{1} << 40;

/// "2026-11-21", "2026-11-21T10:05:00Z", "…00.250Z"; UTC only.
std::optional<int64_t> parse_time(const std::string& text) {
  std::tm parts{};
  int read = 0;
  double seconds = 0;
  if (std::sscanf(text.c_str(), "%4d-%2d-%2d%n", &parts.tm_year, &parts.tm_mon, &parts.tm_mday, &read) != 3)
    return std::nullopt;
  if (static_cast<size_t>(read) != text.size()) {
    int more = 0;
    char zone = 0;
    const char* rest = text.c_str() + read;
    if (std::sscanf(rest, "T%2d:%2d:%lf%c%n", &parts.tm_hour, &parts.tm_min, &seconds, &zone, &more) != 4 ||
        zone != 'Z' || rest[more] != '\0' || seconds < 0 || seconds >= 61)
      return std::nullopt;
  }
  if (parts.tm_mon < 1 || parts.tm_mon > 12 || parts.tm_mday < 1 || parts.tm_mday > 31 ||
      parts.tm_hour > 23 || parts.tm_min > 59)
    return std::nullopt;
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  return static_cast<int64_t>(::timegm(&parts)) * 1000 + static_cast<int64_t>(seconds * 1000);
}

std::optional<int64_t> read_time(Fields& fields, std::string_view key) {
  const auto text = fields.maybe_text(key, 64);
  if (!text) return std::nullopt;
  const auto time = parse_time(*text);
  if (!time) fields.fault(key, "must be a time such as 2026-11-21T10:05:00Z");
  return time;
}

void read_columns(Fields& fields, SourceRequest& source) {
  const Json* columns = fields.maybe_object("columns");
  if (columns == nullptr) return;
  Fields inner(*columns, fields.path("columns"));
  source.input = inner.maybe_text("input", kLabelLength);
  source.output = inner.maybe_text("output", kLabelLength);
  fields.absorb(inner);
}

std::optional<SourceRequest> read_source(Fields& body, std::string_view key) {
  const Json* json = body.maybe_object(key);
  if (json == nullptr) return std::nullopt;
  Fields fields(*json, body.path(key));
  SourceRequest source;
  const auto type = fields.word("type", {"dataset", "container", "generate"});
  if (type == "generate") {
    source.type = SourceRequest::Type::generate;
    for (const auto* known : {"models", "prompt", "inference_params"}) fields.know(known);
  } else if (type == "dataset") {
    source.type = SourceRequest::Type::dataset;
    source.name = fields.text("dataset", kLabelLength);
    read_columns(fields, source);
    source.join = fields.maybe_text("join", kLabelLength);
    source.offset = fields.maybe_integer("offset", 0, kMaxRows).value_or(0);
    source.limit = fields.maybe_integer("limit", 1, kMaxRows);
    source.shuffle_seed = fields.maybe_integer("shuffle_seed", 0, INT64_MAX);
  } else if (type == "container") {
    source.name = fields.maybe_text("container", kLabelLength);
    source.join = fields.maybe_text("join", kLabelLength);
    source.since = read_time(fields, "since");
    source.until = read_time(fields, "until");
    source.limit = fields.maybe_integer("limit", 1, kMaxRows);
  } else {
    return source;  // the fault of `type` is enough: without it no field can be judged
  }
  body.absorb(fields);
  return source;
}

}  // namespace

Answer<RunRequest> run_request_from(const Json& json) {
  Fields body(json);
  RunRequest request;
  request.source_run = body.maybe_text("source_run", kLabelLength);
  request.container = request.source_run ? "" : body.text("container", kLabelLength);
  body.array("evaluators", 64);
  request.evaluators = body.maybe_texts("evaluators", 64);
  if (const Json* list = body.maybe_array("evaluators", 64); list != nullptr && list->empty())
    body.fault("evaluators", "must name at least one evaluator");
  request.sample = read_source(body, "sample");
  request.ground_truth = read_source(body, "ground_truth");
  request.metadata = body.object_text("metadata");
  request.environment = body.maybe_text("environment", kLabelLength).value_or("main");
  request.trials = body.maybe_integer("trials", 1, 100).value_or(1);
  request.priority = body.maybe_integer("priority", -100, 100).value_or(0);
  request.required = body.maybe_texts("labels", 64);
  request.shard_size = body.maybe_integer("shard_size", 1, 10'000);
  const auto mode = body.word("mode", {"pointwise", "pairwise"}, "pointwise");
  ASSAY_OK(body.done());
  if (mode == "pairwise") return not_implemented("mode", "this build does not evaluate pairwise yet");
  if (request.source_run) {
    for (const auto* key : {"container", "sample", "ground_truth", "trials"})
      if (body.has(key))
        return invalid(key, "a run with source_run has the items of that run: leave this out");
  } else if (!request.sample && !request.ground_truth) {
    return invalid("sample", "sample and ground_truth are both missing: give at least one");
  }
  request.config = dump_json(json);
  return request;
}

}  // namespace assay::api
