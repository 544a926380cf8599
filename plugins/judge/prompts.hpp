// Judges that are ready to use, by name.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/judge/contract.hpp"

namespace assay::judge {

struct ReadyPrompt {
  std::string_view name;
  std::string_view summary;  ///< one line, for a list
  std::string_view text;  ///< a template (template.hpp); how to answer is contract.hpp's answer_instruction
  Contract contract;
  std::vector<std::string_view> variables;  ///< what an item must have
};

std::span<const ReadyPrompt> ready_prompts() noexcept;
/// nullptr when there is none of that name.
const ReadyPrompt* find_prompt(std::string_view name) noexcept;

}  // namespace assay::judge
