#include "plugins/common/error.hpp"

namespace assay::plugins {

std::string_view to_string(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::judge_refusal:
      return "judge_refusal";
    case ErrorKind::judge_truncated:
      return "judge_truncated";
    case ErrorKind::judge_parse:
      return "judge_parse";
    case ErrorKind::judge_off_menu:
      return "judge_off_menu";
    case ErrorKind::content_filter:
      return "content_filter";
    case ErrorKind::context_too_long:
      return "context_too_long";
    case ErrorKind::config:
      return "config";
    case ErrorKind::completion:
      return "transport";
  }
  return "judge_parse";
}

std::string kind_of(const Error& error) noexcept {
  return error.kind == ErrorKind::completion ? error.host_kind : std::string(to_string(error.kind));
}

}  // namespace assay::plugins
