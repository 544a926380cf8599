#include "cli/table_reader.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/json.hpp"
#include "core/settings.hpp"

namespace assay::cli {
namespace {

bool is_finite(const toml::node& node) {
  if (const auto* value = node.as_floating_point()) return std::isfinite(value->get());
  if (const auto* list = node.as_array())
    return std::ranges::all_of(*list, [](const auto& e) { return is_finite(e); });
  if (const auto* level = node.as_table())
    for (const auto& [key, value] : *level)
      if (!is_finite(value)) return false;
  return true;
}

}  // namespace

std::string joined(const Names& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::unexpected<Error> Faults::error() const {
  std::string text;
  for (const auto& [line, what] : found_)
    text += (text.empty() ? "" : "\n") + path_ + ":" + std::to_string(line) + ": " + what;
  return fail(ErrorKind::config, std::move(text));
}

Result<toml::table> parse_toml(const std::string& path, const std::string& text) {
  try {
    return toml::parse(text, path);
  } catch (const toml::parse_error& e) {
    return fail(ErrorKind::config,
                path + ":" + std::to_string(e.source().begin.line) + ": " + std::string(e.description()));
  }
}

TableReader::~TableReader() {
  for (const auto& [key, node] : table_) {
    const std::string name(key.str());
    if (std::ranges::find(known_, name) != known_.end()) continue;
    const auto meant = nearest(name, known_);
    faults_.add(key.source(),
                "unknown key " + named(name) +
                    (meant ? "; did you mean " + *meant + "?" : "; the keys here are " + joined(known_)));
  }
}

const toml::node* TableReader::find(const std::string& key) {
  known_.push_back(key);
  return table_.get(key);
}

std::string TableReader::text(const std::string& key) {
  const auto* node = find(key);
  if (node == nullptr) return {};
  if (const auto* value = node->as_string()) return value->get();
  wrong(*node, key, "a string");
  return {};
}

std::vector<std::string> TableReader::texts(const std::string& key) {
  std::vector<std::string> list;
  const auto* node = find(key);
  if (node == nullptr) return list;
  const auto* array = node->as_array();
  const auto is_text = [](const auto& element) { return element.is_string(); };
  if (array == nullptr || !std::ranges::all_of(*array, is_text)) {
    wrong(*node, key, "a list of strings");
    return list;
  }
  for (const auto& element : *array) list.push_back(element.as_string()->get());
  return list;
}

std::string TableReader::required_text(const std::string& key, const std::string& for_what) {
  std::string value = text(key);
  if (value.empty() && (!has(key) || table_.get(key)->is_string())) missing(key, for_what);
  return value;
}

std::optional<int64_t> TableReader::integer(const std::string& key, int64_t low, int64_t high) {
  const auto* node = find(key);
  if (node == nullptr) return std::nullopt;
  const auto* value = node->as_integer();
  if (value == nullptr) {
    wrong(*node, key, "a whole number");
  } else if (value->get() < low || value->get() > high) {
    const std::string range = high == kMost ? "at least " + std::to_string(low)
                                            : "from " + std::to_string(low) + " to " + std::to_string(high);
    faults_.add(node->source(), named(key) + " must be " + range + ", not " + std::to_string(value->get()));
  } else {
    return value->get();
  }
  return std::nullopt;
}

std::optional<double> TableReader::number(const std::string& key) {
  const auto* node = find(key);
  if (node == nullptr) return std::nullopt;
  const auto value = node->value<double>();
  if (value && node->is_number() && std::isfinite(*value)) return value;
  wrong(*node, key, "a number");
  return std::nullopt;
}

const toml::table* TableReader::table(const std::string& key) {
  const auto* node = find(key);
  if (node == nullptr) return nullptr;
  if (!node->is_table()) wrong(*node, key, "a table");
  return node->as_table();
}

std::string TableReader::json(const std::string& key) {
  const auto* value = table(key);
  if (value == nullptr) return "{}";
  if (!is_finite(*value)) {
    faults_.add(value->source(), named(key) + " holds nan or inf, which JSON cannot carry");
    return "{}";
  }
  std::ostringstream out;
  out << toml::json_formatter{
      *value, toml::format_flags::quote_dates_and_times | toml::format_flags::allow_unicode_strings};
  const auto parsed = parse_json(out.str());
  if (!parsed) faults_.add(value->source(), named(key) + ": " + parsed.error().message);
  return parsed ? dump_json(*parsed) : "{}";
}

std::string TableReader::named(const std::string& key) const {
  if (place_.empty()) return key;
  return place_.contains(' ') ? key + " of " + place_ : place_ + "." + key;
}

void TableReader::wrong(const toml::node& node, const std::string& key, const std::string& expected) {
  faults_.add(node.source(), named(key) + " must be " + expected);
}

void TableReader::missing(const std::string& key, const std::string& for_what) {
  faults_.add(source(), named(key) + " is missing: " + for_what);
}

void TableReader::fault(const std::string& key, std::string what) {
  faults_.add(table_.get(key)->source(), std::move(what));
}

bool is_one_of(TableReader& reader, const std::string& key, const std::string& word, const Names& words) {
  if (std::ranges::find(words, word) != words.end()) return true;
  const auto meant = nearest(word, words);
  reader.fault(key, "unknown " + key + " \"" + word + "\"" +
                        (meant ? "; did you mean " + *meant + "?" : "; it is one of " + joined(words)));
  return false;
}

}  // namespace assay::cli
