#include "sandbox/runtime/plugin/answer.hpp"

#include <algorithm>
#include <cmath>

#include "sandbox/runtime/wire/json_reader.hpp"

namespace assay::sandbox::plugin {
namespace {

wire::Answer failed(ErrorKind kind, std::string message) {
  wire::Answer answer;
  answer.error = Error{kind, std::move(message)};
  return answer;
}

/// False when `text` is no object of names and finite numbers.
bool read_metrics(std::string_view text, std::vector<std::pair<std::string, double>>& metrics) {
  wire::JsonReader reader(text);
  bool first = true;
  if (!reader.open('{')) return false;
  while (reader.next('}', first)) {
    const auto key = reader.read_key();
    if (!key) return false;
    std::string name(*key);
    if (reader.peek() != wire::JsonReader::Kind::number) return false;
    const auto number = reader.read_number();
    if (!number) return false;
    metrics.emplace_back(std::move(name),
                         number->is_integer ? static_cast<double>(number->integer) : number->real);
  }
  std::ranges::sort(metrics);
  const auto twice = std::ranges::adjacent_find(metrics, {}, &std::pair<std::string, double>::first);
  return !reader.failed() && reader.at_end() && twice == metrics.end();
}

wire::Answer errored(const assay_outcome& outcome) {
  const std::string_view name = view_of(outcome.kind);
  std::string message(view_of(outcome.reason).substr(0, wire::kMessageLimit));
  if (name.empty()) return failed(ErrorKind::evaluator_error, std::move(message));
  const ErrorKind kind = error_kind_from(name);
  if (to_string(kind) != name)
    return failed(ErrorKind::evaluator_error, std::string(name.substr(0, 64)) + ": " + message);
  // Whose cancellation is meant is not asked of the evaluator: to anybody else it is ours to try again.
  return failed(kind == ErrorKind::cancelled ? ErrorKind::internal : kind, std::move(message));
}

wire::Answer scored(const assay_outcome& outcome) {
  wire::Answer answer;
  answer.score = outcome.score;
  if (!std::isfinite(outcome.score)) return failed(ErrorKind::bad_result, "the score is not a finite number");
  if (outcome.passed != 0) answer.passed = outcome.passed > 0;
  answer.reason = view_of(outcome.reason);
  if (outcome.metrics.size > 0 && !read_metrics(view_of(outcome.metrics), answer.metrics))
    return failed(ErrorKind::bad_result, "the metrics are no JSON object of names and finite numbers");
  return answer;
}

}  // namespace

wire::Answer to_answer(const assay_outcome* outcome, uint64_t result_bytes) {
  if (outcome == nullptr || outcome->size < sizeof(assay_outcome))
    return failed(ErrorKind::bad_result, "the outcome is smaller than that of ABI 1.0");
  if (outcome->verdict == ASSAY_ERRORED) return errored(*outcome);
  if (outcome->reason.size + outcome->metrics.size > result_bytes)
    return failed(ErrorKind::output_limit,
                  "the result is larger than " + std::to_string(result_bytes) + " bytes");
  if (outcome->verdict == ASSAY_SCORED) return scored(*outcome);
  if (outcome->verdict != ASSAY_SKIPPED)
    return failed(ErrorKind::bad_result, "the verdict is none of the three");
  wire::Answer answer;
  answer.skipped = true;
  answer.reason = view_of(outcome->reason);
  return answer;
}

}  // namespace assay::sandbox::plugin
