// One client's connection: HTTP/1.1 requests, one after another, each with its deadlines.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <set>
#include <span>

#include "api/http/route.hpp"
#include "core/async/task.hpp"

namespace assay::api {

/// TCP or Unix, alike.
using Socket = asio::generic::stream_protocol::socket;

/// The sockets of one thread that wait for a next request: a server that stops closes these at once.
using IdleSockets = std::set<Socket*>;

Task<> serve_connection(Context& context, std::span<const Route> routes, IdleSockets& idle, Socket socket);

}  // namespace assay::api
