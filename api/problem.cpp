#include "api/problem.hpp"

#include "core/json.hpp"

namespace assay::api {

Problem::Problem(int status_, std::string code_, std::string message_, std::string param_)
    : status(status_), code(std::move(code_)), param(std::move(param_)), message(std::move(message_)) {}

Problem::Problem(Error error) : message(std::move(error.message)) {
  if (error.kind == ErrorKind::transport) {
    status = 503;
    code = "unavailable";
  }
}

std::string_view Problem::type() const {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 409:
      return "conflict_error";
    case 429:
      return "rate_limit_error";
    default:
      return status >= 500 ? "api_error" : "invalid_request_error";
  }
}

std::string Problem::body(std::string_view request_id) const {
  std::string out = "{\"error\":{\"message\":" + json_quote(message);
  out += ",\"type\":" + json_quote(type());
  out += ",\"param\":" + (param.empty() ? "null" : json_quote(param));
  out += ",\"code\":" + json_quote(code);
  if (!request_id.empty()) out += ",\"request_id\":" + json_quote(request_id);
  out += '}';
  if (!extra.empty()) out += ',' + extra;
  return out + '}';
}

std::unexpected<Problem> invalid(std::string param, std::string message) {
  return refuse(422, "invalid_value", std::move(message), std::move(param));
}

std::unexpected<Problem> not_found(std::string_view kind, std::string_view name, std::string param) {
  std::string code = std::string(kind) + "_not_found";
  std::string message = "no " + std::string(kind) + " " + json_quote(name) + " in this project";
  return refuse(404, std::move(code), std::move(message), std::move(param));
}

std::unexpected<Problem> not_implemented(std::string param, std::string message) {
  return refuse(501, "not_implemented", std::move(message), std::move(param));
}

}  // namespace assay::api
