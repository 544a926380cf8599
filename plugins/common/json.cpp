#include "plugins/common/json.hpp"

#include <charconv>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

namespace assay::plugins {
namespace {

constexpr int kDepthLimit = 64;

}  // namespace

std::optional<Json> parse_json(std::string_view text) noexcept {
  bool refused = false;
  std::vector<std::set<std::string>> keys;  // one set for each object that is open
  const auto look = [&](int depth, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) {
      keys.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      keys.pop_back();
    } else if (event == Json::parse_event_t::key && !refused) {
      refused = !keys.back().insert(value.get_ref<const std::string&>()).second;
    }
    refused = refused || depth >= kDepthLimit;
    return !refused;  // what is refused is not built either
  };
  Json value = Json::parse(text.begin(), text.end(), look, false);
  if (refused || value.is_discarded()) return std::nullopt;
  return value;
}

std::string dump_json(const Json& value) noexcept {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

const Json* find_member(const Json* value, std::string_view key) noexcept {
  if (value == nullptr) return nullptr;
  if (value->is_object()) {
    const auto found = value->find(key);
    return found == value->end() ? nullptr : &*found;
  }
  size_t index = 0;
  const auto [end, problem] = std::from_chars(key.data(), key.data() + key.size(), index);
  const bool whole = problem == std::errc() && end == key.data() + key.size();
  return value->is_array() && whole && index < value->size() ? &(*value)[index] : nullptr;
}

const std::string* as_string(const Json* value) noexcept {
  return value != nullptr ? value->get_ptr<const std::string*>() : nullptr;
}

}  // namespace assay::plugins
