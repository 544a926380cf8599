#include "daemon/llm/bounds.hpp"

#include <nlohmann/json.hpp>

namespace assay::llm {

bool has_more_values(std::string_view text, size_t most) {
  if (text.size() <= most) return false;
  // Each value is the first of the text, follows a comma, or is the first in brackets (which may be empty).
  size_t values = 1;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == ',' || c == '[' || c == '{') {
      if (++values > most) return true;
    }
  }
  return false;
}

Result<Json> parse_bounded(std::string_view text, size_t most) {
  if (has_more_values(text, most))
    return fail(ErrorKind::config, "has more than " + std::to_string(most) + " JSON values");
  return parse_json(text);
}

}  // namespace assay::llm
