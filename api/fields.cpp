#include "api/fields.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "api/schema.hpp"

namespace assay::api {
namespace {

/// Characters of UTF-8.
size_t length_of(std::string_view text) {
  const auto begins = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; };
  return static_cast<size_t>(std::ranges::count_if(text, begins));
}

/// 3.0 is a whole number too.
bool is_whole(const Json& value) {
  if (!value.is_number_float()) return value.is_number_integer();
  return std::isfinite(value.get<double>()) && value.get<double>() == std::trunc(value.get<double>());
}

/// nullopt: a whole number that is none of 64 bits.
std::optional<int64_t> fitting(const Json& value) {
  constexpr double kTwoTo63 = 9223372036854775808.0;
  const bool fits = value.is_number_float()
                        ? value.get<double>() >= -kTwoTo63 && value.get<double>() < kTwoTo63
                    : value.is_number_unsigned() ? value.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX)
                                                 : true;
  if (!fits) return std::nullopt;
  return value.get<int64_t>();
}

}  // namespace

Fields::Fields(const Json& object, std::string path) : object_(&object), path_(std::move(path)) {
  if (object.is_object()) return;
  object_ = nullptr;
  faults_.push_back({path_, "must be an object"});
}

Fields Fields::describing(Json& schema) {
  Fields fields;
  fields.schema_ = &schema;
  if (schema.is_null()) schema = schema::object();
  return fields;
}

void Fields::describe(std::string_view key, Json field, bool required) {
  schema::add(*schema_, key, std::move(field), required, true);
}

Json Fields::described(const Reader& read) const {
  Json schema;
  Fields inner = describing(schema);
  read(inner);
  return schema;
}

std::string Fields::path(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + '.' + std::string(key);
}

void Fields::fault(std::string_view key, std::string message) {
  faults_.push_back({path(key), std::move(message)});
}

const Json* Fields::find(std::string_view key) {
  if (std::ranges::find(known_, key) == known_.end()) known_.emplace_back(key);
  if (object_ == nullptr) return nullptr;
  const auto it = object_->find(std::string(key));
  return it == object_->end() || it->is_null() ? nullptr : &*it;
}

const Json* Fields::require(std::string_view key) {
  const Json* value = find(key);
  if (value == nullptr && object_ != nullptr) fault(key, "is required");
  return value;
}

const char* bad_characters(std::string_view text, bool label) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (label && std::ranges::any_of(text, is_control)) return "must not contain control characters";
  if (text.find('\0') != std::string_view::npos) return "must not contain U+0000";
  return nullptr;
}

std::optional<std::string> Fields::maybe_text(std::string_view key, size_t longest) {
  if (describing()) {
    describe(key, schema::text(0, longest, longest <= kLabelLength), false);
    return std::nullopt;
  }
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) {
    fault(key, "must be a string");
    return std::nullopt;
  }
  auto text = value->get<std::string>();
  if (text.size() > longest && length_of(text) > longest) {
    fault(key, "must be at most " + std::to_string(longest) + " characters long");
    return std::nullopt;
  }
  if (const char* const wrong = bad_characters(text, longest <= kLabelLength)) {
    fault(key, wrong);
    return std::nullopt;
  }
  return text;
}

std::string Fields::text(std::string_view key, size_t longest) {
  if (describing()) {
    describe(key, schema::text(1, longest, longest <= kLabelLength), true);
    return {};
  }
  require(key);
  auto text = maybe_text(key, longest);
  if (text && text->empty()) fault(key, "must not be empty");
  return std::move(text).value_or("");
}

std::optional<int64_t> Fields::maybe_integer(std::string_view key, int64_t low, int64_t high) {
  if (describing()) {
    describe(key, schema::integer(low, high), false);
    return std::nullopt;
  }
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!is_whole(*value)) {
    fault(key, "must be a whole number");
    return std::nullopt;
  }
  const auto number = fitting(*value);
  if (number && *number >= low && *number <= high) return number;
  fault(key, "must be from " + std::to_string(low) + " to " + std::to_string(high));
  return std::nullopt;
}

int64_t Fields::integer(std::string_view key, int64_t low, int64_t high) {
  if (describing()) {
    describe(key, schema::integer(low, high), true);
    return low;
  }
  require(key);
  return maybe_integer(key, low, high).value_or(low);
}

int64_t Fields::integer_or(std::string_view key, int64_t fallback, int64_t low, int64_t high) {
  const auto value = maybe_integer(key, low, high);
  if (describing()) (*schema_)["properties"][std::string(key)]["default"] = fallback;
  return value.value_or(fallback);
}

std::optional<double> Fields::maybe_number(std::string_view key) {
  if (describing()) {
    describe(key, {{"type", "number"}}, false);
    return std::nullopt;
  }
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number() || !std::isfinite(value->get<double>())) {
    fault(key, "must be a number");
    return std::nullopt;
  }
  return value->get<double>();
}

std::string Fields::word(std::string_view key, Words words, std::string fallback) {
  return one_of(key, std::span(words.begin(), words.size()), std::move(fallback));
}

std::string Fields::one_of(std::string_view key, std::span<const std::string_view> words,
                           std::string fallback) {
  if (describing()) {
    Json field = schema::words(words);
    if (!fallback.empty()) field["default"] = fallback;
    describe(key, std::move(field), fallback.empty());
    return fallback;
  }
  if (fallback.empty()) require(key);
  return maybe_one_of(key, words).value_or(std::move(fallback));
}

std::optional<std::string> Fields::maybe_word(std::string_view key, Words words) {
  const std::span all(words.begin(), words.size());
  if (!describing()) return maybe_one_of(key, all);
  describe(key, schema::words(all), false);
  return std::nullopt;
}

std::optional<std::string> Fields::maybe_one_of(std::string_view key,
                                                std::span<const std::string_view> words) {
  auto value = maybe_text(key, kLabelLength);
  if (!value || std::ranges::find(words, *value) != words.end()) return value;
  std::string list;
  for (const auto word : words) list += (list.empty() ? "" : ", ") + std::string(word);
  fault(key, "must be one of " + list + "; it is " + json_quote(*value));
  return std::nullopt;
}

const Json* Fields::maybe_object(std::string_view key) {
  if (describing()) {
    describe(key, {{"type", "object"}}, false);
    return nullptr;
  }
  const Json* value = find(key);
  if (value == nullptr || value->is_object()) return value;
  fault(key, "must be an object");
  return nullptr;
}

std::string Fields::object_text(std::string_view key) {
  const Json* value = maybe_object(key);
  return value == nullptr ? "{}" : dump_json(*value);
}

std::string Fields::raw(std::string_view key) const {
  if (object_ == nullptr) return "null";
  const auto it = object_->find(std::string(key));
  return it == object_->end() ? "null" : dump_json(*it);
}

void Fields::object(std::string_view key, const Reader& read) {
  if (describing()) {
    describe(key, described(read), true);
  } else {
    require(key);
    maybe_object(key, read);
  }
}

bool Fields::maybe_object(std::string_view key, const Reader& read) {
  if (describing()) {
    describe(key, described(read), false);
    return false;
  }
  const Json* value = maybe_object(key);
  if (value == nullptr) return false;
  Fields inner(*value, path(key));
  read(inner);
  absorb(std::move(inner));
  return true;
}

const Json* Fields::array_at(std::string_view key, size_t most) {
  const Json* value = find(key);
  if (value == nullptr) return nullptr;
  if (!value->is_array()) {
    fault(key, "must be an array");
    return nullptr;
  }
  if (value->size() > most) {
    fault(key, "must have at most " + std::to_string(most) + " elements");
    return nullptr;
  }
  return value;
}

const Json* Fields::array(std::string_view key, size_t most, const char* items) {
  if (describing()) {
    describe(key, schema::array(0, most, Json::parse(items)), true);
    return nullptr;
  }
  require(key);
  return array_at(key, most);
}

void Fields::objects(std::string_view key, size_t most, const Reader& read) {
  if (describing()) {
    describe(key, schema::array(0, most, described(read)), true);
    return;
  }
  require(key);
  const Json* list = array_at(key, most);
  for (size_t i = 0; list != nullptr && i < list->size(); ++i) {
    Fields inner((*list)[i], path(key) + '[' + std::to_string(i) + ']');
    read(inner);
    absorb(std::move(inner));
  }
}

void Fields::named_objects(std::string_view key, size_t most, const NamedReader& read) {
  if (describing()) {
    const Json each = described([&read](Fields& fields) { read({}, fields); });
    return describe(
        key,
        {{"type", "object"}, {"minProperties", 1}, {"maxProperties", most}, {"additionalProperties", each}},
        true);
  }
  require(key);
  const Json* objects = maybe_object(key);
  if (objects == nullptr) return;
  if (objects->empty()) fault(key, "must have at least one member");
  if (objects->size() > most) return fault(key, "must have at most " + std::to_string(most) + " members");
  for (const auto& [name, object] : objects->items()) {
    Fields inner(object, path(key) + '.' + name);
    read(name, inner);
    absorb(std::move(inner));
  }
}

std::vector<std::string> Fields::maybe_texts(std::string_view key, size_t most, size_t longest) {
  std::vector<std::string> texts;
  if (describing()) {
    describe(key, schema::array(0, most, schema::text(0, longest, true)), false);
    return texts;
  }
  const Json* value = array_at(key, most);
  if (value == nullptr) return texts;
  for (size_t i = 0; i < value->size(); ++i) {
    const Json& element = (*value)[i];
    const std::string name = std::string(key) + '[' + std::to_string(i) + ']';
    if (!element.is_string()) {
      fault(name, "must be a string");
    } else if (const auto text = element.get<std::string>(); length_of(text) > longest) {
      fault(name, "must be at most " + std::to_string(longest) + " characters long");
    } else if (const char* const wrong = bad_characters(text, true)) {
      fault(name, wrong);
    } else {
      texts.push_back(text);
    }
  }
  return texts;
}

std::vector<std::string> Fields::texts(std::string_view key, size_t most) {
  if (describing()) {
    describe(key, schema::array(1, most, schema::text(0, kLabelLength, true)), true);
    return {};
  }
  const Json* value = require(key);
  if (value != nullptr && value->is_array() && value->empty()) fault(key, "must name at least one");
  return maybe_texts(key, most);
}

void Fields::by_word(std::string_view key, Cases cases) {
  if (describing()) {
    Json schemas = Json::array();
    for (const auto& [word, read] : cases) {
      Json one = *schema_;
      Fields inner = describing(one);
      inner.describe(key, {{"type", "string"}, {"const", word}}, true);
      read(inner);
      schemas.push_back(std::move(one));
    }
    *schema_ = {{"oneOf", std::move(schemas)}};
    return;
  }
  std::vector<std::string_view> words;
  for (const auto& [word, read] : cases) words.push_back(word);
  const auto value = one_of(key, words, {});
  for (const auto& [word, read] : cases)
    if (word == value) return read(*this);
  checked_ = true;  // without it no field can be judged, and its own fault is enough
}

void Fields::either(std::string_view key, const Reader& with, const Reader& without) {
  if (!describing()) return find(key) != nullptr ? with(*this) : without(*this);
  Json one = *schema_;
  Json other = *schema_;
  Fields first = describing(one);
  with(first);
  Fields second = describing(other);
  second.describe(key, {{"type", "null"}}, false);
  without(second);
  *schema_ = {{"oneOf", Json::array({std::move(one), std::move(other)})}};
}

void Fields::absent(std::string_view key, const std::string& message) {
  if (describing()) return describe(key, {{"type", "null"}, {"description", message}}, false);
  if (find(key) != nullptr) fault(key, message);
}

void Fields::at_least_one(Words keys, const std::string& message) {
  if (!describing()) {
    const bool any = std::ranges::any_of(keys, [this](auto key) { return find(key) != nullptr; });
    if (!any) fault(*keys.begin(), message);
    return;
  }
  Json& any = (*schema_)["anyOf"] = Json::array();
  for (const auto key : keys) {
    Json given = {{"properties", {{std::string(key), {{"not", {{"type", "null"}}}}}}}};
    given["required"].push_back(key);
    any.push_back(std::move(given));
  }
}

void Fields::anything(std::string_view key) {
  if (describing())
    describe(key, Json::object(), false);
  else
    find(key);
}

void Fields::anything_else() {
  if (describing())
    schema_->erase("additionalProperties");
  else
    checked_ = true;
}

void Fields::note(std::string_view key, std::string_view keyword, std::string_view text) {
  if (describing()) (*schema_)["properties"][std::string(key)][std::string(keyword)] = text;
}

void Fields::partial() {
  if (!describing()) return;
  schema_->erase("required");
  (*schema_)["minProperties"] = 1;
}

void Fields::absorb(Fields&& inner) {
  inner.refuse_unknown();
  std::ranges::move(inner.faults_, std::back_inserter(faults_));
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

Query Query::describing(Json& schema) {
  Query query;
  query.schema_ = &schema;
  if (schema.is_null()) schema = schema::object();
  return query;
}

void Query::describe(std::string_view key, Json field) {
  schema::add(*schema_, key, std::move(field), false, false);
}

void Query::note(std::string_view key, std::string_view text) {
  if (schema_ != nullptr) (*schema_)["properties"][std::string(key)]["description"] = text;
}

void Query::refuse(std::string_view key, const std::string& message) {
  if (!fault_) fault_ = Problem(422, "invalid_value", std::string(key) + ' ' + message, std::string(key));
}

std::optional<std::string> Query::find(std::string_view key) {
  known_.push_back(key);
  for (const auto& [name, value] : *pairs_)
    if (name == key) return value;
  return std::nullopt;
}

std::optional<std::string> Query::text(std::string_view key, const char* pattern) {
  if (schema_ == nullptr) return find(key);
  Json field = {{"type", "string"}};
  if (pattern != nullptr) field["pattern"] = pattern;
  describe(key, std::move(field));
  return std::nullopt;
}

std::optional<std::string> Query::word(std::string_view key, std::initializer_list<std::string_view> words) {
  if (schema_ != nullptr) {
    describe(key, schema::words(std::span(words.begin(), words.size())));
    return std::nullopt;
  }
  auto value = find(key);
  if (!value || std::ranges::find(words, *value) != words.end()) return value;
  std::string list;
  for (const auto word : words) list += (list.empty() ? "" : ", ") + std::string(word);
  refuse(key, "must be one of " + list);
  return std::nullopt;
}

int64_t Query::integer(std::string_view key, int64_t fallback, int64_t low, int64_t high) {
  if (schema_ != nullptr) {
    Json field = schema::integer(low, high);
    field["default"] = fallback;
    describe(key, std::move(field));
    return fallback;
  }
  const auto value = find(key);
  if (!value) return fallback;
  int64_t number = 0;
  const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), number);
  const bool whole = error == std::errc() && end == value->data() + value->size();
  if (whole && number >= low && number <= high) return number;
  refuse(key, "must be a whole number from " + std::to_string(low) + " to " + std::to_string(high));
  return fallback;
}

std::optional<bool> Query::boolean(std::string_view key) {
  if (schema_ != nullptr) {
    describe(key, {{"type", "boolean"}});
    return std::nullopt;
  }
  const auto value = find(key);
  if (!value) return std::nullopt;
  if (*value == "true" || *value == "1") return true;
  if (*value == "false" || *value == "0") return false;
  refuse(key, "must be true or false");
  return std::nullopt;
}

Answer<> Query::done() {
  if (schema_ != nullptr) return {};
  for (const auto& [name, value] : *pairs_)
    if (!fault_ && std::ranges::find(known_, name) == known_.end())
      fault_ = Problem(422, "invalid_value", json_quote(name) + " is not a parameter of this request", name);
  if (fault_) return std::unexpected(*fault_);
  return {};
}

}  // namespace assay::api
