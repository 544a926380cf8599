#include "plugins/judge/evaluation.hpp"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "plugins/common/json.hpp"
#include "plugins/common/text.hpp"
#include "plugins/judge/aggregate.hpp"
#include "plugins/judge/answer.hpp"

namespace assay::judge {
namespace {

constexpr size_t kLogged = 500;  // bytes of a vote's reason in the log

/// A question that is under way, and in the end its answer.
struct Asked {
  Ask ask;
  Question question;
  Result<Answer> answer = Error{};
  bool again = false;
};

std::string shown(double number) {
  return dump_json(number);
}

Result<Verdict> verdict_of(const Asked& asked) {
  if (!asked.answer) return asked.answer.error();
  return asked.answer->verdict;
}

class Evaluation : public std::enable_shared_from_this<Evaluation> {
 public:
  Evaluation(std::shared_ptr<const Settings> settings, const Call& call, Json item)
      : settings_(std::move(settings)), call_(call), item_(std::move(item)) {}

  /// Every question is made before the first is asked: what the item lacks costs nothing.
  void begin() {
    for (size_t model = 0; model < settings_->models.size(); ++model) {
      for (size_t vote = 0; vote < settings_->votes; ++vote) {
        add({model, vote, false, {}});
        if (settings_->pairwise) add({model, vote, true, {}});
      }
    }
    pending_ = asked_.size();
    for (size_t i = 0; i < asked_.size(); ++i) send(i);
  }

 private:
  void add(const Ask& ask) {
    auto question = question_for(*settings_, item_, ask);
    if (!question) throw Failure(question.error().message, kind_of(question.error()));
    asked_.push_back({ask, std::move(*question)});
  }

  void send(size_t i) {
    const auto self = shared_from_this();
    call_.complete(
        asked_[i].question.request,
        [self, i](const Call&, const assay::Reply& reply) {
          Asked& asked = self->asked_[i];
          self->answered(i, read_answer(reply, *self->settings_, asked.question));
        },
        [self, i](const Call&, const Failure& failure) { self->failed(i, failure); });
  }

  void answered(size_t i, Result<Answer> answer) {
    Asked& asked = asked_[i];
    asked.answer = std::move(answer);
    const bool cut = !asked.answer && asked.answer.error().kind == ErrorKind::judge_truncated;
    if (cut && !asked.again && !call_.cancelled() && ask_again(i)) return;
    settle();
  }

  /// With more tokens; false when there are none to give.
  bool ask_again(size_t i) {
    Asked& asked = asked_[i];
    const int64_t before = settings_->max_tokens.value_or(kAskedAgain / 2);
    asked.ask.max_tokens = std::min(before * 2, kMostTokens);
    if (*asked.ask.max_tokens <= before) return false;
    auto question = question_for(*settings_, item_, asked.ask);
    if (!question) return false;
    asked.question = std::move(*question);
    asked.again = true;
    send(i);
    return true;
  }

  void failed(size_t i, const Failure& failure) {
    Asked& asked = asked_[i];
    const std::string model = settings_->models[asked.ask.model];
    // A limit that the model does not take says nothing new: its reply was cut.
    if (asked.again && failure.kind() == "config") {
      asked.answer = Error{ErrorKind::judge_truncated,
                           "the judge's reply was cut at its token limit, and with " +
                               std::to_string(*asked.ask.max_tokens) + " tokens: " + failure.what()};
    } else {
      asked.answer = Error{ErrorKind::completion, model + ": " + failure.what(), failure.kind()};
    }
    settle();
  }

  void settle() {
    if (--pending_ == 0) finish();
  }

  void finish() {
    log_answers();
    const std::vector<Result<Verdict>> votes = settings_->pairwise ? pairs() : plain_votes();
    const auto aggregate =
        settings_->majority ? majority(votes, settings_->quorum) : mean(votes, settings_->quorum);
    if (!aggregate) return call_.fail(aggregate.error().message, kind_of(aggregate.error()));
    if (settings_->voters() > 1) add_metrics_of(*aggregate);
    add_metrics_of_answers(aggregate->tie || aggregate->label == "tie");
    call_.score({.score = aggregate->score, .reason = aggregate->reason, .metrics = std::move(metrics_)});
  }

  std::vector<Result<Verdict>> plain_votes() const {
    std::vector<Result<Verdict>> votes;
    for (const Asked& asked : asked_) votes.push_back(verdict_of(asked));
    return votes;
  }

  /// Both orders of each vote as one verdict.
  std::vector<Result<Verdict>> pairs() {
    std::vector<Result<Verdict>> votes;
    for (size_t i = 0; i + 1 < asked_.size(); i += 2) {
      const auto preference = both_orders(verdict_of(asked_[i]), verdict_of(asked_[i + 1]));
      tally_.add(preference);
      if (preference) {
        votes.push_back(Verdict{preference->score, preference->label, preference->reason, Channel::nonce});
      } else {
        votes.push_back(preference.error());
      }
    }
    return votes;
  }

  void add_metrics_of(const Aggregate& aggregate) {
    metrics_.emplace_back("votes", static_cast<double>(aggregate.scored));
    metrics_.emplace_back("failed_votes", static_cast<double>(aggregate.failed));
    metrics_.emplace_back("deviation", aggregate.deviation);
    if (settings_->majority) metrics_.emplace_back("agreement", aggregate.share);
    if (settings_->majority && !settings_->pairwise) metrics_.emplace_back("tie", aggregate.tie ? 1 : 0);
  }

  void add_metrics_of_answers(bool tie) {
    if (settings_->pairwise) {
      const auto judged = static_cast<double>(tally_.judged());
      metrics_.emplace_back("tie", tie ? 1 : 0);
      metrics_.emplace_back("consistent", tally_.consistency());
      metrics_.emplace_back("first_both_times", static_cast<double>(tally_.first) / judged);
      metrics_.emplace_back("second_both_times", static_cast<double>(tally_.second) / judged);
    }
    if (settings_->expected_score) metrics_.emplace_back("weighted", weighted_share());
    const size_t cut = asked_.front().question.cut.size();
    if (cut > 0) metrics_.emplace_back("cut", static_cast<double>(cut));
  }

  double weighted_share() const {
    const auto scored = [](const Asked& asked) { return static_cast<bool>(asked.answer); };
    const auto weighted = [](const Asked& asked) { return asked.answer && asked.answer->weighted; };
    return static_cast<double>(std::ranges::count_if(asked_, weighted)) /
           static_cast<double>(std::ranges::count_if(asked_, scored));
  }

  void log_answers() const {
    for (const std::string& variable : asked_.front().question.cut)
      call_.log("{{ " + variable + " }} was cut to its budget");
    if (asked_.size() == 1) return;
    for (const Asked& asked : asked_) {
      std::string line = settings_->models[asked.ask.model] + (asked.ask.swapped ? ", swapped: " : ": ");
      if (asked.answer) {
        const Verdict& verdict = asked.answer->verdict;
        line += (verdict.label.empty() ? shown(verdict.score) : verdict.label) + ": " + verdict.reason;
      } else {
        line += kind_of(asked.answer.error()) + ": " + asked.answer.error().message;
      }
      call_.log(bounded(line, kLogged));
    }
  }

  std::shared_ptr<const Settings> settings_;
  Call call_;
  Json item_;
  std::vector<Asked> asked_;
  size_t pending_ = 0;
  PairTally tally_;
  std::vector<std::pair<std::string, double>> metrics_;
};

}  // namespace

void evaluate(std::shared_ptr<const Settings> settings, const Call& call) {
  auto item = parse_json(call.item().all());
  if (!item || !item->is_object())
    throw Failure("the item is nested deeper than 64 levels or has a key twice", "config");
  std::make_shared<Evaluation>(std::move(settings), call, std::move(*item))->begin();
}

}  // namespace assay::judge
