// What one judge is asked about one item.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "plugins/judge/common.hpp"
#include "plugins/judge/settings.hpp"

namespace assay::judge {

/// Which of an item's questions.
struct Ask {
  size_t model = 0;                        ///< its place in Settings::models
  size_t vote = 0;                         ///< from 0 on; the model's own
  bool swapped = false;                    ///< of a pair: Response A is the ground truth
  std::optional<int64_t> max_tokens = {};  ///< instead of the definition's
};

struct Question {
  std::string request;  ///< for assay.llm/1
  std::string nonce;    ///< each question's own (nonce.hpp)
  std::vector<std::string> judged;
  std::vector<std::string> cut;  ///< variables that were larger than their budget
};

/// `config` for what the item lacks.
Result<Question> question_for(const Settings& settings, const nlohmann::json& item, const Ask& ask);

/// Whether the examples have what the prompt asks for.
Result<bool> try_examples(const Settings& settings);

}  // namespace assay::judge
