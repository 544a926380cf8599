// Why nobody works on a run.
#pragma once

#include <string>

#include "api/context.hpp"

namespace assay::api {

/// What an open run waits for: a worker that serves its environment, has its labels and takes work. Empty
/// when one was heard of in the last minute, when the run is paused or has ended, and when the store cannot
/// say.
Task<std::string> waiting_for(Context& context, const Run& run);

}  // namespace assay::api
