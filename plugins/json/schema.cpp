#include "plugins/json/schema.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "plugins/json/read.hpp"
#include "plugins/text/regex.hpp"
#include "plugins/text/utf8.hpp"

namespace assay::json_check {
namespace {

using Json = nlohmann::json;
using Path = Json::json_pointer;
/// What goes wrong ends the walk: an error of the schema, or of the document.
using Checked = std::expected<void, std::string>;
using Patterns = std::map<std::string, text::Regex>;

constexpr int kCheckLimit = 1'000'000;

std::unexpected<std::string> at(const std::string& place, const std::string& problem) {
  return std::unexpected((place.empty() ? std::string("#") : place) + ": " + problem);
}

/// The member of an object; null if it has none.
const Json* member(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

bool is_integer(const Json& value) {
  return value.is_number_integer() ||
         (value.is_number_float() && std::floor(value.get<double>()) == value.get<double>());
}

bool is_type(const Json& value, std::string_view type) {
  if (type == "integer") return is_integer(value);
  return type == value.type_name() || (type == "number" && value.is_number());
}

bool is_type_name(const Json& value) {
  static const std::set<std::string> kTypes = {"null",   "boolean", "object", "array",
                                               "number", "integer", "string"};
  return value.is_string() && kTypes.contains(value.get_ref<const std::string&>());
}

bool is_count(const Json& value) {
  return is_integer(value) && value.get<double>() >= 0;
}

bool is_list_of_names(const Json& value) {
  return value.is_array() && std::ranges::all_of(value, [](const Json& name) { return name.is_string(); });
}

/// `text` with its %41s as what they stand for.
std::string unescaped(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](size_t j) {
      return std::string_view("0123456789abcdef").find(text::ascii_lower(text[j]));
    };
    if (text[i] == '%' && i + 2 < text.size() && digit(i + 1) != std::string_view::npos &&
        digit(i + 2) != std::string_view::npos) {
      result += static_cast<char>(digit(i + 1) * 16 + digit(i + 2));
      i += 2;
    } else {
      result += text[i];
    }
  }
  return result;
}

/// What "#" and a JSON pointer lead to; null if nowhere.
const Json* resolve(const Json& root, std::string_view reference) {
  try {
    const Path pointer(unescaped(reference.substr(1)));
    return root.contains(pointer) ? &root.at(pointer) : nullptr;
  } catch (const Json::exception&) {
    return nullptr;
  }
}

// -- What a schema may hold
// -------------------------------------------------------------------------------------------

/// What the value of a keyword must be.
enum class Form {
  schema,
  schemas,
  schemas_by_name,
  items,
  dependencies,
  type,
  count,
  number,
  multiple,
  text,
  names,
  names_by_name,
  boolean,
  list,
  reference,
  refused
};

const std::map<std::string_view, Form>& forms() {
  static const std::map<std::string_view, Form> kForms = {
      {"not", Form::schema},
      {"if", Form::schema},
      {"then", Form::schema},
      {"else", Form::schema},
      {"contains", Form::schema},
      {"additionalProperties", Form::schema},
      {"additionalItems", Form::schema},
      {"propertyNames", Form::schema},
      {"allOf", Form::schemas},
      {"anyOf", Form::schemas},
      {"oneOf", Form::schemas},
      {"prefixItems", Form::schemas},
      {"properties", Form::schemas_by_name},
      {"patternProperties", Form::schemas_by_name},
      {"$defs", Form::schemas_by_name},
      {"definitions", Form::schemas_by_name},
      {"dependentSchemas", Form::schemas_by_name},
      {"items", Form::items},
      {"dependencies", Form::dependencies},
      {"type", Form::type},
      {"minLength", Form::count},
      {"maxLength", Form::count},
      {"minItems", Form::count},
      {"maxItems", Form::count},
      {"minProperties", Form::count},
      {"maxProperties", Form::count},
      {"minContains", Form::count},
      {"maxContains", Form::count},
      {"minimum", Form::number},
      {"maximum", Form::number},
      {"exclusiveMinimum", Form::number},
      {"exclusiveMaximum", Form::number},
      {"multipleOf", Form::multiple},
      {"pattern", Form::text},
      {"required", Form::names},
      {"dependentRequired", Form::names_by_name},
      {"uniqueItems", Form::boolean},
      {"enum", Form::list},
      {"$ref", Form::reference},
      {"$dynamicRef", Form::refused},
      {"$recursiveRef", Form::refused},
      {"unevaluatedProperties", Form::refused},
      {"unevaluatedItems", Form::refused},
  };
  return kForms;
}

/// Checks a schema before it is used, and compiles its patterns.
class Inspection {
 public:
  Inspection(const Json& root, Patterns& patterns) : root_(root), patterns_(patterns) {}

  Checked schema(const Json& value, const std::string& place, int depth) {
    if (depth > kDepthLimit)
      return at(place, "nested deeper than " + std::to_string(kDepthLimit) + " levels");
    if (value.is_boolean()) return {};
    if (!value.is_object()) return at(place, "a schema is an object or a boolean");
    for (const auto& [key, content] : value.items()) {
      const auto form = forms().find(key);
      if (form == forms().end()) continue;
      if (auto checked = keyword(key, form->second, content, place + "/" + key, depth + 1); !checked)
        return checked;
    }
    return {};
  }

 private:
  Checked keyword(const std::string& key, Form form, const Json& value, const std::string& place, int depth) {
    switch (form) {
      case Form::schema:
        return schema(value, place, depth);
      case Form::schemas:
        return schemas(value, place, depth);
      case Form::schemas_by_name:
        return schemas_by_name(key, value, place, depth);
      case Form::items:
        return value.is_array() ? schemas(value, place, depth) : schema(value, place, depth);
      case Form::dependencies:
        return dependencies(value, place, depth);
      case Form::type:
        return want(place,
                    is_type_name(value) || (value.is_array() && std::ranges::all_of(value, is_type_name)),
                    "the name of a type, or a list of them");
      case Form::count:
        return want(place, is_count(value), "a whole number, 0 or more");
      case Form::number:
        return want(place, value.is_number(), "a number");
      case Form::multiple:
        return want(place, value.is_number() && value.get<double>() > 0, "a number above 0");
      case Form::text:
        return value.is_string() ? pattern(value.get_ref<const std::string&>(), place)
                                 : at(place, "must be a string");
      case Form::names:
        return want(place, is_list_of_names(value), "a list of strings");
      case Form::names_by_name:
        return want(place, value.is_object() && std::ranges::all_of(value, is_list_of_names),
                    "an object of lists of strings");
      case Form::boolean:
        return want(place, value.is_boolean(), "true or false");
      case Form::list:
        return want(place, value.is_array(), "a list");
      case Form::reference:
        return reference(value, place, depth);
      case Form::refused:
        return at(place, "is not supported");
    }
    return {};
  }

  static Checked want(const std::string& place, bool is, const char* what) {
    if (is) return {};
    return at(place, std::string("must be ") + what);
  }

  Checked schemas(const Json& value, const std::string& place, int depth) {
    if (!value.is_array()) return at(place, "must be a list of schemas");
    for (size_t i = 0; i < value.size(); ++i)
      if (auto checked = schema(value[i], place + "/" + std::to_string(i), depth); !checked) return checked;
    return {};
  }

  Checked schemas_by_name(const std::string& key, const Json& value, const std::string& place, int depth) {
    if (!value.is_object()) return at(place, "must be an object of schemas");
    for (const auto& [name, content] : value.items()) {
      if (key == "patternProperties")
        if (auto checked = pattern(name, place); !checked) return checked;
      if (auto checked = schema(content, place + "/" + name, depth); !checked) return checked;
    }
    return {};
  }

  Checked dependencies(const Json& value, const std::string& place, int depth) {
    if (!value.is_object()) return at(place, "must be an object of schemas or lists of strings");
    for (const auto& [name, content] : value.items())
      if (!is_list_of_names(content))
        if (auto checked = schema(content, place + "/" + name, depth); !checked) return checked;
    return {};
  }

  Checked pattern(const std::string& source, const std::string& place) {
    if (patterns_.contains(source)) return {};
    auto compiled = text::Regex::compile(source);
    if (!compiled) return at(place, compiled.error());
    patterns_.emplace(source, std::move(*compiled));
    return {};
  }

  /// A target in a place that is no schema, a default for one, is inspected too.
  Checked reference(const Json& value, const std::string& place, int depth) {
    if (!value.is_string()) return at(place, "must be a string");
    const auto& target = value.get_ref<const std::string&>();
    if (!target.starts_with("#"))
      return at(place, "\"" + target + "\": references to other documents are not supported");
    const Json* found = resolve(root_, target);
    if (found == nullptr)
      return at(place, "\"" + target + "\" leads nowhere; references are \"#\" and a JSON pointer");
    if (!inspected_.insert(found).second) return {};
    return schema(*found, target, depth);
  }

  const Json& root_;
  Patterns& patterns_;
  std::set<const Json*> inspected_;
};

// -- Whether a document is as the schema says
// -------------------------------------------------------------------------

/// What is wrong with a document; nullopt if nothing is. The error ends the walk.
using Fault = std::expected<std::optional<std::string>, std::string>;

class Validation {
 public:
  Validation(const Json& root, const Patterns& patterns) : root_(root), patterns_(patterns) {}

  Fault check(const Json& schema, const Json& value, const std::string& path, int depth) {
    if (schema.is_boolean()) return schema.get<bool>() ? Fault() : wrong(path, "is not allowed");
    if (depth > kDepthLimit)
      return std::unexpected("the schema refers to itself without end, or is nested too deeply");
    const Site site{schema, value, path, depth + 1};
    using Check = Fault (Validation::*)(const Site&);
    static constexpr Check kChecks[] = {&Validation::reference,  &Validation::kind,     &Validation::number,
                                        &Validation::string,     &Validation::array,    &Validation::contains,
                                        &Validation::object,     &Validation::required, &Validation::combined,
                                        &Validation::conditional};
    for (const Check part : kChecks)
      if (auto fault = (this->*part)(site); !fault || *fault) return fault;
    return {};
  }

 private:
  struct Site {
    const Json& schema;
    const Json& value;
    const std::string& path;
    int depth;
  };

  static Fault wrong(const std::string& path, const std::string& what) {
    return (path.empty() ? std::string("the document") : path) + " " + what;
  }

  /// Every comparison and every subschema costs one.
  Fault spend(size_t checks = 1) {
    if (checks > static_cast<size_t>(left_))
      return std::unexpected("the schema asks for more than 1,000,000 checks");
    left_ -= static_cast<int>(checks);
    return {};
  }

  Fault below(const Site& site, const Json& schema, const Json& value, const std::string& key) {
    if (auto spent = spend(); !spent) return spent;
    return check(schema, value, site.path + "/" + key, site.depth);
  }
  Fault same(const Site& site, const Json& schema) {
    if (auto spent = spend(); !spent) return spent;
    return check(schema, site.value, site.path, site.depth);
  }

  Fault reference(const Site& site) {
    const Json* target = member(site.schema, "$ref");
    if (target == nullptr) return {};
    return same(site, *resolve(root_, target->get_ref<const std::string&>()));
  }

  Fault kind(const Site& site) {
    if (const Json* type = member(site.schema, "type")) {
      const auto fits = [&](const Json& name) {
        return is_type(site.value, name.get_ref<const std::string&>());
      };
      if (type->is_array() ? std::ranges::none_of(*type, fits) : !fits(*type))
        return wrong(site.path, "must be of type " + type->dump());
    }
    if (const Json* wanted = member(site.schema, "const"); wanted != nullptr && *wanted != site.value)
      return wrong(site.path, "is not the constant of the schema");
    if (const Json* values = member(site.schema, "enum")) {
      if (auto spent = spend(values->size()); !spent) return spent;
      if (std::ranges::find(*values, site.value) == values->end())
        return wrong(site.path, "is none of the values of the schema's enum");
    }
    return {};
  }

  Fault number(const Site& site) {
    if (!site.value.is_number()) return {};
    const Json& value = site.value;
    if (const Json* limit = member(site.schema, "minimum"); limit != nullptr && value < *limit)
      return wrong(site.path, "must be at least " + limit->dump());
    if (const Json* limit = member(site.schema, "maximum"); limit != nullptr && value > *limit)
      return wrong(site.path, "must be at most " + limit->dump());
    if (const Json* limit = member(site.schema, "exclusiveMinimum"); limit != nullptr && value <= *limit)
      return wrong(site.path, "must be more than " + limit->dump());
    if (const Json* limit = member(site.schema, "exclusiveMaximum"); limit != nullptr && value >= *limit)
      return wrong(site.path, "must be less than " + limit->dump());
    if (const Json* step = member(site.schema, "multipleOf"); step != nullptr && !is_multiple(value, *step))
      return wrong(site.path, "must be a multiple of " + step->dump());
    return {};
  }

  static bool is_multiple(const Json& value, const Json& step) {
    const double quotient = value.get<double>() / step.get<double>();
    return std::isfinite(quotient) && quotient == std::floor(quotient);
  }

  /// minNAME and maxNAME.
  static Fault size(const Site& site, size_t size, const std::string& name, const char* unit) {
    const auto count = static_cast<double>(size);
    if (const Json* limit = member(site.schema, ("min" + name).c_str());
        limit != nullptr && count < limit->get<double>())
      return wrong(site.path, "has fewer than " + limit->dump() + " " + unit);
    if (const Json* limit = member(site.schema, ("max" + name).c_str());
        limit != nullptr && count > limit->get<double>())
      return wrong(site.path, "has more than " + limit->dump() + " " + unit);
    return {};
  }

  Fault string(const Site& site) {
    if (!site.value.is_string()) return {};
    const auto& text = site.value.get_ref<const std::string&>();
    if (const Json* pattern = member(site.schema, "pattern"))
      if (!patterns_.at(pattern->get_ref<const std::string&>()).matches(text))
        return wrong(site.path, "does not match " + pattern->dump());
    const auto starts = [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80; };
    return size(site, static_cast<size_t>(std::ranges::count_if(text, starts)), "Length", "characters");
  }

  Fault array(const Site& site) {
    if (!site.value.is_array()) return {};
    if (auto fault = size(site, site.value.size(), "Items", "items"); !fault || *fault) return fault;
    if (const Json* unique = member(site.schema, "uniqueItems"); unique != nullptr && unique->get<bool>()) {
      // Sorted, so that it takes no comparison of all with all.
      std::vector<const Json*> items;
      for (const Json& item : site.value) items.push_back(&item);
      std::ranges::sort(items, [](const Json* a, const Json* b) { return *a < *b; });
      const auto equal = [](const Json* a, const Json* b) { return *a == *b; };
      if (std::ranges::adjacent_find(items, equal) != items.end()) return wrong(site.path, "has equal items");
    }
    const Json* items = member(site.schema, "items");
    const Json* first = items != nullptr && items->is_array() ? items : member(site.schema, "prefixItems");
    const Json* rest = first == items && items != nullptr ? member(site.schema, "additionalItems") : items;
    for (size_t i = 0; i < site.value.size(); ++i) {
      const Json* schema = first != nullptr && i < first->size() ? &(*first)[i] : rest;
      if (schema == nullptr) break;
      if (auto fault = below(site, *schema, site.value[i], std::to_string(i)); !fault || *fault) return fault;
    }
    return {};
  }

  Fault contains(const Site& site) {
    const Json* wanted = member(site.schema, "contains");
    if (wanted == nullptr || !site.value.is_array()) return {};
    size_t found = 0;
    for (const Json& item : site.value) {
      const Fault fault = below(site, *wanted, item, "");
      if (!fault) return fault;
      if (!*fault) ++found;
    }
    if (found == 0 && !site.schema.contains("minContains"))
      return wrong(site.path, "has no item as \"contains\" says");
    return size(site, found, "Contains", "items as \"contains\" says");
  }

  Fault object(const Site& site) {
    if (!site.value.is_object()) return {};
    if (auto fault = size(site, site.value.size(), "Properties", "properties"); !fault || *fault)
      return fault;
    for (const auto& [name, value] : site.value.items())
      if (auto fault = property(site, name, value); !fault || *fault) return fault;
    return {};
  }

  Fault property(const Site& site, const std::string& name, const Json& value) {
    bool known = false;
    if (const Json* names = member(site.schema, "propertyNames"))
      if (auto fault = below(site, *names, Json(name), name); !fault || *fault) return fault;
    if (const Json* properties = member(site.schema, "properties"))
      if (const auto schema = properties->find(name); schema != properties->end()) {
        known = true;
        if (auto fault = below(site, *schema, value, name); !fault || *fault) return fault;
      }
    if (const Json* by_pattern = member(site.schema, "patternProperties"))
      for (const auto& [pattern, schema] : by_pattern->items()) {
        if (!patterns_.at(pattern).matches(name)) continue;
        known = true;
        if (auto fault = below(site, schema, value, name); !fault || *fault) return fault;
      }
    const Json* others = member(site.schema, "additionalProperties");
    return known || others == nullptr ? Fault() : below(site, *others, value, name);
  }

  Fault names(const Site& site, const Json& wanted) {
    if (auto spent = spend(wanted.size()); !spent) return spent;
    for (const Json& name : wanted)
      if (!site.value.contains(name.get_ref<const std::string&>()))
        return wrong(site.path, "lacks " + name.dump());
    return {};
  }

  Fault required(const Site& site) {
    if (!site.value.is_object()) return {};
    if (const Json* wanted = member(site.schema, "required"))
      if (auto fault = names(site, *wanted); !fault || *fault) return fault;
    for (const char* keyword : {"dependentRequired", "dependentSchemas", "dependencies"}) {
      const Json* dependents = member(site.schema, keyword);
      if (dependents == nullptr) continue;
      for (const auto& [name, wanted] : dependents->items()) {
        if (!site.value.contains(name)) continue;
        if (auto fault = wanted.is_array() ? names(site, wanted) : same(site, wanted); !fault || *fault)
          return fault;
      }
    }
    return {};
  }

  Fault combined(const Site& site) {
    if (const Json* all = member(site.schema, "allOf"))
      for (const Json& schema : *all)
        if (auto fault = same(site, schema); !fault || *fault) return fault;
    for (const char* keyword : {"anyOf", "oneOf"}) {
      const Json* schemas = member(site.schema, keyword);
      if (schemas == nullptr) continue;
      size_t held = 0;
      for (const Json& schema : *schemas) {
        const Fault fault = same(site, schema);
        if (!fault) return fault;
        if (!*fault) ++held;
      }
      if (held == 0)
        return wrong(site.path, std::string("is as none of the schemas of ") + keyword + " says");
      if (held > 1 && keyword == std::string_view("oneOf"))
        return wrong(site.path, "is as more than one schema of oneOf says");
    }
    return {};
  }

  Fault conditional(const Site& site) {
    if (const Json* no = member(site.schema, "not")) {
      const Fault fault = same(site, *no);
      if (!fault) return fault;
      if (!*fault) return wrong(site.path, "is as the schema of \"not\" says");
    }
    const Json* condition = member(site.schema, "if");
    if (condition == nullptr) return {};
    const Fault fault = same(site, *condition);
    if (!fault) return fault;
    const Json* branch = member(site.schema, *fault ? "else" : "then");
    return branch == nullptr ? Fault() : same(site, *branch);
  }

  const Json& root_;
  const Patterns& patterns_;
  int left_ = kCheckLimit;
};

}  // namespace

struct Schema::Compiled {
  Json root;
  Patterns patterns;
};

Schema::Schema(std::unique_ptr<const Compiled> compiled) : compiled_(std::move(compiled)) {}
Schema::Schema(Schema&&) noexcept = default;
Schema& Schema::operator=(Schema&&) noexcept = default;
Schema::~Schema() = default;

std::expected<Schema, std::string> Schema::compile(const nlohmann::json& schema) {
  auto compiled = std::make_unique<Compiled>(Compiled{schema, {}});
  const auto checked = Inspection(compiled->root, compiled->patterns).schema(compiled->root, "", 0);
  if (!checked) return std::unexpected(checked.error());
  return Schema(std::move(compiled));
}

std::expected<Verdict, std::string> Schema::validate(const nlohmann::json& document) const {
  auto fault = Validation(compiled_->root, compiled_->patterns).check(compiled_->root, document, "", 0);
  if (!fault) return std::unexpected(fault.error());
  if (*fault) return Verdict{false, std::move(**fault)};
  return Verdict{};
}

}  // namespace assay::json_check
