// What one judge answered to one question.
#pragma once

#include "plugins/judge/question.hpp"
#include "plugins/judge/verdict.hpp"

namespace assay {
class Reply;
}

namespace assay::judge {

struct Answer {
  Verdict verdict;
  bool weighted = false;  ///< the score is an expected one (G-Eval), not the one written
};

/// The score is the expected one where the settings ask for it and the reply has log probabilities for the
/// very tokens of its verdict.
Result<Answer> read_answer(const assay::Reply& reply, const Settings& settings, const Question& question);

}  // namespace assay::judge
