// Many judgements of one item made into one: votes and panels, both orders of a pair, the expected score.
//
// What failed is counted beside, never inside: a vote that is an error is neither 0 nor a vote.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "plugins/judge/common.hpp"
#include "plugins/judge/contract.hpp"
#include "plugins/judge/verdict.hpp"

namespace assay::judge {

/// k answers of one judge, or one answer of each judge of a panel.
using Votes = std::span<const Result<Verdict>>;

struct Aggregate {
  double score = 0;
  std::string label;  ///< of a majority; empty for a mean and for a tie
  bool tie = false;   ///< several labels have the most votes: the score is the mean of theirs
  double share =
      0;  ///< of the votes that are scored, for the label (each of the labels, in a tie); 1 for a mean
  double deviation = 0;  ///< standard deviation of the votes' scores (n − 1); 0 for one vote
  size_t scored = 0;
  size_t failed = 0;
  std::string reason;  ///< of the first vote for the label; of a mean or a tie, of the first vote
};

/// The mean, or the label with the most votes (a number counts as a label of its own). With fewer than
/// `quorum` scored votes (at least 1) the error is the commonest among the failures, the first of them when
/// several are.
Result<Aggregate> mean(Votes votes, size_t quorum = 1) noexcept;
Result<Aggregate> majority(Votes votes, size_t quorum = 1) noexcept;

/// One pair judged in both orders.
struct Preference {
  std::string label;        ///< "A" the sample, "B" the ground truth, "tie"
  double score = 0.5;       ///< 1, 0, 0.5
  bool consistent = false;  ///< both orders say the same; if not, it is a tie
  int position = 0;         ///< 1 or 2 when both orders chose the response in that place; else 0
  std::string reason;       ///< of the order as asked
};
/// `straight`: verdicts of Contract::pairwise() with the sample as A; `swapped`: with the sample as B. An
/// error of either is the error of both: one order alone is not what was asked for.
Result<Preference> both_orders(const Result<Verdict>& straight, const Result<Verdict>& swapped) noexcept;

/// Pairs over many items.
struct PairTally {
  size_t wins = 0, losses = 0, ties = 0;  ///< of pairs whose orders agree
  size_t first = 0, second = 0;           ///< of the others: the place that won both times
  size_t unclear = 0;                     ///< of the others: a tie in one order only
  size_t failed = 0;

  void add(const Result<Preference>& preference) noexcept;
  size_t judged() const noexcept { return wins + losses + ties + first + second + unclear; }
  /// Of the sample, a tie half a win; 0 of nothing.
  double win_rate() const noexcept;
  /// Share of the pairs whose orders agree; 0 of nothing.
  double consistency() const noexcept;
};

}  // namespace assay::judge
