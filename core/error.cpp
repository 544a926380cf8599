#include "core/error.hpp"

#include <array>
#include <cstring>
#include <system_error>

namespace assay {
namespace {

constexpr std::array<std::string_view, 23> kNames = {
    "timeout",         "cpu_limit",        "memory_limit",    "output_limit",
    "pids_limit",      "policy_violation", "crashed",         "bad_result",
    "evaluator_error", "judge_refusal",    "judge_truncated", "judge_parse",
    "judge_off_menu",  "context_too_long", "content_filter",  "auth",
    "billing",         "model_not_found",  "rate_limited",    "transport",
    "config",          "internal",         "cancelled",
};
static_assert(kNames.size() == static_cast<size_t>(ErrorKind::cancelled) + 1);

}  // namespace

std::string_view to_string(ErrorKind kind) {
  return kNames.at(static_cast<size_t>(kind));
}

ErrorKind error_kind_from(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == name) return static_cast<ErrorKind>(i);
  return ErrorKind::internal;
}

std::unexpected<Error> fail_errno(ErrorKind kind, std::string_view message, int error_number) {
  return fail(kind, std::string(message) + ": " + std::generic_category().message(error_number));
}

}  // namespace assay
