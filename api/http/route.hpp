// The table of routes: what is served, to whom, and how its body comes.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "api/http/message.hpp"

namespace assay::api {

struct Context;
class Fields;
class Query;

enum class Body { none, json, stream };

/// What /openapi.json says of a route beyond what follows from the rest of it (api/openapi.hpp).
struct Description {
  std::string_view summary;
  void (*query)(Query&) = nullptr;  ///< what the handler reads it with
  void (*body)(Fields&) = nullptr;
  std::string_view answer = {};  ///< the schema of a JSON answer, by its name in answers.json
  bool list = false;             ///< it is a list of those
  std::string_view lines = {};   ///< the schema of a line, of those that answer JSON lines
  std::string_view text = {};    ///< the media type of those that answer something else
  bool maybe_nothing = false;    ///< may answer 204
  std::vector<int> refusals = {};
};

struct Route {
  using Handler = Task<Answer<Response>> (*)(Context&, Request&);

  std::string_view method;
  std::string_view pattern;  ///< "/datasets/{dataset}/rows"
  unsigned scopes = 0;       ///< any of these lets in; 0: no key is needed
  Body body = Body::none;
  Handler handler = nullptr;
  Description description;
  bool creates = false;  ///< takes an Idempotency-Key
  std::string_view tag = {};
};

/// Finds the route of a request and fills in its parameters; 404, or 405 with what is allowed.
struct Found {
  const Route* route = nullptr;
  std::string allow;  ///< the methods of the path, when only the method does not fit
};
Found find_route(std::span<const Route> routes, Request& request);

/// Everything that is decided before the body is read: route, key, scope, content type.
Task<Answer<const Route*>> admit(Context& context, std::span<const Route> routes, Request& request);
/// For answers that take long: whether the API key (Request::key) is still good, as of a second ago.
Task<Answer<>> admit_again(Context& context, std::string key);
/// Runs the handler; a request that was done before under its Idempotency-Key gets that answer.
Task<Answer<Response>> handle(Context& context, const Route& route, Request& request);

}  // namespace assay::api
