#include "plugins/common/parameters.hpp"

#include <cmath>
#include <nlohmann/json.hpp>

#include "plugins/common/json.hpp"

namespace assay::plugins {

Params checked(std::string_view describe, const Params& params) {
  const auto given = parse_json(params.all());
  if (!given || !given->is_object())
    throw Failure("the parameters are no JSON object without double keys", "config");
  const Json schema = Json::parse(describe)["params"];
  const Json& known = schema["properties"];
  for (const auto& [name, value] : given->items()) {
    if (known.contains(name)) continue;
    std::string names;
    for (const auto& [one, described] : known.items()) names += (names.empty() ? "" : ", ") + one;
    throw Failure(name + ": there is no such parameter; there is " + names, "config");
  }
  for (const Json& name : schema.value("required", Json::array()))
    if (!given->contains(name.get_ref<const std::string&>()))
      throw Failure(name.get<std::string>() + ": is missing", "config");
  return params;
}

Failure bad_parameter(const std::string& name, const std::string& what) {
  return Failure(name + ": must be " + what, "config");
}

bool flag(const Params& params, const std::string& name) {
  if (!params.has(name)) return false;
  const auto value = params.boolean(name);
  if (!value) throw bad_parameter(name, "true or false");
  return *value;
}

double amount(const Params& params, const std::string& name) {
  if (!params.has(name)) return 0;
  const auto value = params.number(name);
  if (!value || !std::isfinite(*value) || *value < 0) throw bad_parameter(name, "a number from 0 on");
  return *value;
}

std::string word(const Params& params, const std::string& name,
                 std::initializer_list<std::string_view> words) {
  if (!params.has(name)) return std::string(*words.begin());
  std::string all;
  for (const std::string_view one : words) {
    if (params.text(name) == one) return std::string(one);
    all += (all.empty() ? "" : ", ") + std::string(one);
  }
  throw bad_parameter(name, "one of " + all);
}

}  // namespace assay::plugins
