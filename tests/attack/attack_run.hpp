// Tries a table of attacks in one mode.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/attack/attack_table.hpp"
#include "tests/attack/victim.hpp"
#include "tests/unit/sandbox/pool_fixture.hpp"

namespace assay::sandbox {

class AttackRun {
 public:
  AttackRun(Mode mode, std::string language);

  /// False when this machine has no such mode, or the mode not this language: it is then said.
  bool can_run();

  /// Every row of the language, one after the other, with those that wait for a deadline together beside
  /// them; after each the victim is looked at and an honest item evaluated. With ASSAY_ATTACKS, a
  /// regular expression, in the environment only those that have it in "language: name", each with what came
  /// of it.
  void run(const std::vector<Attack>& attacks);

  /// Ends the sandbox, checks that nothing is left of it, and says what was run.
  void finish();

  PoolFixture& pool() { return *pool_; }
  Victim& victim() { return victim_; }
  /// What runs `attack`, and the item to give it.
  std::shared_ptr<const Program> program_of(const Attack& attack);
  std::string item_of(const Attack& attack) const;
  std::shared_ptr<const Program> honest_program(Pace pace);
  static constexpr const char* kHonestItem = R"({"id":"honest","index":7,"number":21})";
  static constexpr double kHonestScore = 42;

 private:
  using Clock = std::chrono::steady_clock;

  struct Lanes;
  void next(Lanes& lanes);
  void check(const Attack& attack, const Outcome& outcome, Clock::duration took);
  void check_honest(const Attack& attack, const Outcome& outcome, Clock::duration took);
  std::shared_ptr<const Program> stage(Pace pace);
  std::shared_ptr<const Program> attacker(const std::string& evaluator, Pace pace);
  std::string tools() const;
  std::string node_tools() const;

  const Clock::time_point began_ = Clock::now();
  Mode mode_;
  std::string language_;
  size_t descriptors_, mounts_;
  Victim victim_;
  std::unique_ptr<PoolFixture> pool_;
  std::map<Pace, std::shared_ptr<const Program>> stages_, honest_;
  size_t rows_ = 0, resident_ = 0;
  std::vector<double> honest_ms_;
};

}  // namespace assay::sandbox
