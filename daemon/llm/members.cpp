#include "daemon/llm/members.hpp"

#include <cmath>
#include <nlohmann/json.hpp>

#include "daemon/llm/completion.hpp"

namespace assay::llm {
namespace {

const Json& nothing() {
  static const Json null;
  return null;
}

}  // namespace

const Json& member(const Json& json, std::string_view name) {
  if (!json.is_object()) return nothing();
  const auto at = json.find(name);
  return at == json.end() ? nothing() : *at;
}

const Json& first(const Json& json) {
  return json.is_array() && !json.empty() ? json.front() : nothing();
}

std::string_view text_of(const Json& json) {
  return json.is_string() ? std::string_view(json.get_ref<const std::string&>()) : std::string_view();
}

std::optional<int64_t> count_of(const Json& json) {
  if (!json.is_number()) return std::nullopt;
  const auto value = json.get<double>();
  if (value < 0 || value > static_cast<double>(kTokenLimit) || std::floor(value) != value)
    return std::nullopt;
  return static_cast<int64_t>(value);
}

}  // namespace assay::llm
