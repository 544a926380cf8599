// Replies that are no judgement because the provider or the model stopped short of one.
#pragma once

#include <optional>
#include <string_view>

#include "plugins/judge/verdict.hpp"

namespace assay::judge {

/// What the provider says about a reply that makes its content worthless: a refusal, a cut, a filter.
std::optional<Error> why_stopped(const Reply& reply) noexcept;

/// Whether a text without a verdict begins as refusals do. Only ever the difference between two errors.
bool begins_as_refusal(std::string_view text) noexcept;

}  // namespace assay::judge
