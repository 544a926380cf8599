// One client's connection: HTTP/1.1 requests, one after another, each with its deadlines.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <set>
#include <span>

#include "api/http/route.hpp"
#include "core/async/task.hpp"
#include "core/http/listener.hpp"

namespace assay::api {

using http::Socket;

/// The sockets of one thread that wait for a next request: a server that stops closes these at once.
using IdleSockets = std::set<Socket*>;

/// What a listener's connections share. The owner outlives them.
struct Service {
  Context& context;
  std::span<const Route> routes;
};

/// `tls` null: plain HTTP.
Task<> serve_connection(Service service, IdleSockets& idle, Socket socket,
                        std::shared_ptr<asio::ssl::context> tls);

/// Tells a client that there are too many already, so that it tries again later.
Task<> refuse_connection(Socket socket);

}  // namespace assay::api
