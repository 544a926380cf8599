#include "cli/openai/members.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace assay::cli::openai {

std::unexpected<Error> fault(const std::string& path, const std::string& what) {
  return fail(ErrorKind::config, path.empty() ? what : path + ": " + what);
}

Result<Members> Members::of(const Json& json, std::string path) {
  if (!json.is_object()) return fault(path, "must be an object");
  return Members(json, std::move(path));
}

std::string Members::at(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

const Json* Members::find(std::string_view key) {
  known_.emplace_back(key);
  const auto found = json_->find(std::string(key));
  return found == json_->end() || found->is_null() ? nullptr : &*found;
}

Result<const Json*> Members::required(std::string_view key, bool right_type(const Json&), const char* type) {
  const Json* value = find(key);
  if (value == nullptr) return fault(at(key), std::string("is missing: it must be ") + type);
  if (!right_type(*value)) return fault(at(key), std::string("must be ") + type);
  return value;
}

Result<std::string> Members::text(std::string_view key) {
  ASSAY_TRY(const Json* value, required(
                                   key,
                                   [](const Json& json) {
                                     return json.is_string() && !json.get_ref<const std::string&>().empty();
                                   },
                                   "a string that is not empty"));
  return value->get<std::string>();
}

Result<std::string> Members::text_or(std::string_view key, std::string otherwise) {
  const Json* value = find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_string()) return fault(at(key), "must be a string");
  return value->get<std::string>();
}

Result<std::optional<double>> Members::number(std::string_view key) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) return fault(at(key), "must be a number");
  return value->get<double>();
}

Result<const Json*> Members::object(std::string_view key) {
  return required(key, [](const Json& json) { return json.is_object(); }, "an object");
}

Result<const Json*> Members::array(std::string_view key) {
  return required(
      key, [](const Json& json) { return json.is_array() && !json.empty(); }, "a list that is not empty");
}

Result<std::vector<std::string>> Members::texts(std::string_view key) {
  ASSAY_TRY(const Json* list, array(key));
  std::vector<std::string> texts;
  for (const Json& element : *list) {
    if (!element.is_string()) return fault(at(key), "must be a list of strings");
    texts.push_back(element.get<std::string>());
  }
  return texts;
}

void Members::ignore(std::initializer_list<std::string_view> keys) {
  for (const auto key : keys) known_.emplace_back(key);
}

Result<> Members::done() const {
  for (const auto& [key, value] : json_->items())
    if (!value.is_null() && std::ranges::find(known_, key) == known_.end())
      return fault(at(key), "is not known to this importer; take it out if the result does not depend on it");
  return {};
}

}  // namespace assay::cli::openai
