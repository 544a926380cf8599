#include "cli/mock/schema_fill.hpp"

#include <algorithm>
#include <optional>

#include "core/json.hpp"

namespace assay::cli::mock {
namespace {

namespace dom = simdjson::dom;
constexpr int kDepthLimit = 32;  // a schema may refer to itself
constexpr int kListDepth = 8;    // lists below have no more than they must
constexpr size_t kSizeLimit = size_t{1} << 20;
constexpr uint64_t kElementLimit = 64;

std::optional<dom::element> member(dom::element value, std::string_view name) {
  dom::element found;
  if (value.at_key(name).get(found) != simdjson::SUCCESS) return std::nullopt;
  return found;
}
std::string_view text_of(std::optional<dom::element> value) {
  std::string_view text;
  if (!value || value->get(text) != simdjson::SUCCESS) return {};
  return text;
}
std::optional<double> number_of(std::optional<dom::element> value) {
  double number = 0;
  if (!value || value->get(number) != simdjson::SUCCESS) return std::nullopt;
  return number;
}
std::optional<uint64_t> count_of(std::optional<dom::element> value) {
  uint64_t count = 0;
  if (!value || value->get(count) != simdjson::SUCCESS) return std::nullopt;
  return count;
}

/// The name of a schema's type; of several the first that is not null; of none what its members tell.
std::string_view type_of(dom::element schema) {
  const auto type = member(schema, "type");
  dom::array list;
  if (type && type->get(list) == simdjson::SUCCESS) {
    for (const auto one : list)
      if (text_of(one) != "null") return text_of(one);
    return "null";
  }
  if (type) return text_of(type);
  return member(schema, "properties") ? "object" : member(schema, "items") ? "array" : "string";
}

/// A number's range: open ends are 0 and 1, excluded ones a step away.
struct Range {
  double low = 0, high = 1;
};
Range range_of(dom::element schema, bool whole) {
  const double step = whole ? 1 : 0.001;
  const auto low = number_of(member(schema, "minimum")),
             above = number_of(member(schema, "exclusiveMinimum"));
  const auto high = number_of(member(schema, "maximum")),
             below = number_of(member(schema, "exclusiveMaximum"));
  Range range;
  if (low || above) range.low = low.value_or(above.value_or(0) + step);
  range.high = std::max(range.low, 1.0);
  if (high || below) range.high = high.value_or(below.value_or(0) - step);
  if (!low && !above) range.low = std::min(range.low, range.high);
  return range;
}

class Filler {
 public:
  Filler(dom::element root, const Finding& finding, std::string_view text)
      : root_(root), finding_(finding), text_(text) {}

  void fill(dom::element schema, int depth) {
    schema = chosen(schema);
    std::string& out = filled.json;
    if (depth > kDepthLimit || out.size() > kSizeLimit || !schema.is_object()) {
      out += "null";
    } else if (const auto constant = member(schema, "const")) {
      out += simdjson::minify(*constant);
    } else if (const auto menu = member(schema, "enum")) {
      say([&] { fill_menu(*menu); });
    } else {
      fill_type(schema, type_of(schema), depth);
    }
  }

  Filled filled;

 private:
  /// What a reference or an alternative stands for.
  dom::element chosen(dom::element schema) const {
    for (int steps = 0; steps < kDepthLimit; ++steps) {
      const std::string_view reference = text_of(member(schema, "$ref"));
      dom::element target;
      if (reference.starts_with("#") &&
          root_.at_pointer(reference.substr(1)).get(target) == simdjson::SUCCESS)
        schema = target;
      else if (const auto option = alternative(schema))
        schema = *option;
      else
        break;
    }
    return schema;
  }
  static std::optional<dom::element> alternative(dom::element schema) {
    for (const char* name : {"anyOf", "oneOf", "allOf"}) {
      const auto options = member(schema, name);
      dom::array list;
      if (!options || options->get(list) != simdjson::SUCCESS) continue;
      for (const auto option : list)
        if (text_of(member(option, "type")) != "null") return option;
    }
    return std::nullopt;
  }

  template <class Write>
  void say(Write write) {
    filled.verdict_at = filled.json.size();
    write();
    filled.verdict_size = filled.json.size() - filled.verdict_at;
  }

  void fill_type(dom::element schema, std::string_view type, int depth) {
    if (type == "object")
      fill_object(schema, depth);
    else if (type == "array")
      fill_list(schema, depth);
    else if (type == "number" || type == "integer")
      say([&] { fill_number(range_of(schema, type == "integer")); });
    else if (type == "boolean")
      say([&] { filled.json += is_yes() ? "true" : "false"; });
    else if (type == "null")
      filled.json += "null";
    else
      fill_string(schema);
  }

  void fill_menu(dom::element menu) {
    std::vector<std::string_view> labels;
    dom::array list;
    std::string& out = filled.json;
    if (menu.get(list) != simdjson::SUCCESS || list.size() == 0) {
      out += "null";
      return;
    }
    std::vector<std::string> written;
    written.reserve(list.size());
    for (const auto value : list) {
      written.push_back(simdjson::minify(value));
      labels.push_back(value.is_string() ? text_of(value) : std::string_view(written.back()));
    }
    const auto pick = choose(finding_, labels);
    const auto place = std::ranges::find_if(labels, [&](auto label) { return label.data() == pick.data(); });
    if (place != labels.end())
      out += written[static_cast<size_t>(place - labels.begin())];
    else if (std::holds_alternative<std::string>(finding_))
      append_json_quote(out, word_of(finding_));
    else
      out += word_of(finding_);
  }

  void fill_number(Range range) {
    if (const auto* number = std::get_if<double>(&finding_)) return append_json_number(filled.json, *number);
    if (const auto* label = std::get_if<std::string>(&finding_))
      return append_json_quote(filled.json, *label);
    append_json_number(filled.json, is_yes() ? range.high : range.low);
  }

  bool is_yes() const {
    if (const auto* truth = std::get_if<bool>(&finding_)) return *truth;
    if (const auto* number = std::get_if<double>(&finding_)) return *number != 0;
    return true;
  }

  void fill_string(dom::element schema) {
    std::string text(text_.substr(0, count_of(member(schema, "maxLength")).value_or(text_.size())));
    const uint64_t least = std::min<uint64_t>(count_of(member(schema, "minLength")).value_or(0), 4096);
    if (text.size() < least) text.resize(least, '.');
    append_json_quote(filled.json, text);
  }

  void fill_list(dom::element schema, int depth) {
    const uint64_t most = count_of(member(schema, "maxItems")).value_or(kElementLimit);
    const uint64_t least = count_of(member(schema, "minItems")).value_or(depth < kListDepth ? 1 : 0);
    const auto items = member(schema, "items");
    filled.json += '[';
    for (uint64_t i = 0; items && i < std::min({least, most, kElementLimit}); ++i) {
      if (i > 0) filled.json += ',';
      fill(*items, depth + 1);
    }
    filled.json += ']';
  }

  void fill_object(dom::element schema, int depth) {
    const auto properties = member(schema, "properties");
    dom::object members;
    bool first = true;
    filled.json += '{';
    if (properties && properties->get(members) == simdjson::SUCCESS) {
      for (const auto field : members) {
        if (!first) filled.json += ',';
        first = false;
        append_json_quote(filled.json, field.key);
        filled.json += ':';
        fill(field.value, depth + 1);
      }
    }
    filled.json += '}';
  }

  dom::element root_;
  const Finding& finding_;
  std::string_view text_;
};

}  // namespace

Filled fill_schema(dom::element schema, const Finding& finding, std::string_view text) {
  Filler filler(schema, finding, text);
  filler.fill(schema, 0);
  return std::move(filler.filled);
}

}  // namespace assay::cli::mock
