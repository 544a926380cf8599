// The texts that a run has generated, for workers that go on with it or evaluate its items again.
#pragma once

#include "api/context.hpp"
#include "api/fields.hpp"
#include "api/http/route.hpp"

namespace assay::api {

struct GenerationsQuery {
  int64_t from = 0, items = 0;
};
GenerationsQuery read_generations(Query& query);
/// JSON lines of {"item", "model", "trial", "output" or "error"}: what is stored of the items asked for.
Task<Answer<Response>> run_generations(Context& context, Request& request);

}  // namespace assay::api
