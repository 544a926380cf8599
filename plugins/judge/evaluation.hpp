// One item's way: all judges are asked at once, and when all have answered, one outcome is made of it.
#pragma once

#include <assay/evaluator.hpp>

#include <cstdint>
#include <memory>

#include "plugins/judge/settings.hpp"

namespace assay::judge {

// A reply that was cut at its token limit is asked for once more with twice the limit, or with kAskedAgain
// where the definition has none; never with more than kMostTokens.
inline constexpr int64_t kAskedAgain = 16'384;
inline constexpr int64_t kMostTokens = 65'536;

/// Answers `call`, also when it is cancelled. On the host thread.
void evaluate(std::shared_ptr<const Settings> settings, const Call& call);

}  // namespace assay::judge
