// What the API answers when it cannot do what was asked.
#pragma once

#include <chrono>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

#include "core/error.hpp"

namespace assay::api {

/// One answer that is an error: the envelope {"error":{"message","type","param","code"}} and its status.
struct Problem {
  int status = 500;
  std::string code = "internal";        ///< a stable word, for programs
  std::string param;                    ///< the JSON path or query parameter at fault; empty: none
  std::string message;                  ///< for a person
  std::string allow;                    ///< of 405: the methods that are served
  std::chrono::seconds retry_after{1};  ///< of 429 and 503: when to try again; at least 1 s
  std::string extra;  ///< further members of the body as JSON text, `"missing":[[0,3]]`; empty: none

  Problem() = default;
  Problem(int status_, std::string code_, std::string message_, std::string param_ = {});
  /// What failed below the API is the server's fault. What a client caused is made a Problem where it is
  /// known as such.
  Problem(Error error);  // NOLINT(google-explicit-constructor): infrastructure errors pass through ASSAY_TRY
  /// "invalid_request_error", "not_found_error", …: follows from the status.
  std::string_view type() const;
  /// `request_id` empty: left out.
  std::string body(std::string_view request_id = {}) const;
};

template <class T = void>
using Answer = std::expected<T, Problem>;

inline std::unexpected<Problem> refuse(int status, std::string code, std::string message,
                                       std::string param = {}) {
  return std::unexpected(Problem(status, std::move(code), std::move(message), std::move(param)));
}
/// 422 `invalid_value`.
std::unexpected<Problem> invalid(std::string param, std::string message);
/// 404 `KIND_not_found`: "no dataset "x" in this project".
std::unexpected<Problem> not_found(std::string_view kind, std::string_view name, std::string param = {});
/// 501 `not_implemented`.
std::unexpected<Problem> not_implemented(std::string param, std::string message);

}  // namespace assay::api
