#include "daemon/llm/provider_error.hpp"

#include <array>
#include <nlohmann/json.hpp>

#include "daemon/llm/members.hpp"
#include "daemon/llm/time_text.hpp"

namespace assay::llm {
namespace {

struct NamedStatus {
  std::string_view name;
  int status;
};
constexpr std::array<NamedStatus, 24> kStatuses = {{{"invalid_request_error", 400},
                                                    {"invalid_prompt", 400},
                                                    {"context_length_exceeded", 400},
                                                    {"content_filter", 400},
                                                    {"BadRequestError", 400},
                                                    {"authentication_error", 401},
                                                    {"invalid_api_key", 401},
                                                    {"billing_error", 402},
                                                    {"permission_error", 403},
                                                    {"not_found_error", 404},
                                                    {"NotFoundError", 404},
                                                    {"model_not_found", 404},
                                                    {"request_too_large", 413},
                                                    {"insufficient_quota", 429},
                                                    {"rate_limit_error", 429},
                                                    {"rate_limit_exceeded", 429},
                                                    {"tokens", 429},
                                                    {"requests", 429},
                                                    {"api_error", 500},
                                                    {"server_error", 500},
                                                    {"internal_error", 500},
                                                    {"slow_down", 503},
                                                    {"timeout_error", 504},
                                                    {"overloaded_error", 529}}};

/// "body.temperature" of ["body","temperature"].
std::string place_of(const Json& loc) {
  std::string place;
  if (!loc.is_array()) return place;
  for (const auto& step : loc) {
    if (!place.empty()) place += '.';
    place += step.is_string() ? std::string(text_of(step)) : dump_json(step);
  }
  return place;
}

/// {"loc":["body","temperature"],"msg":"Extra inputs are not permitted"}
ProviderError from_detail(const Json& detail) {
  const Json& problem = first(detail);
  ProviderError error;
  error.param = place_of(member(problem, "loc"));
  if (error.param.starts_with("body.")) error.param.erase(0, 5);
  error.message = error.param + ": " + std::string(text_of(member(problem, "msg")));
  error.type = text_of(member(problem, "type"));
  error.code = error.type;
  return error;
}

/// 402 and "402" are statuses, "insufficient_quota" and 7 are none: 0.
int http_status_of(const Json& code) {
  const auto text = text_of(code);
  const double number =
      code.is_string() ? number_from(text).value_or(0) : static_cast<double>(count_of(code).value_or(0));
  return number >= 400 && number <= 599 ? static_cast<int>(number) : 0;
}

ProviderError from_object(const Json& json) {
  ProviderError error;
  error.message = text_of(member(json, "message"));
  error.type = text_of(member(json, "type"));
  if (error.type.empty()) error.type = text_of(member(json, "status"));
  error.param = text_of(member(json, "param"));
  const Json& code = member(json, "code");
  error.code = text_of(code);
  error.status = http_status_of(code);
  // OpenRouter puts what the provider behind it said here.
  const auto raw = text_of(member(member(json, "metadata"), "raw"));
  if (!raw.empty()) error.message += ": " + std::string(raw);
  if (error.code.empty()) error.code = error.type;
  return error;
}

}  // namespace

std::optional<ProviderError> provider_error_from(const Json& body) {
  if (body.is_array()) {
    const Json& only = member(first(body), "error");
    return only.is_object() ? std::optional(from_object(only)) : std::nullopt;
  }
  const Json& error = member(body, "error");
  if (error.is_object()) return from_object(error);
  if (!text_of(error).empty()) return ProviderError{std::string(text_of(error)), "", "", "", 0};
  const Json& detail = member(body, "detail");
  if (detail.is_string()) return ProviderError{std::string(text_of(detail)), "", "", "", 0};
  if (detail.is_array() && first(detail).is_object()) return from_detail(detail);
  if (text_of(member(body, "object")) == "error" || text_of(member(body, "type")) == "error" ||
      member(body, "message").is_string())
    return from_object(body);
  return std::nullopt;
}

int status_of(const ProviderError& error) {
  if (error.status != 0) return error.status;
  for (const auto* name : {&error.code, &error.type})
    for (const auto& known : kStatuses)
      if (known.name == *name) return known.status;
  return 500;
}

}  // namespace assay::llm
