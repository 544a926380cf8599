// Evaluators of several parts: an item is evaluated by each of them, and a formula makes one score of theirs.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/formula.hpp"
#include "core/outcome.hpp"
#include "sandbox/runtime/pool.hpp"

namespace assay::daemon {

struct Multi {
  struct Part {
    std::string name;
    std::shared_ptr<const sandbox::Program> program;
  };
  std::vector<Part> parts;
  Formula formula;  ///< over the parts' names, in their order
};

/// What the parts' outcomes, in their order, are together: the first error or else the first skip, with
/// "part NAME: " before what it says; or the formula's score, with a metric NAME for each part's score and
/// NAME.METRIC for its own metrics. A score that is not finite is `bad_result`. Usages add up, but for the
/// memory: that is the largest.
Outcome combined(const Multi& multi, std::span<const Outcome> parts);

/// As Pool::submit, for all parts at once; `done` comes when the last of them has answered.
void submit_parts(sandbox::Pool& pool, std::shared_ptr<const Multi> multi, const std::string& item,
                  sandbox::Pool::Done done, const std::shared_ptr<const bool>& unwanted,
                  const std::shared_ptr<sandbox::Completions>& completions);

}  // namespace assay::daemon
