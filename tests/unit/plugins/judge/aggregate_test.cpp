#include "plugins/judge/aggregate.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "plugins/judge/expected_score.hpp"

using namespace assay::judge;

namespace {

Result<Verdict> vote(double score, std::string label = {}, std::string reason = {}) {
  return Verdict{score, std::move(label), std::move(reason), Channel::json};
}
Result<Verdict> failed(ErrorKind kind) {
  return Error{kind, "no"};
}

using VoteList = std::vector<Result<Verdict>>;

TokenChoice choice(const std::string& token, double probability) {
  return {token, std::log(probability)};
}

/// Tokens nobody asks about.
std::vector<Token> plain(std::initializer_list<const char*> texts) {
  std::vector<Token> tokens;
  for (const char* text : texts) tokens.push_back({text, 0, {{text, 0}}});
  return tokens;
}

}  // namespace

TEST_CASE("aggregate: the mean leaves failures out and counts them", "[judge][aggregate]") {
  const VoteList votes = {vote(1), failed(ErrorKind::judge_parse), vote(0.5), vote(0)};
  const auto result = mean(votes);
  REQUIRE(result);
  CHECK(result->score == Approx(0.5));
  CHECK(result->deviation == Approx(0.5));
  CHECK(result->scored == 3);
  CHECK(result->failed == 1);
  CHECK_FALSE(result->tie);
  const auto alone = mean(VoteList{vote(0.25)});
  REQUIRE(alone);
  CHECK(alone->score == 0.25);
  CHECK(alone->deviation == 0);
}

TEST_CASE("aggregate: no votes, or too few, are an error and never a zero", "[judge][aggregate]") {
  const VoteList all_failed = {failed(ErrorKind::judge_parse), failed(ErrorKind::judge_refusal),
                               failed(ErrorKind::judge_refusal)};
  const auto refused = mean(all_failed);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().kind == ErrorKind::judge_refusal);
  CHECK(refused.error().message == "3 of 3 judgements failed: no");
  CHECK(majority(all_failed).error().kind == ErrorKind::judge_refusal);
  const VoteList one = {vote(1, "C"), failed(ErrorKind::judge_truncated)};
  CHECK(majority(one, 2).error().kind == ErrorKind::judge_truncated);
  CHECK(majority(one, 1));
  CHECK(mean(VoteList{}).error().kind == ErrorKind::config);
  CHECK(mean(VoteList{vote(1)}, 2).error().kind == ErrorKind::config);
  CHECK(mean(VoteList{}, 0).error().kind == ErrorKind::config);
}

TEST_CASE("aggregate: the majority, and ties that are said", "[judge][aggregate]") {
  const auto clear = majority(
      VoteList{vote(0, "I", "wrong"), vote(1, "C", "right"), vote(1, "C"), failed(ErrorKind::judge_parse)});
  REQUIRE(clear);
  CHECK(clear->label == "C");
  CHECK(clear->score == 1);
  CHECK(clear->reason == "right");
  CHECK(clear->share == Approx(2.0 / 3));
  CHECK(clear->failed == 1);
  const auto tie = majority(VoteList{vote(1, "C"), vote(0, "I"), vote(0.5, "P"), vote(0, "I"), vote(1, "C")});
  REQUIRE(tie);
  CHECK(tie->tie);
  CHECK(tie->label.empty());
  CHECK(tie->score == 0.5);
  CHECK(tie->share == Approx(0.4));
  const auto numbers = majority(VoteList{vote(4), vote(5), vote(4)});
  REQUIRE(numbers);
  CHECK(numbers->score == 4);
}

TEST_CASE("aggregate: a pair counts when both orders agree, else it is a tie", "[judge][aggregate]") {
  const auto both = [](const std::string& straight, const std::string& swapped) {
    const auto score = [](const std::string& label) { return label == "A" ? 1.0 : label == "B" ? 0.0 : 0.5; };
    return both_orders(vote(score(straight), straight), vote(score(swapped), swapped));
  };
  const auto sample = both("A", "B");
  REQUIRE(sample);
  CHECK(sample->label == "A");
  CHECK(sample->score == 1);
  CHECK(sample->consistent);
  CHECK(both("B", "A")->score == 0);
  CHECK(both("tie", "tie")->consistent);
  CHECK(both("tie", "tie")->score == 0.5);
  const auto first = both("A", "A");
  CHECK(first->label == "tie");
  CHECK(first->score == 0.5);
  CHECK_FALSE(first->consistent);
  CHECK(first->position == 1);
  CHECK(both("B", "B")->position == 2);
  CHECK(both("A", "tie")->label == "tie");
  CHECK(both("A", "tie")->position == 0);
  CHECK_FALSE(both("A", "tie")->consistent);
  const auto half = both_orders(vote(1, "A"), failed(ErrorKind::judge_off_menu));
  REQUIRE_FALSE(half);
  CHECK(half.error().kind == ErrorKind::judge_off_menu);
  CHECK(half.error().message == "in the swapped order: no");
  CHECK(both_orders(failed(ErrorKind::judge_refusal), vote(1, "A")).error().kind == ErrorKind::judge_refusal);
}

TEST_CASE("aggregate: twenty pairs in both orders give the known rates", "[judge][aggregate]") {
  PairTally tally;
  const auto add = [&](int times, const std::string& straight, const std::string& swapped) {
    for (int i = 0; i < times; ++i) tally.add(both_orders(vote(straight == "A", straight), vote(0, swapped)));
  };
  add(9, "A", "B");
  add(4, "B", "A");
  add(5, "A", "A");
  add(1, "B", "B");
  add(1, "tie", "tie");
  CHECK(tally.win_rate() == Approx(0.625));
  CHECK(tally.consistency() == Approx(0.70));
  CHECK(tally.first == 5);
  CHECK(tally.second == 1);
  tally.add(Error{ErrorKind::judge_parse, "no"});
  CHECK(tally.failed == 1);
  CHECK(tally.judged() == 20);
  CHECK(PairTally{}.win_rate() == 0);
}

TEST_CASE("expected score: the worked value, with the tail and without", "[judge][aggregate]") {
  auto tokens = plain({"Score", ":"});
  tokens.push_back(
      {" 4", std::log(.62), {choice(" 4", .62), choice(" 5", .25), choice(" 3", .10), choice(" 10", .005)}});
  const auto all = expected_score(tokens, 7, 4, 1, 10, 0);
  REQUIRE(all);
  CHECK(all->score == Approx(4.1846153846).epsilon(1e-10));
  CHECK(all->mass == Approx(.975));
  const auto dropped = expected_score(tokens, 7, 4, 1, 10);
  REQUIRE(dropped);
  CHECK(dropped->score == Approx(4.1546391753).epsilon(1e-10));
  CHECK(dropped->mass == Approx(.97));
}

TEST_CASE("expected score: ten as one token and as two", "[judge][aggregate]") {
  const std::vector<Token> one = {
      {"10", std::log(.6), {choice("10", .6), choice("9", .3), choice("1", .05)}}};
  const auto whole = expected_score(one, 0, 10, 1, 10);
  REQUIRE(whole);
  CHECK(whole->score == Approx((10 * .6 + 9 * .3 + 1 * .05) / .95));

  const std::vector<Token> two = {{"1", std::log(.6), {choice("1", .6), choice("9", .4)}},
                                  {"0", std::log(.9), {choice("0", .9), choice("\n", .1)}}};
  const auto split = expected_score(two, 0, 10, 1, 10);
  REQUIRE(split);
  CHECK(split->score == Approx(10 * .54 + 1 * .06 + 9 * .4));
  CHECK(split->mass == Approx(1));

  // Written "1" and ended: what could have followed is known.
  const std::vector<Token> ended = {{"1", std::log(.6), {choice("1", .6), choice("9", .4)}},
                                    {"\n", std::log(.75), {choice("\n", .75), choice("0", .25)}}};
  const auto one_or_ten = expected_score(ended, 0, 1, 1, 10);
  REQUIRE(one_or_ten);
  CHECK(one_or_ten->score == Approx(.45 + 10 * .15 + 9 * .4));

  // Not written: nobody knows whether "1" would have become 10.
  const std::vector<Token> nine = {{"9", std::log(.6), {choice("9", .6), choice("1", .4)}}};
  const auto unknown = expected_score(nine, 0, 9, 1, 10);
  REQUIRE(unknown);
  CHECK(unknown->score == Approx(9));
  CHECK(unknown->mass == Approx(.6));
}

TEST_CASE("expected score: where the score stands", "[judge][aggregate]") {
  const auto at_of = [](const std::string& text, const std::string& verdict, double score) {
    const size_t begin = text.find(verdict);
    return digits_of_score(text, {begin, begin + verdict.size()}, score);
  };
  CHECK(at_of("It meets 4 of 5.\nScore: 4", "Score: 4", 4) == 24U);
  CHECK(at_of("Score: 4/5", "4/5", 4) == 7U);
  CHECK(at_of(R"({"score": "4"})", R"("4")", 4) == 11U);
  CHECK(at_of("Score: **4**", "**4**", 4) == 9U);
  CHECK(at_of("Score: 10", "10", 10) == 7U);
  // Not written as the whole number that it is.
  for (const char* written : {"4.0", "4e0", "40e-1", "400%", "\\u0034", "5", "14", "four"})
    CHECK_FALSE(at_of("Score: " + std::string(written) + "\n4", written, 4));
  CHECK_FALSE(at_of("4.5", "4.5", 4.5));
  CHECK_FALSE(at_of("4", "4", std::nan("")));
  CHECK_FALSE(digits_of_score("4", {7, 9}, 4));

  const std::vector<TokenChoice> top = {choice("4", .5), choice(" 4", .1), choice("5", .4)};
  auto tokens = plain({"It meets ", "4", " of 5.", "\nScore: "});
  tokens.push_back({"4", std::log(.5), top});
  for (const Token& token : plain({" as ", "4"})) tokens.push_back(token);
  REQUIRE(expected_score(tokens, 24, 4, 1, 5));
  CHECK(expected_score(tokens, 24, 4, 1, 5)->score == Approx(4 * .6 + 5 * .4));
  CHECK(expected_score(tokens, 23, 4, 1, 5).error().kind == ErrorKind::judge_parse);
  CHECK(expected_score(tokens, 99, 4, 1, 5).error().kind == ErrorKind::judge_parse);

  auto mixed = plain({"Score"});
  mixed.push_back({":4", std::log(.7), {choice(":4", .7), choice(":3", .3)}});
  CHECK(expected_score(mixed, 6, 4, 1, 5)->score == Approx(3.7));
}

TEST_CASE("expected score: what cannot be computed is an error", "[judge][aggregate]") {
  CHECK(expected_score(std::vector<Token>{{"4", 0, {}}}, 0, 4, 1, 5).error().kind == ErrorKind::config);
  CHECK(expected_score({}, 0, 4, 1, 5).error().kind == ErrorKind::judge_parse);
  CHECK(expected_score(plain({"4.5"}), 0, 4.5, 1, 5).error().kind == ErrorKind::judge_parse);
  CHECK(expected_score(plain({"9"}), 0, 9, 1, 5).error().kind == ErrorKind::judge_parse);
  CHECK(expected_score(plain({"4"}), 0, std::nan(""), 1, 5).error().kind == ErrorKind::judge_parse);
  CHECK(expected_score(plain({"4"}), 0, 4, 5, 1).error().kind == ErrorKind::config);
  const std::vector<Token> broken = {{"4", std::nan(""), {{"4", std::nan("")}, {"5", -9999}}}};
  CHECK(expected_score(broken, 0, 4, 1, 5).error().kind == ErrorKind::judge_parse);
}
