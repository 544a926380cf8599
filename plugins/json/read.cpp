#include "plugins/json/read.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace assay::json_check {
namespace {

/// Of brackets outside strings; right for what is JSON, which is all that matters.
int depth_of(std::string_view text) {
  int depth = 0;
  int deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\') {
      ++i;
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string && (c == '[' || c == '{')) {
      deepest = std::max(deepest, ++depth);
    } else if (!in_string && (c == ']' || c == '}')) {
      --depth;
    }
  }
  return deepest;
}

}  // namespace

std::expected<nlohmann::json, std::string> read_json(std::string_view text) {
  if (depth_of(text) > kDepthLimit)
    return std::unexpected("nested deeper than " + std::to_string(kDepthLimit) + " levels");
  if (text.starts_with("\xEF\xBB\xBF"))
    return std::unexpected("not valid JSON: it begins with a byte order mark");
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& problem) {
    return std::unexpected(std::string("not valid JSON: ") + problem.what());
  }
}

std::expected<void, std::string> check_json(std::string_view text, TopLevel top_level) {
  const auto document = read_json(text);
  if (!document) return std::unexpected(document.error());
  if (top_level == TopLevel::object_or_array && !document->is_structured())
    return std::unexpected(std::string("neither an object nor an array but a ") + document->type_name());
  return {};
}

}  // namespace assay::json_check
