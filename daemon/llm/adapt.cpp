#include "daemon/llm/adapt.hpp"

#include <nlohmann/json.hpp>

namespace assay::llm {
namespace {

/// Whether it was set; it is not any more.
template <class T>
bool unset(T& value) {
  const bool was_set = value != T{};
  value = T{};
  return was_set;
}

bool drop_forwarded(Parameters& parameters, const std::string& name) {
  auto forwarded = parse_json(parameters.forwarded);
  if (!forwarded || !forwarded->is_object() || forwarded->erase(name) == 0) return false;
  parameters.forwarded = dump_json(*forwarded);
  return true;
}

bool drop(Parameters& parameters, const std::string& name) {
  if (name == "temperature") return unset(parameters.temperature);
  if (name == "top_p") return unset(parameters.top_p);
  if (name == "seed") return unset(parameters.seed);
  if (name == "stop") return unset(parameters.stop);
  if (name == "top_logprobs") return unset(parameters.top_logprobs);
  if (name == "reasoning_effort") return unset(parameters.reasoning_effort);
  return drop_forwarded(parameters, name);
}

std::optional<std::string> change_parameter(Parameters& parameters, const std::string& name,
                                            Dialect dialect) {
  if (name == "max_tokens" || name == "max_completion_tokens") {
    // Renamed one way only, and never dropped: an output without a limit is a bill without one.
    const bool renamable = dialect == Dialect::openai_chat && name == "max_tokens" && parameters.max_tokens &&
                           parameters.max_tokens_name == MaxTokensName::max_tokens;
    if (!renamable) return std::nullopt;
    parameters.max_tokens_name = MaxTokensName::max_completion_tokens;
    return "max_completion_tokens instead of max_tokens";
  }
  if (!drop(parameters, name)) return std::nullopt;
  return name + " left out";
}

std::optional<StructureMode> weaker(StructureMode mode, Dialect dialect) {
  switch (mode) {
    case StructureMode::schema:
      return StructureMode::tool;
    case StructureMode::tool:
      return dialect == Dialect::anthropic_messages ? StructureMode::prompt : StructureMode::json_object;
    case StructureMode::json_object:
      return StructureMode::prompt;
    case StructureMode::prompt:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> adapt(Request& request, const Failure& failure, Dialect dialect) {
  if (failure.remedy == Remedy::change_parameter)
    return change_parameter(request.parameters, failure.parameter, dialect);
  if (failure.remedy != Remedy::weaker_structure || !request.structure) return std::nullopt;
  const auto mode = weaker(request.structure->mode, dialect);
  if (!mode) return std::nullopt;
  std::string done = "structured output asked by " + std::string(to_string(*mode)) + " instead of " +
                     std::string(to_string(request.structure->mode));
  request.structure->mode = *mode;
  return done;
}

}  // namespace assay::llm
