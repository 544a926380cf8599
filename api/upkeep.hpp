// What the server does unasked: finishing runs and taking back what was left behind.
#pragma once

#include "api/context.hpp"

namespace assay::api {

/// Computes the metrics of runs that have all their outcomes, also of those that an earlier process left so.
Task<> finish_runs(Context& context);
/// Takes back expired leases and clears away what was deleted, a little every tick.
Task<> keep_tidy(Context& context);

}  // namespace assay::api
