#include "core/settings.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <sstream>

#include "core/fd.hpp"

namespace assay {
namespace {

std::string variable_of(const std::string& key) {
  std::string name = "ASSAY_";
  for (const char c : key) name += c == '.' || c == '-' ? '_' : static_cast<char>(std::toupper(c));
  return name;
}

std::string text_of(std::chrono::milliseconds value) {
  if (value.count() % 1000 == 0) return std::to_string(value.count() / 1000) + "s";
  return std::to_string(value.count()) + "ms";
}

Result<int64_t> parse_integer(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    return fail(ErrorKind::config, "expects a whole number, not \"" + std::string(text) + "\"");
  return value;
}

/// A leaf of the file as text, or why it is none.
Result<std::vector<std::string>> values_of(const toml::node& node) {
  const auto scalar = [](const toml::node& leaf) -> Result<std::string> {
    if (const auto* text = leaf.as_string()) return text->get();
    if (const auto* number = leaf.as_integer()) return std::to_string(number->get());
    if (const auto* flag = leaf.as_boolean()) return std::string(flag->get() ? "true" : "false");
    return fail(ErrorKind::config, "expects a string, a whole number or true/false");
  };
  std::vector<std::string> values;
  if (const auto* list = node.as_array()) {
    for (const auto& element : *list) {
      ASSAY_TRY(auto text, scalar(element));
      values.push_back(std::move(text));
    }
    return values;
  }
  ASSAY_TRY(auto text, scalar(node));
  values.push_back(std::move(text));
  return values;
}

/// Letters to add, take away, change or swap with their neighbour to make one word of the other.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> rows(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        rows[i][j] = i + j;
        continue;
      }
      const size_t changed = rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      rows[i][j] = std::min({changed, rows[i - 1][j] + 1, rows[i][j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        rows[i][j] = std::min(rows[i][j], rows[i - 2][j - 2] + 1);
    }
  }
  return rows[a.size()][b.size()];
}

}  // namespace

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  const size_t digits = text.find_first_not_of("0123456789");
  const auto number = parse_integer(text.substr(0, digits));
  const std::string_view unit = digits == std::string_view::npos ? "" : text.substr(digits);
  int64_t scale = 0;
  if (unit == "ms") scale = 1;
  if (unit == "s") scale = 1000;
  if (unit == "m") scale = 60'000;
  if (unit == "h") scale = 3'600'000;
  if (!number || scale == 0 || *number > INT64_MAX / scale)
    return fail(ErrorKind::config,
                "expects a duration such as 250ms, 10s or 5m, not \"" + std::string(text) + "\"");
  return std::chrono::milliseconds(*number * scale);
}

std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string* best = nullptr;
  size_t best_distance = std::max<size_t>(1, word.size() / 3) + 1;
  for (const auto& candidate : candidates) {
    const size_t distance = edit_distance(word, candidate);
    if (distance >= best_distance) continue;
    best_distance = distance;
    best = &candidate;
  }
  if (best == nullptr) return std::nullopt;
  return *best;
}

void Settings::add(std::string key, std::string doc, std::string* value) {
  entries_.push_back({std::move(key), std::move(doc), *value, "a string", false,
                      [value](const std::vector<std::string>& given) -> Result<> {
                        *value = given[0];
                        return {};
                      }});
}

void Settings::add(std::string key, std::string doc, bool* value) {
  entries_.push_back({std::move(key), std::move(doc), *value ? "true" : "false", "true or false", false,
                      [value](const std::vector<std::string>& given) -> Result<> {
                        if (given[0] != "true" && given[0] != "false")
                          return fail(ErrorKind::config, "expects true or false, not \"" + given[0] + "\"");
                        *value = given[0] == "true";
                        return {};
                      }});
}

void Settings::add(std::string key, std::string doc, size_t* value, size_t low, size_t high) {
  entries_.push_back({std::move(key), std::move(doc), std::to_string(*value), "a whole number", false,
                      [value, low, high](const std::vector<std::string>& given) -> Result<> {
                        ASSAY_TRY(const auto number, parse_integer(given[0]));
                        if (number < static_cast<int64_t>(low) || number > static_cast<int64_t>(high))
                          return fail(ErrorKind::config, "must be from " + std::to_string(low) + " to " +
                                                             std::to_string(high) + ", not " + given[0]);
                        *value = static_cast<size_t>(number);
                        return {};
                      }});
}

void Settings::add(std::string key, std::string doc, std::chrono::milliseconds* value) {
  entries_.push_back({std::move(key), std::move(doc), text_of(*value), "a duration", false,
                      [value](const std::vector<std::string>& given) -> Result<> {
                        ASSAY_TRY(*value, parse_duration(given[0]));
                        return {};
                      }});
}

void Settings::add(std::string key, std::string doc, std::vector<std::string>* value) {
  std::string fallback;
  for (const auto& element : *value) fallback += (fallback.empty() ? "" : ",") + element;
  entries_.push_back({std::move(key), std::move(doc), fallback, "a list", true,
                      [value](const std::vector<std::string>& given) -> Result<> {
                        *value = given;
                        return {};
                      }});
}

const Settings::Entry* Settings::find(const std::string& key) const {
  for (const auto& entry : entries_)
    if (entry.key == key) return &entry;
  return nullptr;
}

Result<> Settings::load_file(const std::string& path) {
  ASSAY_TRY(const std::string text, read_file(path, 1 << 20));
  toml::table table;
  try {
    table = toml::parse(text, path);
  } catch (const toml::parse_error& e) {
    return fail(ErrorKind::config,
                path + ":" + std::to_string(e.source().begin.line) + ": " + std::string(e.description()));
  }
  std::vector<std::string> names;
  for (const auto& entry : entries_) names.push_back(entry.key);
  std::string faults;
  std::vector<std::pair<const Entry*, std::vector<std::string>>> found;
  const auto fault = [&](const toml::node& node, const std::string& what) {
    faults +=
        (faults.empty() ? "" : "\n") + path + ":" + std::to_string(node.source().begin.line) + ": " + what;
  };
  const auto visit = [&](const auto& self, const toml::table& level, const std::string& prefix) -> void {
    for (const auto& [name, node] : level) {
      const std::string key = prefix + std::string(name.str());
      const Entry* entry = find(key);
      if (entry == nullptr && node.is_table()) {
        self(self, *node.as_table(), key + ".");
        continue;
      }
      if (entry == nullptr) {
        const auto meant = nearest(key, names);
        fault(node, "unknown key " + key + (meant ? "; did you mean " + *meant + "?" : ""));
        continue;
      }
      auto values = values_of(node);
      if (values && node.is_array() && !entry->is_list)  // a single value is a list of one
        values = fail(ErrorKind::config, "expects " + entry->expects);
      if (!values)
        fault(node, key + " " + values.error().message);
      else
        found.emplace_back(entry, std::move(*values));
    }
  };
  visit(visit, table, "");
  for (const auto& [entry, values] : found) {
    if (const auto set = entry->set(values); !set)
      faults += (faults.empty() ? "" : "\n") + path + ": " + entry->key + " " + set.error().message;
  }
  if (!faults.empty()) return fail(ErrorKind::config, faults);
  return {};
}

Result<> Settings::load_environment() {
  for (const auto& entry : entries_) {
    const std::string variable = variable_of(entry.key);
    const char* value = std::getenv(variable.c_str());
    if (value == nullptr) continue;
    std::vector<std::string> values;
    if (entry.is_list) {
      std::stringstream list(value);
      for (std::string element; std::getline(list, element, ',');) values.push_back(element);
    } else {
      values.emplace_back(value);
    }
    if (const auto set = entry.set(values); !set)
      return fail(ErrorKind::config, variable + " " + set.error().message);
  }
  return {};
}

std::string Settings::help() const {
  size_t width = 0;
  for (const auto& entry : entries_) width = std::max(width, entry.key.size());
  std::string text;
  for (const auto& entry : entries_) {
    text += "  " + entry.key + std::string(width - entry.key.size() + 2, ' ') + entry.doc;
    if (!entry.fallback.empty()) text += " [" + entry.fallback + "]";
    text += "\n";
  }
  return text;
}

}  // namespace assay
