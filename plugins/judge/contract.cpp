#include "plugins/judge/contract.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "plugins/common/json.hpp"
#include "plugins/common/text.hpp"

namespace assay::judge {
namespace {

constexpr size_t kMenuLimit = 64;
constexpr size_t kLabelLimit = 64;

bool offers(const Contract& contract, std::initializer_list<std::string_view> labels) {
  return contract.menu.size() == labels.size() &&
         std::ranges::equal(contract.menu, labels, equal_ignoring_case, &Choice::label);
}

std::string shown(double value) {
  std::array<char, 32> text{};
  const auto [end, problem] = std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), problem == std::errc() ? end : text.data()};
}

Error config_error(std::string message) {
  return {ErrorKind::config, std::move(message)};
}

}  // namespace

Contract Contract::truth() noexcept {
  return {{{"TRUE", 1}, {"FALSE", 0}}};
}
Contract Contract::pairwise() noexcept {
  return {{{"A", 1}, {"B", 0}, {"tie", 0.5}}};
}
Contract Contract::number(double low, double high) noexcept {
  return {{}, low, high};
}
Contract Contract::choices(std::vector<Choice> menu) noexcept {
  return {std::move(menu)};
}

bool Contract::is_truth() const noexcept {
  return offers(*this, {"TRUE", "FALSE"});
}
bool Contract::is_pairwise() const noexcept {
  return offers(*this, {"A", "B", "tie"});
}

Result<Contract> checked(Contract contract) noexcept {
  if (contract.is_number()) {
    const bool range =
        std::isfinite(contract.low) && std::isfinite(contract.high) && contract.low < contract.high;
    if (!range) return config_error("the judge's range must be two finite numbers, the lower one first");
    return contract;
  }
  if (contract.menu.size() > kMenuLimit) return config_error("the judge's choices are more than 64");
  for (auto choice = contract.menu.begin(); choice != contract.menu.end(); ++choice) {
    const std::string& label = choice->label;
    if (trim(label).empty() || trim(label) != label || label.size() > kLabelLimit) {
      return config_error("the judge's choice \"" + bounded(label, 80) +
                          "\" must be 1 to 64 bytes without blanks around");
    }
    if (!std::isfinite(choice->score))
      return config_error("the score of the judge's choice \"" + label + "\" must be finite");
    const auto alike = [&](const Choice& other) { return equal_ignoring_case(other.label, label); };
    if (std::any_of(contract.menu.begin(), choice, alike)) {
      return config_error("the judge's choice \"" + label + "\" is there twice (case does not count)");
    }
  }
  return contract;
}

std::string verdict_key(std::string_view nonce) noexcept {
  return nonce.empty() ? "verdict" : "verdict_" + std::string(nonce);
}

std::string answer_instruction(const Contract& contract, std::string_view nonce) noexcept {
  std::string value = (contract.whole ? "a whole number from " : "a number from ") + shown(contract.low) +
                      " to " + shown(contract.high);
  if (!contract.is_number()) {
    value.clear();
    for (const Choice& choice : contract.menu)
      value += (value.empty() ? "" : " or ") + dump_json(choice.label);
  }
  return "Answer with one JSON object and nothing else: {\"reason\": \"your reasoning, in a few "
         "sentences\", " +
         dump_json(verdict_key(nonce)) + ": ...}, where the last value is " + value + ".";
}

std::string answer_schema(const Contract& contract, std::string_view nonce) noexcept {
  Json verdict = {{"type", "number"}, {"minimum", contract.low}, {"maximum", contract.high}};
  // Grammars of local servers keep to bounds of whole numbers, and not to others.
  if (contract.whole)
    verdict = {{"type", "integer"},
               {"minimum", static_cast<int64_t>(contract.low)},
               {"maximum", static_cast<int64_t>(contract.high)}};
  if (!contract.is_number()) {
    Json labels = Json::array();
    for (const Choice& choice : contract.menu) labels.push_back(choice.label);
    verdict = {{"type", "string"}, {"enum", std::move(labels)}};
  }
  // By hand: the order of the properties is the order in which the model writes, and it has to think first.
  const std::string key = dump_json(verdict_key(nonce));
  return R"({"type":"object","properties":{"reason":{"type":"string"},)" + key + ":" + dump_json(verdict) +
         R"(},"required":["reason",)" + key + R"(],"additionalProperties":false})";
}

}  // namespace assay::judge
