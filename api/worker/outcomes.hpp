// Outcomes as workers deliver them.
#pragma once

#include "api/context.hpp"
#include "api/http/message.hpp"
#include "api/store/types.hpp"
#include "core/json.hpp"

namespace assay::api {

/// The "outcomes" of an append; 422 names the one at fault.
Answer<OutcomeBatch> batch_from(const Json& outcomes);

Task<Answer<Response>> append_outcomes(Context& context, Request& request);
Task<Answer<Response>> complete_shards(Context& context, Request& request);

}  // namespace assay::api
