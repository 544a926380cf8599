#include "api/fields.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

namespace assay::api {

Fields::Fields(const Json& object, std::string path) : object_(&object), path_(std::move(path)) {
  if (object.is_object()) return;
  object_ = nullptr;
  faults_.push_back({path_, "must be an object"});
}

std::string Fields::path(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + '.' + std::string(key);
}

void Fields::fault(std::string_view key, std::string message) {
  faults_.push_back({path(key), std::move(message)});
}

void Fields::know(std::string_view key) {
  if (std::ranges::find(known_, key) == known_.end()) known_.emplace_back(key);
}

const Json* Fields::find(std::string_view key) {
  know(key);
  if (object_ == nullptr) return nullptr;
  const auto it = object_->find(std::string(key));
  return it == object_->end() || it->is_null() ? nullptr : &*it;
}

const Json* Fields::require(std::string_view key, const Json* value) {
  if (value == nullptr && object_ != nullptr) fault(key, "is required");
  return value;
}

bool Fields::has(std::string_view key) const {
  return object_ != nullptr && object_->contains(std::string(key));
}

bool Fields::is_null(std::string_view key) const {
  return has(key) && (*object_)[std::string(key)].is_null();
}

const char* bad_characters(std::string_view text, bool label) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (label && std::ranges::any_of(text, is_control)) return "must not contain control characters";
  if (text.find('\0') != std::string_view::npos) return "must not contain U+0000";
  return nullptr;
}

std::optional<std::string> Fields::maybe_text(std::string_view key, size_t longest) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) {
    fault(key, "must be a string");
    return std::nullopt;
  }
  auto text = value->get<std::string>();
  if (text.size() > longest) {
    fault(key, "must be at most " + std::to_string(longest) + " bytes long");
    return std::nullopt;
  }
  if (const char* const wrong = bad_characters(text, longest <= kLabelLength)) {
    fault(key, wrong);
    return std::nullopt;
  }
  return text;
}

std::string Fields::text(std::string_view key, size_t longest) {
  require(key, find(key));
  auto text = maybe_text(key, longest);
  if (text && text->empty()) fault(key, "must not be empty");
  return std::move(text).value_or("");
}

std::optional<int64_t> Fields::maybe_integer(std::string_view key, int64_t low, int64_t high) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number_integer()) {
    fault(key, "must be a whole number");
    return std::nullopt;
  }
  const bool huge = value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(high);
  const auto number = huge ? high : value->get<int64_t>();
  if (huge || number < low || number > high) {
    fault(key, "must be from " + std::to_string(low) + " to " + std::to_string(high));
    return std::nullopt;
  }
  return number;
}

int64_t Fields::integer(std::string_view key, int64_t low, int64_t high) {
  require(key, find(key));
  return maybe_integer(key, low, high).value_or(low);
}

std::optional<double> Fields::maybe_number(std::string_view key) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number() || !std::isfinite(value->get<double>())) {
    fault(key, "must be a number");
    return std::nullopt;
  }
  return value->get<double>();
}

std::string Fields::word(std::string_view key, std::initializer_list<std::string_view> words,
                         std::string fallback) {
  if (fallback.empty()) require(key, find(key));
  auto value = maybe_text(key, kLabelLength);
  if (!value) return fallback;
  if (std::ranges::find(words, *value) != words.end()) return *value;
  std::string list;
  for (const auto word : words) list += (list.empty() ? "" : ", ") + std::string(word);
  fault(key, "must be one of " + list + "; it is " + json_quote(*value));
  return fallback;
}

const Json* Fields::maybe_object(std::string_view key) {
  const Json* value = find(key);
  if (value == nullptr || value->is_object()) return value;
  fault(key, "must be an object");
  return nullptr;
}

const Json* Fields::maybe_array(std::string_view key, size_t longest) {
  const Json* value = find(key);
  if (value == nullptr) return nullptr;
  if (!value->is_array()) {
    fault(key, "must be an array");
    return nullptr;
  }
  if (value->size() > longest) {
    fault(key, "must have at most " + std::to_string(longest) + " elements");
    return nullptr;
  }
  return value;
}

const Json* Fields::array(std::string_view key, size_t longest) {
  require(key, find(key));
  return maybe_array(key, longest);
}

std::string Fields::object_text(std::string_view key) {
  const Json* value = maybe_object(key);
  return value == nullptr ? "{}" : dump_json(*value);
}

std::vector<std::string> Fields::maybe_texts(std::string_view key, size_t longest) {
  std::vector<std::string> texts;
  const Json* value = maybe_array(key, longest);
  if (value == nullptr) return texts;
  for (size_t i = 0; i < value->size(); ++i) {
    const Json& element = (*value)[i];
    const std::string name = std::string(key) + '[' + std::to_string(i) + ']';
    if (!element.is_string()) {
      fault(name, "must be a string");
    } else if (const char* const wrong = bad_characters(element.get<std::string>(), true)) {
      fault(name, wrong);
    } else {
      texts.push_back(element.get<std::string>());
    }
  }
  return texts;
}

void Fields::absorb(const Fields& inner) {
  auto copy = inner;
  copy.refuse_unknown();
  faults_.insert(faults_.end(), copy.faults_.begin(), copy.faults_.end());
}

void Fields::refuse_unknown() {
  if (std::exchange(checked_, true) || object_ == nullptr) return;
  for (const auto& [key, value] : object_->items())
    if (std::ranges::find(known_, key) == known_.end()) fault(key, "is not a field of this request");
}

Answer<> Fields::done() {
  refuse_unknown();
  if (faults_.empty()) return {};
  constexpr size_t kShown = 8;
  std::string message;
  for (size_t i = 0; i < std::min(faults_.size(), kShown); ++i) {
    if (i > 0) message += "; ";
    message += (faults_[i].path.empty() ? "the body" : faults_[i].path) + ' ' + faults_[i].message;
  }
  if (faults_.size() > kShown) message += "; and " + std::to_string(faults_.size() - kShown) + " more";
  return invalid(faults_.front().path, std::move(message));
}

std::optional<std::string> Query::text(std::string_view key) {
  known_.push_back(key);
  for (const auto& [name, value] : pairs_)
    if (name == key) return value;
  return std::nullopt;
}

int64_t Query::integer(std::string_view key, int64_t fallback, int64_t low, int64_t high) {
  const auto value = text(key);
  if (!value) return fallback;
  int64_t number = 0;
  const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), number);
  const bool whole = error == std::errc() && end == value->data() + value->size();
  if (whole && number >= low && number <= high) return number;
  if (!fault_)
    fault_ = Problem(422, "invalid_value",
                     std::string(key) + " must be a whole number from " + std::to_string(low) + " to " +
                         std::to_string(high),
                     std::string(key));
  return fallback;
}

std::optional<bool> Query::boolean(std::string_view key) {
  const auto value = text(key);
  if (!value) return std::nullopt;
  if (*value == "true" || *value == "1") return true;
  if (*value == "false" || *value == "0") return false;
  if (!fault_)
    fault_ = Problem(422, "invalid_value", std::string(key) + " must be true or false", std::string(key));
  return std::nullopt;
}

Answer<> Query::done() {
  for (const auto& [name, value] : pairs_)
    if (!fault_ && std::ranges::find(known_, name) == known_.end())
      fault_ = Problem(422, "invalid_value", json_quote(name) + " is not a parameter of this request", name);
  if (fault_) return std::unexpected(*fault_);
  return {};
}

}  // namespace assay::api
