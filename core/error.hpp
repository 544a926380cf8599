// The one error type, and the kinds an evaluation can end in.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace assay {

/// Why something did not work. The first group is the vocabulary of errored outcomes (spelled as on the
/// wire); `cancelled` is for work that was told to stop and never appears in a result.
enum class ErrorKind {
  timeout,           ///< the wall-clock deadline passed
  cpu_limit,         ///< used more processor time than allowed
  memory_limit,      ///< asked for more memory than allowed
  output_limit,      ///< result or log larger than allowed
  pids_limit,        ///< more processes than allowed
  policy_violation,  ///< a system call that the sandbox forbids; the message names it
  crashed,           ///< ended by a signal, or exited, without an answer
  bad_result,        ///< answered with something that is no score
  evaluator_error,   ///< the evaluator raised; message and traceback
  judge_refusal,
  judge_truncated,
  judge_parse,
  judge_off_menu,
  context_too_long,
  content_filter,
  auth,
  billing,
  model_not_found,
  rate_limited,
  transport,  ///< the other side could not be reached or did not speak the protocol; retried
  config,     ///< bad input: the message names the field, line or path and what to do
  internal,   ///< our own fault; retried
  cancelled,
};

std::string_view to_string(ErrorKind kind);
/// The kind of that name, or `internal` for a name this build does not know.
ErrorKind error_kind_from(std::string_view name);

/// What went wrong, for a person: the message names the field, line or path and what to do. Never holds a
/// secret.
struct Error {
  ErrorKind kind = ErrorKind::internal;
  std::string message;

  /// The same error with context in front: "dataset data.jsonl: " + message.
  Error with(std::string_view context) && {
    message.insert(0, std::string(context) + ": ");
    return std::move(*this);
  }
};

/// Everything that the outside can cause to fail returns one of these. Programmer mistakes abort
/// (core/check.hpp).
template <class T = void>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(ErrorKind kind, std::string message) {
  return std::unexpected(Error{kind, std::move(message)});
}
/// `fail` with the text of `errno` behind the message.
std::unexpected<Error> fail_errno(ErrorKind kind, std::string_view message, int error_number);

}  // namespace assay

#define ASSAY_CONCAT_(a, b) a##b
#define ASSAY_CONCAT(a, b) ASSAY_CONCAT_(a, b)
#define ASSAY_TRY_(result, declaration, expression, ret)       \
  auto result = (expression);                                  \
  if (!result) ret std::unexpected(std::move(result).error()); \
  declaration = std::move(*result)
#define ASSAY_CHECK_OK_(result, expression, ret) \
  auto result = (expression);                    \
  if (!result) ret std::unexpected(std::move(result).error())

/// ASSAY_TRY(auto n, parse(text)); declares n, or returns the error from the function.
#define ASSAY_TRY(declaration, ...) \
  ASSAY_TRY_(ASSAY_CONCAT(assay_result_, __LINE__), declaration, (__VA_ARGS__), return)
#define ASSAY_CO_TRY(declaration, ...) \
  ASSAY_TRY_(ASSAY_CONCAT(assay_result_, __LINE__), declaration, (__VA_ARGS__), co_return)
/// ASSAY_OK(write(fd, text)); for results without a value.
#define ASSAY_OK(...) ASSAY_CHECK_OK_(ASSAY_CONCAT(assay_result_, __LINE__), (__VA_ARGS__), return)
#define ASSAY_CO_OK(...) ASSAY_CHECK_OK_(ASSAY_CONCAT(assay_result_, __LINE__), (__VA_ARGS__), co_return)
