// The table of routes: what is served, to whom, and how its body comes.
#pragma once

#include <span>
#include <string_view>

#include "api/http/message.hpp"

namespace assay::api {

struct Context;

enum class Body { none, json, stream };

struct Route {
  using Handler = Task<Answer<Response>> (*)(Context&, Request&);

  std::string_view method;
  std::string_view pattern;  ///< "/datasets/{}/rows"
  unsigned scopes = 0;       ///< any of these lets in; 0: no key is needed
  Body body = Body::none;
  Handler handler = nullptr;
  bool creates = false;  ///< takes an Idempotency-Key
};

/// Finds the route of a request and fills in its parameters; 404, or 405 with what is allowed.
struct Found {
  const Route* route = nullptr;
  std::string allow;  ///< the methods of the path, when only the method does not fit
};
Found find_route(std::span<const Route> routes, Request& request);

/// Everything that is decided before the body is read: route, key, scope, content type.
Task<Answer<const Route*>> admit(Context& context, std::span<const Route> routes, Request& request);
/// Runs the handler; a request that was done before under its Idempotency-Key gets that answer.
Task<Answer<Response>> handle(Context& context, const Route& route, Request& request);

}  // namespace assay::api
