#include "plugins/judge/error.hpp"

namespace assay::judge {

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
  }
  return "judge_parse";
}

}  // namespace assay::judge
