// GET /evaluation/runs/{run}/events: a run's progress as server-sent events, until it has ended.
#pragma once

#include "api/context.hpp"
#include "api/http/message.hpp"

namespace assay::api {

/// `event: progress` with {"status","paused","progress":{…},"waiting_for"?} whenever that has changed (looked
/// at every half second), and at the end `event: end`. A comment now and then keeps proxies from closing the
/// connection.
Task<Answer<Response>> run_events(Context& context, Request& request);

}  // namespace assay::api
