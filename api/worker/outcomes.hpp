// Outcomes as workers deliver them.
#pragma once

#include "api/context.hpp"
#include "api/http/message.hpp"
#include "api/store/types.hpp"
#include "api/worker/worker_json.hpp"
#include "core/json.hpp"

namespace assay::api {

/// The "outcomes" of an append; 422 names the one at fault.
Answer<OutcomeBatch> batch_from(const Json& outcomes);

struct AppendFields {
  LeaseProof proof;
  int64_t batch = 0;
  const Json* outcomes = nullptr;  ///< of the body
};
AppendFields read_append(Fields& body);

struct HeldLeases {
  WorkerRef worker;
  std::vector<LeaseRef> leases;
};
HeldLeases read_held(Fields& body);

Task<Answer<Response>> append_outcomes(Context& context, Request& request);
Task<Answer<Response>> complete_shards(Context& context, Request& request);

}  // namespace assay::api
