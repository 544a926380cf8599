// What a plugin says of itself (`describe` in assay/plugin.h).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"

namespace assay::sandbox {

struct PluginEvaluator {
  std::string name;
  std::string summary;                ///< may be empty
  std::string params = "{}";          ///< the JSON schema of its parameters, as text
  std::vector<std::string> services;  ///< that it cannot do without: "assay.llm/1"
  size_t max_in_flight = 1;
};

struct PluginDescription {
  std::string name;
  std::string version;
  std::vector<PluginEvaluator> evaluators;

  /// nullptr when there is none of that name.
  const PluginEvaluator* evaluator(std::string_view wanted) const;
};

/// `config` that names the member at fault. The text comes from a plugin: nothing of it is believed
/// unchecked.
Result<PluginDescription> parse_plugin_description(std::string_view text);

}  // namespace assay::sandbox
