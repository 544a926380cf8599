#include "sandbox/runtime/answer.hpp"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "core/json.hpp"
#include "sandbox/runtime/language.hpp"
#include "sandbox/runtime/wire/frames.hpp"

namespace assay::sandbox {
namespace {

namespace dom = simdjson::dom;

constexpr size_t kHeader = 4;
constexpr size_t kMessageBytes = 64U << 10;
constexpr size_t kDepth = 80;  // a model call holds schemas
constexpr std::array<std::string_view, 3> kMethods = {"rusage", "cgroup1", "cgroup2"};
constexpr uint64_t kMostConcurrent = 4'096;
constexpr uint64_t kCandidateMs = 600'000;
constexpr uint64_t kCandidateBytes = 4ULL << 30;
constexpr uint64_t kLargestUsage = uint64_t{1} << 53;

// What a host may say of an evaluation: `transport` and the judge's kinds are not its to use. `internal` is
// tried again a bounded number of times.
constexpr std::array kHostKinds = {
    ErrorKind::evaluator_error, ErrorKind::bad_result,   ErrorKind::timeout,    ErrorKind::cpu_limit,
    ErrorKind::memory_limit,    ErrorKind::output_limit, ErrorKind::pids_limit, ErrorKind::policy_violation,
    ErrorKind::crashed,         ErrorKind::config,       ErrorKind::internal};

// What one may say beside that whose evaluator asks models.
constexpr std::array kModelKinds = {ErrorKind::judge_refusal,
                                    ErrorKind::judge_truncated,
                                    ErrorKind::judge_parse,
                                    ErrorKind::judge_off_menu,
                                    ErrorKind::auth,
                                    ErrorKind::billing,
                                    ErrorKind::context_too_long,
                                    ErrorKind::content_filter,
                                    ErrorKind::model_not_found,
                                    ErrorKind::rate_limited,
                                    ErrorKind::transport};

/// The text at `key`, empty when there is none; false when it is something else.
bool read_text(const dom::object& object, std::string_view key, std::string& text) {
  dom::element value;
  if (object[key].get(value) != simdjson::SUCCESS) return true;
  std::string_view view;
  if (value.get(view) != simdjson::SUCCESS) return false;
  text = view;
  return true;
}

bool read_usage(const dom::object& object, Usage& usage) {
  dom::object values;
  if (object["usage"].get(values) != simdjson::SUCCESS) return false;
  uint64_t wall = 0, cpu = 0, memory = 0;
  if (values["wall_us"].get(wall) != simdjson::SUCCESS || values["cpu_us"].get(cpu) != simdjson::SUCCESS ||
      values["memory_bytes"].get(memory) != simdjson::SUCCESS)
    return false;
  usage.wall = std::chrono::microseconds(std::min(wall, kLargestUsage));
  usage.cpu = std::chrono::microseconds(std::min(cpu, kLargestUsage));
  usage.memory_bytes = std::min(memory, kLargestUsage);
  std::string_view method;
  if (values["method"].get(method) != simdjson::SUCCESS ||
      std::ranges::find(kMethods, method) == kMethods.end())
    return false;
  usage.method = method;
  return true;
}

bool read_metrics(const dom::object& result, Outcome& outcome) {
  dom::element value;
  if (result["metrics"].get(value) != simdjson::SUCCESS) return true;
  dom::object metrics;
  if (value.get(metrics) != simdjson::SUCCESS) return false;
  for (const auto [name, metric] : metrics) {
    double number = 0;
    if (metric.get(number) != simdjson::SUCCESS || !std::isfinite(number)) return false;
    outcome.metrics.emplace_back(name, number);
  }
  // Names that were not UTF-8 may have become the same.
  std::ranges::sort(outcome.metrics, {}, &std::pair<std::string, double>::first);
  const auto twice = std::ranges::adjacent_find(outcome.metrics, {}, &std::pair<std::string, double>::first);
  if (twice != outcome.metrics.end())
    outcome = Outcome::errored(ErrorKind::bad_result, "two of the metrics have the name " + twice->first);
  return true;
}

/// What initialize is answered with, or that the evaluator has skipped the item.
bool read_scoreless(const dom::object& result, HostAnswer& answer) {
  bool skipped = false;
  if (result["skipped"].get(skipped) == simdjson::SUCCESS && skipped) {
    answer.has_outcome = true;
    answer.outcome = Outcome::skipped({});
    return read_text(result, "reason", answer.outcome.reason) &&
           read_text(result, "log", answer.outcome.log) && read_usage(result, answer.outcome.usage);
  }
  uint64_t concurrent = 1;
  dom::element value;
  if (result["concurrent"].get(value) == simdjson::SUCCESS &&
      (value.get(concurrent) != simdjson::SUCCESS || concurrent == 0 || concurrent > kMostConcurrent))
    return false;
  answer.concurrent = concurrent;
  return read_text(result, "description", answer.description);
}

bool read_result(const dom::object& result, HostAnswer& answer) {
  double score = 0;
  const auto found = result["score"].get(score);
  if (found == simdjson::NO_SUCH_FIELD) return read_scoreless(result, answer);
  if (found != simdjson::SUCCESS || !std::isfinite(score)) return false;
  answer.has_outcome = true;
  answer.outcome = Outcome::scored(score);
  dom::element passed;
  if (result["passed"].get(passed) == simdjson::SUCCESS) {
    bool value = false;
    if (passed.get(value) != simdjson::SUCCESS) return false;
    answer.outcome.passed = value;
  }
  return read_text(result, "reason", answer.outcome.reason) && read_metrics(result, answer.outcome) &&
         read_text(result, "log", answer.outcome.log) && read_usage(result, answer.outcome.usage);
}

bool read_error(const dom::object& error, bool may_ask_models, HostAnswer& answer) {
  std::string message;
  std::string_view name;
  dom::object data;
  if (!read_text(error, "message", message) || error["data"].get(data) != simdjson::SUCCESS ||
      data["kind"].get(name) != simdjson::SUCCESS)
    return false;
  const ErrorKind kind = error_kind_from(name);
  const bool known = to_string(kind) == name;
  const bool may_say =
      std::ranges::find(kHostKinds, kind) != kHostKinds.end() || (may_ask_models && is_of_models(kind));
  if (!known || !may_say) return false;
  answer.has_outcome = true;
  answer.outcome = Outcome::errored(kind, std::move(message));
  read_usage(data, answer.outcome.usage);  // the error of initialize has none
  return read_text(data, "log", answer.outcome.log);
}

/// The limits that `values` names, within what a candidate may have.
bool read_candidate_limits(const dom::object& values, Limits& limits) {
  const auto read = [&](const char* key, uint64_t most, auto set) {
    dom::element value;
    if (values[key].get(value) != simdjson::SUCCESS) return true;
    uint64_t number = 0;
    if (value.get(number) != simdjson::SUCCESS || number == 0) return false;
    set(std::min(number, most));
    return true;
  };
  return read("wall_ms", kCandidateMs, [&](uint64_t ms) { limits.wall = std::chrono::milliseconds(ms); }) &&
         read("cpu_ms", kCandidateMs, [&](uint64_t ms) { limits.cpu = std::chrono::milliseconds(ms); }) &&
         read("memory_bytes", kCandidateBytes, [&](uint64_t bytes) { limits.memory_bytes = bytes; });
}

std::optional<Candidate> read_candidate(const dom::object& params) {
  Candidate candidate;
  candidate.limits = {.wall = std::chrono::seconds(5),
                      .cpu = std::chrono::seconds(5),
                      .memory_bytes = language_named(kCandidate)->memory_bytes};
  dom::element limits;
  dom::object values;
  if (params["limits"].get(limits) == simdjson::SUCCESS &&
      (limits.get(values) != simdjson::SUCCESS || !read_candidate_limits(values, candidate.limits)))
    return std::nullopt;
  candidate.item = simdjson::minify(params);
  return candidate;
}

std::optional<ModelCall> read_model_call(const dom::object& params) {
  ModelCall call;
  dom::object request;
  if (params["evaluation"].get(call.evaluation) != simdjson::SUCCESS ||
      params["request"].get(request) != simdjson::SUCCESS)
    return std::nullopt;
  call.request = simdjson::minify(request);
  return call;
}

/// False when there is no such call.
bool read_call(std::string_view method, const dom::object& params, HostAnswer& answer) {
  if (method == "run_candidate") answer.candidate = read_candidate(params);
  if (method == "llm.complete") answer.model_call = read_model_call(params);
  return answer.candidate || answer.model_call;
}

void start_frame(std::string& out, int64_t id, std::string_view method) {
  out.append(kHeader, '\0');
  out += R"({"jsonrpc":"2.0","id":)";
  out += std::to_string(id);
  out += R"(,"method":")";
  out += method;
  out += R"(","params":{)";
}

void finish_frame(std::string& out, size_t start, std::string_view closing = "}}") {
  out += closing;
  const size_t size = out.size() - start - kHeader;
  for (size_t i = 0; i < kHeader; i++) out[start + i] = static_cast<char>(size >> (8 * i) & 0xFF);
}

}  // namespace

size_t answer_limit(const Limits& limits) {
  // A byte takes six at most as JSON ("\u0000").
  return std::max(6 * (limits.result_bytes + 2 * limits.log_bytes + kMessageBytes),
                  wire::kCallLimit + kMessageBytes);
}

bool is_of_models(ErrorKind kind) {
  return std::ranges::find(kModelKinds, kind) != kModelKinds.end();
}

void FrameBuffer::append(std::string_view bytes) {
  if (begin_ == bytes_.size()) {
    bytes_.clear();
  } else if (begin_ > 0) {
    bytes_.erase(0, begin_);
  }
  begin_ = 0;
  bytes_.append(bytes);
}

std::optional<std::string_view> FrameBuffer::next() {
  const std::string_view left = std::string_view(bytes_).substr(begin_);
  if (broken_ || left.size() < kHeader) return std::nullopt;
  size_t size = 0;
  for (size_t i = 0; i < kHeader; i++) size |= size_t{static_cast<unsigned char>(left[i])} << (8 * i);
  broken_ = size == 0 || size > limit_bytes_;
  if (broken_ || left.size() - kHeader < size) return std::nullopt;
  begin_ += kHeader + size;
  return left.substr(kHeader, size);
}

struct AnswerParser::Impl {
  explicit Impl(bool may_ask_models_) : may_ask_models(may_ask_models_) {}
  bool may_ask_models;
  dom::parser parser;
};

AnswerParser::AnswerParser(bool may_ask_models) : impl_(std::make_unique<Impl>(may_ask_models)) {}
AnswerParser::~AnswerParser() = default;

std::optional<HostAnswer> AnswerParser::parse(std::string_view frame) {
  auto& parser = impl_->parser;
  if (parser.capacity() < frame.size() &&
      parser.allocate(std::max<size_t>(4096, frame.size()), kDepth) != simdjson::SUCCESS)
    return std::nullopt;
  dom::object answer;
  if (parser.parse(frame.data(), frame.size()).get(answer) != simdjson::SUCCESS) return std::nullopt;
  HostAnswer parsed;
  dom::object body;
  if (answer["id"].get(parsed.id) != simdjson::SUCCESS) return std::nullopt;
  std::string_view method;
  if (answer["method"].get(method) == simdjson::SUCCESS) {
    if (answer["params"].get(body) != simdjson::SUCCESS || !read_call(method, body, parsed))
      return std::nullopt;
    return parsed;
  }
  const bool good = answer["result"].get(body) == simdjson::SUCCESS ? read_result(body, parsed)
                    : answer["error"].get(body) == simdjson::SUCCESS
                        ? read_error(body, impl_->may_ask_models, parsed)
                        : false;
  if (!good) return std::nullopt;
  return parsed;
}

void append_initialize_request(std::string& out, int64_t id, const Program& program) {
  const size_t start = out.size();
  start_frame(out, id, "initialize");
  out += R"("protocol":1,"evaluator":)";
  append_json_quote(out, program.name);
  out += R"(,"language":)";
  append_json_quote(out, program.language);
  out += R"(,"source":)";
  append_json_quote(out, program.source);
  out += R"(,"grants":[)";
  for (size_t i = 0; i < program.grants.size(); i++) {
    if (i > 0) out += ',';
    append_json_quote(out, program.grants[i]);
  }
  out += ']';
  if (!program.plugin.empty()) {
    out += R"(,"plugin":)";
    append_json_quote(out, program.plugin);
  }
  out += R"(,"isolation":)";
  append_json_quote(out, program.isolation);
  out += R"(,"params":)";
  out += program.params;
  const auto limit = [&](const char* key, auto value) { out += key + std::to_string(value); };
  limit(R"(,"limits":{"wall_ms":)", program.limits.wall.count());
  limit(R"(,"cpu_ms":)", program.limits.cpu.count());
  limit(R"(,"load_ms":)", program.limits.load.count());
  limit(R"(,"memory_bytes":)", program.limits.memory_bytes);
  limit(R"(,"result_bytes":)", program.limits.result_bytes);
  limit(R"(,"log_bytes":)", program.limits.log_bytes);
  out += '}';
  finish_frame(out, start);
}

void append_evaluate_request(std::string& out, int64_t id, std::string_view item) {
  const size_t start = out.size();
  start_frame(out, id, "evaluate");
  out += R"("item":)";
  out += item;
  finish_frame(out, start);
}

void append_cancel(std::string& out, int64_t evaluation) {
  const size_t start = out.size();
  out.append(kHeader, '\0');
  out += R"({"jsonrpc":"2.0","method":"cancel","params":{"evaluation":)";
  out += std::to_string(evaluation);
  finish_frame(out, start);
}

void append_completion(std::string& out, int64_t id, const Result<std::string>& reply) {
  const size_t start = out.size();
  out.append(kHeader, '\0');
  out += R"({"jsonrpc":"2.0","id":)";
  out += std::to_string(id);
  if (reply) {
    out += R"(,"result":)";
    out += *reply;
    return finish_frame(out, start, "}");
  }
  out += R"(,"error":{"code":-32000,"message":)";
  append_json_quote(out, reply.error().message);
  out += R"(,"data":{"kind":)";
  append_json_quote(out, to_string(reply.error().kind));
  finish_frame(out, start, "}}}");
}

void append_candidate_answer(std::string& out, const Outcome& outcome) {
  const size_t start = out.size();
  out.append(kHeader, '\0');
  out += R"({"jsonrpc":"2.0","id":0,"result":{"stderr":)";
  append_json_quote(out, outcome.log);
  const auto number = [&](const char* key, auto value) { out += key + std::to_string(value); };
  number(R"(,"wall_ms":)", static_cast<double>(outcome.usage.wall.count()) / 1000);
  number(R"(,"cpu_ms":)", static_cast<double>(outcome.usage.cpu.count()) / 1000);
  number(R"(,"memory_bytes":)", outcome.usage.memory_bytes);
  if (outcome.verdict == Verdict::scored) {
    number(R"(,"exit_code":)", static_cast<int>(outcome.score));
    out += R"(,"stdout":)";
    append_json_quote(out, outcome.reason);
  } else {
    out += R"(,"stdout":"","error":{"kind":)";
    append_json_quote(out, to_string(outcome.error.kind));
    out += R"(,"message":)";
    append_json_quote(out, outcome.error.message);
    out += '}';
  }
  finish_frame(out, start);
}

}  // namespace assay::sandbox
