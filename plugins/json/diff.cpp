#include "plugins/json/diff.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "plugins/json/read.hpp"
#include "plugins/text/levenshtein.hpp"

namespace assay::json_check {
namespace {

using Json = nlohmann::json;
using Score = std::expected<double, std::string>;

bool is_numeric(const Json& value) {
  return value.is_number() || value.is_boolean();
}

double number_of(const Json& value) {
  return value.is_boolean() ? static_cast<double>(value.get<bool>()) : value.get<double>();
}

/// As Python's json.dumps(…, separators=(",", ":"), sort_keys=True).
std::string dump(const Json& value) {
  return value.dump(-1, ' ', true, Json::error_handler_t::replace);
}

/// Walks two documents; what is left of the work that strings may cause goes down with it.
class Comparison {
 public:
  explicit Comparison(Strings strings) : strings_(strings) {}

  Score compare(const Json& a, const Json& b, int depth) {
    if (depth > kDepthLimit)
      return std::unexpected("nested deeper than " + std::to_string(kDepthLimit) + " levels");
    if (const auto parsed = parsed_string(a)) return compare(*parsed, b, depth + 1);
    if (const auto parsed = parsed_string(b)) return compare(a, *parsed, depth + 1);
    if (a.is_object() && b.is_object()) return compare_objects(a, b, depth);
    if (a.is_array() && b.is_array()) return compare_arrays(a, b, depth);
    if (a.is_string() && b.is_string())
      return compare_text(a.get_ref<const std::string&>(), b.get_ref<const std::string&>());
    if (is_numeric(a) && is_numeric(b)) return number_similarity(number_of(a), number_of(b));
    if (a.is_null() || b.is_null()) return a.is_null() && b.is_null() ? 1 : 0;
    return compare_text(dump(a), dump(b));
  }

 private:
  /// The object or array that `value` holds as text. nullopt too for one nested too deeply, which stays text.
  std::optional<Json> parsed_string(const Json& value) const {
    if (strings_ == Strings::preserve || !value.is_string()) return std::nullopt;
    const auto& text = value.get_ref<const std::string&>();
    const size_t first = text.find_first_not_of(" \t\r\n");
    if (first == std::string::npos || (text[first] != '{' && text[first] != '[')) return std::nullopt;
    auto document = read_json(text);
    if (!document) return std::nullopt;
    return std::move(*document);
  }

  Score compare_objects(const Json& a, const Json& b, int depth) {
    if (a.empty() && b.empty()) return 1;
    static const Json kNull;
    double sum = 0;
    size_t keys = a.size();
    const auto add = [&](const Json& left, const Json& right) -> std::expected<void, std::string> {
      const Score score = compare(left, right, depth + 1);
      if (!score) return std::unexpected(score.error());
      sum += *score;
      return {};
    };
    for (const auto& [key, value] : a.items()) {
      const auto other = b.find(key);
      if (const auto added = add(value, other == b.end() ? kNull : *other); !added)
        return std::unexpected(added.error());
    }
    for (const auto& [key, value] : b.items()) {
      if (a.contains(key)) continue;
      ++keys;
      if (const auto added = add(kNull, value); !added) return std::unexpected(added.error());
    }
    return sum / static_cast<double>(keys);
  }

  Score compare_arrays(const Json& a, const Json& b, int depth) {
    if (a.empty() && b.empty()) return 1;
    double sum = 0;
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      const Score score = compare(a[i], b[i], depth + 1);
      if (!score) return score;
      sum += *score;
    }
    return sum / static_cast<double>(std::max(a.size(), b.size()));
  }

  Score compare_text(const std::string& a, const std::string& b) {
    if (a == b) return 1;
    const uint64_t cells = static_cast<uint64_t>(a.size()) * b.size();
    if (cells > cells_left_)
      return std::unexpected(
          "the strings of the documents are too long for their edit distances: the products of the "
          "lengths may add up to " +
          std::to_string(text::kLevenshteinCellLimit));
    cells_left_ -= cells;
    return text::levenshtein_similarity(a, b);
  }

  Strings strings_;
  uint64_t cells_left_ = text::kLevenshteinCellLimit;
};

}  // namespace

double number_similarity(double a, double b) {
  if (a == b) return 1;
  // Halved, so that no sum overflows.
  return 1 - std::abs(a / 2 - b / 2) / (std::abs(a / 2) + std::abs(b / 2));
}

std::expected<double, std::string> json_similarity(const nlohmann::json& output,
                                                   const nlohmann::json& expected, Strings strings) {
  return Comparison(strings).compare(output, expected, 0);
}

}  // namespace assay::json_check
