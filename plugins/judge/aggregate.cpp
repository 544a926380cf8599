#include "plugins/judge/aggregate.hpp"

#include <algorithm>
#include <cmath>

namespace assay::judge {
namespace {

/// A verdict and how many votes it has.
struct Group {
  const Verdict* first;
  size_t votes;
};

std::vector<const Verdict*> scored_of(Votes votes) {
  std::vector<const Verdict*> scored;
  for (const auto& vote : votes) {
    if (vote) scored.push_back(&*vote);
  }
  return scored;
}

Error commonest_error(Votes votes) {
  std::vector<std::pair<const Error*, size_t>> kinds;
  for (const auto& vote : votes) {
    if (vote) continue;
    const auto same = [&](const auto& kind) { return kind_of(*kind.first) == kind_of(vote.error()); };
    const auto found = std::ranges::find_if(kinds, same);
    if (found == kinds.end()) {
      kinds.emplace_back(&vote.error(), 1);
    } else {
      ++found->second;
    }
  }
  if (kinds.empty()) return {ErrorKind::config, "fewer judges voted than the quorum asks for"};
  const Error& error =
      *std::ranges::max_element(kinds, {}, [](const auto& kind) { return kind.second; })->first;
  const size_t failed = votes.size() - scored_of(votes).size();
  if (votes.size() == 1) return error;
  return {
      error.kind,
      std::to_string(failed) + " of " + std::to_string(votes.size()) + " judgements failed: " + error.message,
      error.host_kind};
}

double mean_of(std::span<const Verdict* const> verdicts) {
  double sum = 0;
  for (const Verdict* verdict : verdicts) sum += verdict->score;
  return sum / static_cast<double>(verdicts.size());
}

double deviation_of(std::span<const Verdict* const> verdicts) {
  if (verdicts.size() < 2) return 0;
  const double mean = mean_of(verdicts);
  double sum = 0;
  for (const Verdict* verdict : verdicts) sum += (verdict->score - mean) * (verdict->score - mean);
  return std::sqrt(sum / static_cast<double>(verdicts.size() - 1));
}

/// What mean and majority have in common: counts, spread, and the error of too few votes.
Result<Aggregate> counted(Votes votes, std::span<const Verdict* const> scored, size_t quorum) {
  if (scored.size() < std::max<size_t>(quorum, 1)) return commonest_error(votes);
  Aggregate aggregate;
  aggregate.scored = scored.size();
  aggregate.failed = votes.size() - scored.size();
  aggregate.deviation = deviation_of(scored);
  aggregate.reason = scored.front()->reason;
  return aggregate;
}

/// The verdicts with the most votes, in the order in which they were first given.
std::vector<Group> winners_of(std::span<const Verdict* const> scored) {
  std::vector<Group> groups;
  for (const Verdict* verdict : scored) {
    const auto same = [&](const Group& group) {
      return group.first->label == verdict->label && group.first->score == verdict->score;
    };
    const auto found = std::ranges::find_if(groups, same);
    if (found == groups.end()) {
      groups.push_back({verdict, 1});
    } else {
      ++found->votes;
    }
  }
  const size_t most = std::ranges::max_element(groups, {}, &Group::votes)->votes;
  std::erase_if(groups, [most](const Group& group) { return group.votes < most; });
  return groups;
}

/// The label of the swapped order, said of the straight one.
std::string turned(const std::string& label) {
  return label == "A" ? "B" : label == "B" ? "A" : label;
}

Error in_order(const std::string& order, const Error& error) {
  return {error.kind, order + error.message, error.host_kind};
}

double share_of(double part, size_t whole) {
  return whole == 0 ? 0 : part / static_cast<double>(whole);
}

}  // namespace

Result<Aggregate> mean(Votes votes, size_t quorum) noexcept {
  const auto scored = scored_of(votes);
  auto aggregate = counted(votes, scored, quorum);
  if (!aggregate) return aggregate;
  aggregate->score = mean_of(scored);
  aggregate->share = 1;
  return aggregate;
}

Result<Aggregate> majority(Votes votes, size_t quorum) noexcept {
  const auto scored = scored_of(votes);
  auto aggregate = counted(votes, scored, quorum);
  if (!aggregate) return aggregate;
  const auto winners = winners_of(scored);
  std::vector<const Verdict*> verdicts;
  for (const Group& group : winners) verdicts.push_back(group.first);
  aggregate->score = mean_of(verdicts);
  aggregate->tie = winners.size() > 1;
  aggregate->share = share_of(static_cast<double>(winners.front().votes), scored.size());
  if (!aggregate->tie) {
    aggregate->label = verdicts.front()->label;
    aggregate->reason = verdicts.front()->reason;
  }
  return aggregate;
}

Result<Preference> both_orders(const Result<Verdict>& straight, const Result<Verdict>& swapped) noexcept {
  if (!straight) return in_order("in the order as asked: ", straight.error());
  if (!swapped) return in_order("in the swapped order: ", swapped.error());
  Preference preference;
  preference.reason = straight->reason;
  preference.consistent = straight->label == turned(swapped->label);
  if (!preference.consistent) {
    preference.label = "tie";
    if (straight->label == swapped->label) preference.position = straight->label == "A" ? 1 : 2;
    return preference;
  }
  preference.label = straight->label;
  preference.score = straight->score;
  return preference;
}

void PairTally::add(const Result<Preference>& preference) noexcept {
  if (!preference) {
    ++failed;
  } else if (!preference->consistent) {
    ++(preference->position == 1 ? first : preference->position == 2 ? second : unclear);
  } else {
    ++(preference->label == "A" ? wins : preference->label == "B" ? losses : ties);
  }
}

double PairTally::win_rate() const noexcept {
  const size_t drawn = judged() - wins - losses;
  return share_of(static_cast<double>(wins) + static_cast<double>(drawn) / 2, judged());
}

double PairTally::consistency() const noexcept {
  return share_of(static_cast<double>(wins + losses + ties), judged());
}

}  // namespace assay::judge
