// Changing a request into one that the model takes, after it refused the first.
#pragma once

#include <optional>
#include <string>

#include "daemon/llm/dialect.hpp"

namespace assay::llm {

/// Does what `failure.remedy` says (change_parameter, weaker_structure) and returns what was done, for the
/// record: "temperature left out", "max_completion_tokens instead of max_tokens", "structured output asked by
/// tool instead of schema". nullopt, and `request` as it was, when there is nothing (more) to change: the
/// failure is final. Each call changes what an earlier one has not, so asking again ends.
std::optional<std::string> adapt(Request& request, const Failure& failure, Dialect dialect);

}  // namespace assay::llm
