#include "sandbox/runtime/plugin_description.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/json.hpp"

namespace assay::sandbox {
namespace {

constexpr size_t kNameLength = 64;
constexpr size_t kTextLength = 1'024;
constexpr size_t kEvaluators = 256;
constexpr size_t kServices = 16;
constexpr size_t kMostInFlight = 4'096;

bool is_name(const std::string& text) {
  const auto is_good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  return !text.empty() && text.size() <= kNameLength && std::ranges::all_of(text, is_good);
}

std::unexpected<Error> wrong(const std::string& member, const std::string& what) {
  return fail(ErrorKind::config, "its description is wrong: " + member + ' ' + what);
}

/// The text at `key`, empty when there is none.
Result<std::string> text_at(const Json& object, const char* key, const std::string& member) {
  const auto found = object.find(key);
  if (found == object.end()) return std::string();
  if (!found->is_string() || found->get_ref<const std::string&>().size() > kTextLength)
    return wrong(member, "must be a string of 1,024 bytes at most");
  return found->get<std::string>();
}

Result<std::string> name_at(const Json& object, const std::string& member) {
  ASSAY_TRY(std::string name, text_at(object, "name", member));
  if (!is_name(name)) return wrong(member, "must have 1 to 64 of the letters a-z, digits, - and _");
  return name;
}

Result<PluginEvaluator> parse_evaluator(const Json& json, const std::string& member) {
  if (!json.is_object()) return wrong(member, "must be an object");
  PluginEvaluator evaluator;
  ASSAY_TRY(evaluator.name, name_at(json, member + ".name"));
  ASSAY_TRY(evaluator.summary, text_at(json, "summary", member + ".summary"));
  if (const auto params = json.find("params"); params != json.end()) {
    if (!params->is_object() && !params->is_boolean())
      return wrong(member + ".params", "must be a JSON schema");
    evaluator.params = dump_json(*params);
  }
  if (const auto services = json.find("services"); services != json.end()) {
    const auto is_text = [](const Json& service) {
      return service.is_string() && service.get_ref<const std::string&>().size() <= kNameLength;
    };
    if (!services->is_array() || services->size() > kServices || !std::ranges::all_of(*services, is_text))
      return wrong(member + ".services", "must be names of services, 16 at most");
    evaluator.services = services->get<std::vector<std::string>>();
  }
  if (const auto most = json.find("max_in_flight"); most != json.end()) {
    if (!most->is_number_unsigned() || *most == 0U || *most > kMostInFlight)
      return wrong(member + ".max_in_flight", "must be 1 to 4096");
    evaluator.max_in_flight = most->get<size_t>();
  }
  return evaluator;
}

}  // namespace

const PluginEvaluator* PluginDescription::evaluator(std::string_view wanted) const {
  const auto found = std::ranges::find(evaluators, wanted, &PluginEvaluator::name);
  return found == evaluators.end() ? nullptr : &*found;
}

Result<PluginDescription> parse_plugin_description(std::string_view text) {
  auto parsed = parse_json(text);
  if (!parsed) return std::unexpected(std::move(parsed).error().with("its description is no JSON"));
  const Json& json = *parsed;
  if (!json.is_object()) return wrong("it", "must be an object");
  PluginDescription description;
  ASSAY_TRY(description.name, name_at(json, "name"));
  ASSAY_TRY(description.version, text_at(json, "version", "version"));
  const auto evaluators = json.find("evaluators");
  if (evaluators == json.end() || !evaluators->is_array() || evaluators->empty() ||
      evaluators->size() > kEvaluators)
    return wrong("evaluators", "must be a list of 1 to 256 evaluators");
  for (size_t i = 0; i < evaluators->size(); i++) {
    ASSAY_TRY(auto evaluator, parse_evaluator((*evaluators)[i], "evaluators." + std::to_string(i)));
    if (description.evaluator(evaluator.name) != nullptr)
      return wrong("evaluators", "has " + evaluator.name + " twice");
    description.evaluators.push_back(std::move(evaluator));
  }
  return description;
}

}  // namespace assay::sandbox
