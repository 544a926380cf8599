// The mock behind a port: HTTP/1.1, keep-alive, one thread.
#pragma once

#include <memory>

#include "cli/mock/mock.hpp"
#include "core/async/scope.hpp"
#include "core/http/listener.hpp"

namespace assay::cli::mock {

/// Serves until `listener` is closed. Connections are children of `connections`, to be cancelled and joined;
/// the mock outlives them. A request has 10 s to arrive once it has begun and at most 32 MiB; a connection
/// may be idle for 5 minutes; there are 10,000 at most, others are closed.
Task<> serve(http::Listener& listener, Mock& mock, Scope& connections);

}  // namespace assay::cli::mock
