#include "daemon/llm/learned.hpp"

#include <algorithm>

namespace assay::llm {
namespace {

constexpr size_t kMostParameters = 64;  // names come from requests: not without end

Failure lesson(const std::string& parameter) {
  Failure failure;
  failure.remedy = Remedy::change_parameter;
  failure.parameter = parameter;
  return failure;
}

}  // namespace

std::vector<std::string> Learned::apply(Request& request, Dialect dialect) const {
  std::vector<std::string> changes;
  for (const auto& parameter : parameters_)
    if (auto change = adapt(request, lesson(parameter), dialect)) changes.push_back(std::move(*change));
  if (request.structure && request.structure->mode < mode_) {
    request.structure->mode = mode_;
    changes.push_back("structured output asked by " + std::string(to_string(mode_)));
  }
  return changes;
}

std::optional<bool> Learned::learn(const Request& request, const Failure& failure, Dialect dialect) {
  Request changed = request;
  if (!adapt(changed, failure, dialect)) return std::nullopt;
  // Calls that were under way together learn the same.
  if (failure.remedy == Remedy::weaker_structure) {
    const bool is_new = changed.structure->mode > mode_;
    if (is_new) mode_ = changed.structure->mode;
    return is_new;
  }
  if (std::ranges::find(parameters_, failure.parameter) != parameters_.end()) return false;
  if (parameters_.size() >= kMostParameters) return std::nullopt;
  parameters_.push_back(failure.parameter);
  return true;
}

Task<bool> Learned::probe(std::chrono::milliseconds patience, Deadline deadline) {
  while (!settled_ && probing_) {
    const bool woken = co_await line_.wait(std::min(since_ + patience, deadline));
    if (!woken) co_return false;
  }
  if (settled_) co_return false;
  probing_ = true;
  since_ = Clock::now();
  co_return true;
}

void Learned::found() {
  settled_ = true;
  probing_ = false;
  line_.wake_all();
}

void Learned::gave_up() {
  probing_ = false;
  line_.wake_all();
}

}  // namespace assay::llm
