// Reading the body of a request for a run.
#include <cmath>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <regex>

#include "api/fields.hpp"
#include "api/planner.hpp"

namespace assay::api {
namespace {

constexpr int64_t kMaxRows = int64_t{1} << 40;
constexpr size_t kMostModels = 16;

/// "2026-11-21", "2026-11-21T10:05:00Z", "…00.250Z"; UTC only.
constexpr const char* kTime = R"(^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01]))"
                              R"((T([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?Z)?$)";

std::optional<int64_t> parse_time(const std::string& text) {
  static const std::regex kShape(kTime);
  if (!std::regex_match(text, kShape)) return std::nullopt;
  std::tm parts{};
  double seconds = 0;
  std::sscanf(text.c_str(), "%d-%d-%dT%d:%d:%lf", &parts.tm_year, &parts.tm_mon, &parts.tm_mday,
              &parts.tm_hour, &parts.tm_min, &seconds);
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  return static_cast<int64_t>(::timegm(&parts)) * 1000 + static_cast<int64_t>(seconds * 1000);
}

std::optional<int64_t> read_time(Fields& fields, std::string_view key) {
  const auto text = fields.maybe_text(key, 64);
  fields.note(key, "pattern", kTime);
  if (!text) return std::nullopt;
  const auto time = parse_time(*text);
  if (!time) fields.fault(key, "must be a time such as 2026-11-21T10:05:00Z");
  return time;
}

void read_dataset(Fields& fields, SourceRequest& source) {
  source.type = SourceRequest::Type::dataset;
  source.name = fields.text("dataset", kLabelLength);
  fields.maybe_object("columns", [&source](Fields& columns) {
    source.input = columns.maybe_text("input", kLabelLength);
    source.output = columns.maybe_text("output", kLabelLength);
  });
  source.join = fields.maybe_text("join", kLabelLength);
  source.offset = fields.integer_or("offset", 0, 0, kMaxRows);
  source.limit = fields.maybe_integer("limit", 1, kMaxRows);
  source.shuffle_seed = fields.maybe_integer("shuffle_seed", 0, INT64_MAX);
}

void read_container(Fields& fields, SourceRequest& source) {
  source.name = fields.maybe_text("container", kLabelLength);
  source.join = fields.maybe_text("join", kLabelLength);
  source.since = read_time(fields, "since");
  source.until = read_time(fields, "until");
  source.limit = fields.maybe_integer("limit", 1, kMaxRows);
}

void read_generate(Fields& fields, SourceRequest& source) {
  source.type = SourceRequest::Type::generate;
  Generation generation;
  generation.models = fields.texts("models", kMostModels);
  fields.note(
      "models", "description",
      "Slugs, such as openai/gpt-4o: several for a sample, which then has a text of each; one for a ground "
      "truth.");
  generation.prompt = fields.maybe_text("prompt");
  fields.note(
      "prompt", "description",
      "A text, or a chat as the text of a JSON array, with {{ variables }} of the other side. Without it the "
      "other side's input is what is asked.");
  generation.inference_params = fields.object_text("inference_params");
  source.generation = std::move(generation);
}

std::optional<SourceRequest> read_source(Fields& body, std::string_view key) {
  SourceRequest source;
  const bool given = body.maybe_object(key, [&source](Fields& fields) {
    fields.by_word("type", {{"dataset", [&source](Fields& f) { read_dataset(f, source); }},
                            {"container", [&source](Fields& f) { read_container(f, source); }},
                            {"generate", [&source](Fields& f) { read_generate(f, source); }}});
  });
  if (!given) return std::nullopt;
  return source;
}

void read_items(Fields& body, RunRequest& request) {
  request.container = body.text("container", kLabelLength);
  body.at_least_one({"sample", "ground_truth"}, "and ground_truth are both missing: give at least one");
  request.sample = read_source(body, "sample");
  request.ground_truth = read_source(body, "ground_truth");
  request.trials = body.integer_or("trials", 1, 1, 100);
}

void read_source_run(Fields& body, RunRequest& request) {
  request.source_run = body.text("source_run", kLabelLength);
  for (const auto* key : {"container", "sample", "ground_truth", "trials"})
    body.absent(key, "is not for a run with source_run, which has the items of that run: leave it out");
}

}  // namespace

/// As nano-dollars.
std::optional<int64_t> read_dollars(Fields& body, std::string_view key) {
  constexpr double kMost = 9e6;
  const auto dollars = body.maybe_number(key);
  body.note(key, "description", "US dollars, more than 0 and at most 9000000. Model calls never cost more.");
  if (!dollars) return std::nullopt;
  if (!(*dollars > 0 && *dollars <= kMost))
    body.fault(key, "must be more than 0 and at most 9000000 dollars");
  return std::llround(*dollars * 1e9);
}

RunRequest read_run(Fields& body) {
  RunRequest request;
  request.evaluators = body.texts("evaluators", 64);
  request.metadata = body.object_text("metadata");
  request.environment = body.maybe_text("environment", kLabelLength).value_or("main");
  body.note("environment", "default", "main");
  request.priority = body.integer_or("priority", 0, -100, 100);
  request.required = body.maybe_texts("labels", 64);
  request.spend_limit = read_dollars(body, "spend_limit");
  request.shard_size = body.maybe_integer("shard_size", 1, 10'000);
  request.mode = body.word("mode", {"pointwise", "pairwise"}, "pointwise");
  body.either(
      "source_run", [&request](Fields& f) { read_source_run(f, request); },
      [&request](Fields& f) { read_items(f, request); });
  return request;
}

Answer<RunRequest> run_request_from(const Json& json) {
  Fields body(json);
  RunRequest request = read_run(body);
  ASSAY_OK(body.done());
  if (request.mode == "pairwise") return not_implemented("mode", "this build does not evaluate pairwise yet");
  request.config = dump_json(json);
  return request;
}

}  // namespace assay::api
