#include "cli/openai/toml_text.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace assay::cli::openai {
namespace {

bool is_bare(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

std::string key_text(const std::string& key) {
  return !key.empty() && std::ranges::all_of(key, is_bare) ? key : toml_quote(key);
}

std::optional<std::string> list_value(const Json& json) {
  std::string text = "[";
  for (const Json& element : json) {
    const auto value = element.is_null() ? std::nullopt : toml_value(element);
    if (!value) return std::nullopt;
    text += (text.size() > 1 ? ", " : "") + *value;
  }
  return text + "]";
}

std::optional<std::string> table_value(const Json& json) {
  std::string text;
  for (const auto& [key, member] : json.items()) {
    if (member.is_null()) continue;
    const auto value = toml_value(member);
    if (!value) return std::nullopt;
    text += (text.empty() ? " " : ", ") + key_text(key) + " = " + *value;
  }
  return text.empty() ? "{}" : "{" + text + " }";
}

}  // namespace

std::string toml_quote(std::string_view text) {
  // JSON's escapes are TOML's too, but for the one character that JSON does not escape.
  std::string quoted;
  for (const char c : json_quote(text))
    if (c == '\x7f')
      quoted += "\\u007f";
    else
      quoted += c;
  return quoted;
}

std::optional<std::string> toml_value(const Json& json) {
  if (json.is_string()) return toml_quote(json.get_ref<const std::string&>());
  if (json.is_array()) return list_value(json);
  if (json.is_object()) return table_value(json);
  const bool too_large = json.is_number_unsigned() && json.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX);
  if (json.is_null() || too_large) return std::nullopt;
  return dump_json(json);
}

}  // namespace assay::cli::openai
