// The plugin "judge" as it is shipped, end to end, with a model that answers by script.
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "tests/unit/plugins/judge/adversaries.hpp"
#include "tests/unit/plugins/shipped.hpp"

using Json = nlohmann::json;

namespace {

const Shipped& plugin() {
  static const Shipped judge("judge");
  return judge;
}

/// What the scripted model does: a reply, or the kind of a failure.
struct Said {
  std::string text;
  std::string finish = "stop";
  Json more = Json::object();  // further members of the reply
  std::string failure = {};
};
using Script = std::function<Said(const Json& request)>;

std::string system_of(const Json& request) {
  return request["messages"][0]["content"];
}
std::string last_of(const Json& request) {
  return request["messages"].back()["content"];
}
/// The key that only the judge can know.
std::string key_of(const Json& request) {
  const std::string system = system_of(request);
  const size_t begin = system.find("verdict_");
  return begin == std::string::npos ? "" : system.substr(begin, system.find('"', begin) - begin);
}
Said verdict(const Json& request, const Json& value, const std::string& reason = "because") {
  return {Json{{"reason", reason}, {key_of(request), value}}.dump()};
}

class Judge {
 public:
  explicit Judge(const Json& params) : made_(plugin(), "judge", params) {}

  Ended of(const Json& item, const Script& script) {
    assay_call call;
    call.item = item;
    made_.begin(call);
    while (!made_.host().completions().empty()) {
      const auto asked = made_.host().completions().front();
      made_.host().completions().pop_front();
      CHECK(asked.call == &call);
      requests_.push_back(Json::parse(asked.request));
      answer(asked, script(requests_.back()));
    }
    REQUIRE(call.ended);
    CHECK(call.answers == 1);
    log_ = call.log;
    return *call.ended;
  }

  std::vector<Json>& requests() { return requests_; }
  const std::vector<std::string>& log() const { return log_; }

 private:
  static void answer(const TestHost::Completion& asked, const Said& said) {
    if (!said.failure.empty()) {
      assay_outcome failed{};
      failed.size = sizeof failed;
      failed.verdict = ASSAY_ERRORED;
      failed.reason = {said.text.data(), said.text.size()};
      failed.kind = {said.failure.data(), said.failure.size()};
      return asked.done(asked.user, nullptr, &failed);
    }
    Json all = said.more;
    all["text"] = said.text;
    all["finish"] = said.finish;
    const std::string written = all.dump(-1, ' ', false, Json::error_handler_t::replace);
    const assay_llm_reply reply{sizeof reply,
                                {said.text.data(), said.text.size()},
                                {said.finish.data(), said.finish.size()},
                                {written.data(), written.size()}};
    asked.done(asked.user, &reply, nullptr);
  }

  Made made_;
  std::vector<Json> requests_;
  std::vector<std::string> log_;
};

Json item_of(const std::string& output, const std::string& expected = "Paris") {
  return {{"id", "1"},
          {"sample", {{"input", "capital of France?"}, {"output", output}}},
          {"ground_truth", {{"input", "capital of France?"}, {"output", expected}}}};
}

Json params(Json more = Json::object()) {
  Json all = {{"models", {"a/b"}}, {"prompt", "Is {{ output }} as good as {{ expected }}?"}};
  all.update(more);
  return all;
}

Script always(const Json& value) {
  return [value](const Json& request) { return verdict(request, value); };
}

void check_scored(const Ended& ended, double score) {
  CHECK(ended.kind.empty());
  CHECK(ended.verdict == ASSAY_SCORED);
  CHECK(ended.score == Approx(score));
}
void check_errored(const Ended& ended, const std::string& kind) {
  CHECK(ended.verdict == ASSAY_ERRORED);
  CHECK(ended.kind == kind);
  CHECK_FALSE(ended.reason.empty());
}

}  // namespace

TEST_CASE("judge.so: TRUE and FALSE, with the request as models take it", "[judge]") {
  Judge judge(params({{"inference_params", {{"max_tokens", 100}, {"top_p", 0.5}}}}));
  const Ended yes = judge.of(item_of("Paris!"), always("TRUE"));
  check_scored(yes, 1);
  CHECK((yes.reason == "because" && yes.metrics.empty() && yes.passed == 0));
  check_scored(judge.of(item_of("Rome"), always("FALSE")), 0);

  const Json& request = judge.requests()[0];
  CHECK(request["model"] == "a/b");
  CHECK(request["params"] == Json{{"max_tokens", 100}, {"top_p", 0.5}, {"temperature", 0}});
  CHECK(request["schema"]["strict"] == true);
  CHECK(request["schema"]["schema"]["properties"].contains(key_of(request)));
  CHECK(request["messages"].size() == 2);
  CHECK(request["messages"][0]["role"] == "system");
  const std::string nonce = key_of(request).substr(8);
  CHECK(nonce.size() == 26);
  CHECK_THAT(last_of(request),
             Catch::Contains("<judged-" + nonce + " field=\"output\">\nParis!\n</judged-" + nonce));
  CHECK(key_of(request) != key_of(judge.requests()[1]));
  // What is asked again is asked in the same words, so that a kept reply answers it.
  check_scored(judge.of(item_of("Paris!"), always("TRUE")), 1);
  CHECK(judge.requests()[2] == judge.requests()[0]);
}

TEST_CASE("judge.so: a prompt without variables is followed by both responses", "[judge]") {
  for (const Json& prompt :
       {Json("Compare."), Json::array({{{"role", "system"}, {"content", "Compare."}}})}) {
    Judge judge({{"models", {"m"}}, {"prompt", prompt}});
    check_scored(judge.of(item_of("Rome"), always("TRUE")), 1);
    const std::string asked = last_of(judge.requests()[0]);
    const size_t a = asked.find("Response A:");
    const size_t b = asked.find("Response B:");
    REQUIRE((a != std::string::npos && b != std::string::npos));
    CHECK(asked.substr(a, b - a).find("Rome") != std::string::npos);
    CHECK(asked.substr(b).find("Paris") != std::string::npos);
    CHECK_THAT(asked, Catch::Contains("capital of France?") && Catch::Contains("at least as good"));
  }
}

TEST_CASE("judge.so: numbers, choices, and a response_format of the definition's own", "[judge]") {
  Judge stars(params({{"range", {1, 5}}}));
  check_scored(stars.of(item_of("x"), always(4)), 4);
  check_errored(stars.of(item_of("x"), always(6)), "judge_off_menu");
  Judge grades(params({{"choices", {{"good", 1}, {"fair", 0.5}, {"bad", 0}}}}));
  check_scored(grades.of(item_of("x"), always("fair")), 0.5);
  check_errored(grades.of(item_of("x"), always("great")), "judge_off_menu");

  const Json schema = {{"type", "object"},
                       {"properties", {{"reason", {{"type", "string"}}}, {"score", {{"type", "number"}}}}}};
  const Json format = {{"type", "json_schema"},
                       {"json_schema", {{"name", "mine"}, {"schema", schema}, {"strict", true}}}};
  Judge own(params({{"inference_params", {{"response_format", format}}}}));
  const auto said = [](const std::string& text) { return [text](const Json&) { return Said{text}; }; };
  const Ended scored = own.of(item_of("x"), said(R"({"reason": "fine", "score": -12.5})"));
  check_scored(scored, -12.5);
  CHECK(scored.reason == "fine");
  CHECK(own.requests()[0]["schema"] == Json{{"name", "mine"}, {"schema", schema}, {"strict", true}});
  CHECK_FALSE(own.requests()[0]["params"].contains("response_format"));
  CHECK(key_of(own.requests()[0]).empty());  // one way to answer, not two
  check_errored(own.of(item_of("x"), said("fine")), "judge_parse");
  check_errored(own.of(item_of(R"({"score": 9})"), said(R"({"score": 9})")), "judge_parse");

  Judge lines(params(
      {{"choices", {{"C", 1}, {"I", 0}}}, {"inference_params", {{"response_format", {{"type", "text"}}}}}}));
  check_scored(lines.of(item_of("x"), said("It fits.\nGRADE: C")), 1);
  CHECK_FALSE(lines.requests()[0].contains("schema"));
}

TEST_CASE("judge.so: a panel counts the model that fails, and its quorum decides", "[judge]") {
  const auto script = [](size_t failing) {
    return [failing, asked = size_t{0}](const Json& request) mutable -> Said {
      if (asked++ < failing) return {"no such model", "", {}, "model_not_found"};
      return verdict(request, "TRUE", request["model"]);
    };
  };
  Judge panel(params({{"models", {"m/1", "m/2", "m/3"}}}));
  const Ended two = panel.of(item_of("x"), script(1));
  check_scored(two, 1);
  CHECK(two.reason == "m/2");
  CHECK(Json::parse(two.metrics) ==
        Json{{"votes", 2.0}, {"failed_votes", 1.0}, {"agreement", 1.0}, {"deviation", 0.0}, {"tie", 0.0}});
  CHECK(panel.log().size() == 3);
  const Ended one = panel.of(item_of("x"), script(2));
  check_errored(one, "model_not_found");
  CHECK_THAT(one.reason, Catch::Contains("2 of 3") && Catch::Contains("no such model"));
  check_scored(Judge(params({{"models", {"m/1", "m/2", "m/3"}}, {"quorum", 1}})).of(item_of("x"), script(2)),
               1);
  check_errored(Judge(params()).of(item_of("x"), script(1)), "model_not_found");
}

TEST_CASE("judge.so: votes by majority and by mean", "[judge]") {
  const auto script = [](std::vector<Json> values) {
    return [values = std::move(values), next = size_t{0}](const Json& request) mutable {
      return verdict(request, values.at(next++));
    };
  };
  Judge three(params({{"votes", 3}, {"inference_params", {{"seed", 7}}}}));
  const Ended ended = three.of(item_of("x"), script({"TRUE", "FALSE", "TRUE"}));
  check_scored(ended, 1);
  CHECK(Json::parse(ended.metrics)["agreement"].get<double>() == Approx(2.0 / 3));
  std::set<int> seeds;
  for (const Json& request : three.requests()) {
    seeds.insert(request["params"]["seed"].get<int>());
    CHECK_FALSE(request["params"].contains("temperature"));
  }
  CHECK(seeds == std::set<int>{7, 8, 9});
  const Ended tie = Judge(params({{"votes", 2}})).of(item_of("x"), script({"TRUE", "FALSE"}));
  check_scored(tie, 0.5);
  CHECK(Json::parse(tie.metrics)["tie"] == 1);
  check_scored(Judge(params({{"votes", 2}, {"range", {1, 5}}})).of(item_of("x"), script({2, 5})), 3.5);
  check_scored(
      Judge(params({{"votes", 3}, {"combine", "mean"}})).of(item_of("x"), script({"TRUE", "FALSE", "FALSE"})),
      1.0 / 3);
}

TEST_CASE("judge.so: pairs are judged in both orders", "[judge]") {
  Judge pair({{"models", {"m"}}, {"use", "preference"}});
  // Prefers the response that says Paris, wherever it stands.
  const Ended agreed = pair.of(item_of("Paris", "Rome"), [](const Json& request) {
    const std::string asked = last_of(request);
    return verdict(request, asked.find("Paris") < asked.find("Rome") ? "A" : "B");
  });
  check_scored(agreed, 1);
  CHECK(Json::parse(agreed.metrics) ==
        Json{{"tie", 0.0}, {"consistent", 1.0}, {"first_both_times", 0.0}, {"second_both_times", 0.0}});
  CHECK(pair.requests().size() == 2);
  const Ended biased = pair.of(item_of("Paris", "Rome"), always("A"));
  check_scored(biased, 0.5);
  CHECK(Json::parse(biased.metrics) ==
        Json{{"tie", 1.0}, {"consistent", 0.0}, {"first_both_times", 1.0}, {"second_both_times", 0.0}});
  check_scored(pair.of(item_of("Paris", "Rome"), always("tie")), 0.5);
  const auto once = [asked = 0](const Json& request) mutable -> Said {
    return asked++ == 0 ? verdict(request, "A") : Said{"gone", "", {}, "transport"};
  };
  check_errored(pair.of(item_of("Paris", "Rome"), once), "transport");
  check_errored(pair.of({{"sample", {{"input", "?"}, {"output", "a"}}}}, always("A")), "config");
}

TEST_CASE("judge.so: a reply that was cut is asked for once more, with more tokens", "[judge]") {
  const auto cut = [](int times) {
    return [times, asked = 0](const Json& request) mutable -> Said {
      if (asked++ < times) return {R"({"reason": "TRUE or)", "length"};
      return verdict(request, "TRUE");
    };
  };
  Judge judge(params({{"inference_params", {{"max_completion_tokens", 100}}}}));
  check_scored(judge.of(item_of("x"), cut(1)), 1);
  REQUIRE(judge.requests().size() == 2);
  CHECK(judge.requests()[1]["params"]["max_completion_tokens"] == 200);
  check_errored(judge.of(item_of("x"), cut(2)), "judge_truncated");
  CHECK(judge.requests().size() == 4);
  Judge unlimited(params());
  check_scored(unlimited.of(item_of("x"), cut(1)), 1);
  CHECK(unlimited.requests()[1]["params"]["max_tokens"] == 16384);
  Judge most(params({{"inference_params", {{"max_tokens", 65536}}}}));
  check_errored(most.of(item_of("x"), cut(1)), "judge_truncated");
  CHECK(most.requests().size() == 1);
  const auto refused = [asked = 0](const Json&) mutable -> Said {
    return asked++ == 0 ? Said{"", "length"} : Said{"max_tokens is too large", "", {}, "config"};
  };
  check_errored(judge.of(item_of("x"), refused), "judge_truncated");
}

TEST_CASE("judge.so: what is no verdict is an error of its kind", "[judge]") {
  Judge judge(params());
  const auto ended = [&](const Said& said) {
    return judge.of(item_of("x"), [&](const Json&) { return said; });
  };
  check_errored(ended({"I'm sorry, but I can't assist with that."}), "judge_refusal");
  check_errored(ended({"", "refusal", {{"refusal", "no"}}}), "judge_refusal");
  check_errored(ended({"TRUE", "content_filter"}), "content_filter");
  check_errored(ended({"TRUE", "other", {{"finish_reason", "SAFETY"}}}), "content_filter");
  check_errored(ended({""}), "judge_parse");
  check_errored(ended({"Both are fine."}), "judge_parse");
  check_errored(ended({"MAYBE"}), "judge_off_menu");
  check_errored(ended({R"({"verdict": NaN})"}), "judge_parse");
  check_errored(ended({R"({"verdict": "TRUE"}{"verdict": "FALSE"})"}), "judge_parse");
  for (const char* kind : {"auth", "billing", "rate_limited", "context_too_long", "timeout", "cancelled"})
    check_errored(ended({"it failed", "", {}, kind}), kind);
  const Ended tool = judge.of(item_of("x"), [](const Json& request) {
    return Said{"",
                "tool",
                {{"tool", {{"name", "judgement"}, {"arguments", Json{{key_of(request), "FALSE"}}.dump()}}}}};
  });
  check_scored(tool, 0);
}

TEST_CASE("judge.so: G-Eval weights by the log probabilities of the verdict's own tokens", "[judge]") {
  // Tokens, and what else could have stood in their place.
  using Tokens = std::vector<std::pair<std::string, std::map<std::string, double>>>;
  const auto with = [](const Tokens& tokens) {
    return [tokens](const Json& request) {
      Said said;
      Json all = Json::array();
      for (const auto& [token, top] : tokens) {
        const std::string written = token == "KEY" ? key_of(request) : token;
        Json choices = Json::array();
        for (const auto& [choice, probability] : top)
          choices.push_back({{"token", choice}, {"logprob", std::log(probability)}});
        all.push_back({{"token", written}, {"logprob", 0.0}, {"top", choices}});
        said.text += written;
      }
      said.more["logprobs"] = all;
      return said;
    };
  };
  Judge judge(params({{"range", {1, 9}}, {"expected_score", true}}));
  const auto check = [&](const Script& script, double score, double weighted) {
    const Ended ended = judge.of(item_of("x"), script);
    check_scored(ended, score);
    CHECK(Json::parse(ended.metrics) == Json{{"weighted", weighted}});
  };
  const std::map<std::string, double> sure = {{"4", .6}, {"5", .4}};
  const std::map<std::string, double> quoted = {{"9", .9}, {"4", .1}};
  check(with({{"{\"", {}}, {"KEY", {}}, {"\":", {}}, {"4", sure}, {"}", {}}}), 4.4, 1);
  CHECK((judge.requests()[0]["params"]["logprobs"] == true &&
         judge.requests()[0]["params"]["top_logprobs"] == 20));
  // The same number in the reason is a quotation, whether it comes before or after.
  check(with({{"{\"", {}},
              {"KEY", {}},
              {"\":", {}},
              {"4", sure},
              {",\"reason\":\"It asks for ", {}},
              {"4", quoted},
              {" points\"}", {}}}),
        4.4, 1);
  check(with({{"{\"reason\":\"It asks for ", {}},
              {"4", quoted},
              {" points\",\"", {}},
              {"KEY", {}},
              {"\": \"", {}},
              {"4", sure},
              {"\"}", {}},
              {"<|im_end|>", {}}}),
        4.4, 1);
  // Not written as a whole number, no tokens, tokens that are not the text.
  check(with({{"{\"", {}}, {"KEY", {}}, {"\":", {}}, {"4.0", {{"4.0", 1}}}, {"}", {}}}), 4, 0);
  check([&](const Json& request) { return verdict(request, 4); }, 4, 0);
  check(
      [&](const Json& request) {
        Said said = with({{"4", quoted}})(request);
        said.text = verdict(request, 4).text;
        return said;
      },
      4, 0);
  // A tool call's arguments are no text that has tokens.
  check(
      [&](const Json& request) {
        Said said = with({{"4", quoted}})(request);
        said.more["tool"] = {{"name", "judgement"}, {"arguments", Json{{key_of(request), 4}}.dump()}};
        return said;
      },
      4, 0);

  // The hosted API's format: the score, then the reason.
  const Json schema = {
      {"type", "object"},
      {"properties",
       {{"score", {{"type", "number"}, {"minimum", 1}, {"maximum", 9}}}, {"reason", {{"type", "string"}}}}}};
  const Json format = {{"type", "json_schema"}, {"json_schema", {{"name", "mine"}, {"schema", schema}}}};
  Judge hosted(params(
      {{"expected_score", true}, {"range", {1, 9}}, {"inference_params", {{"response_format", format}}}}));
  const Ended first = hosted.of(item_of("rate it 1 or 9"), with({{"{\"score\":", {}},
                                                                 {"1", {{"1", .999}, {"2", .001}}},
                                                                 {",\"reason\":\"It asks for ", {}},
                                                                 {"1", {{"9", .905}, {"1", .095}}},
                                                                 {" points\"}", {}}}));
  check_scored(first, 1);
}

TEST_CASE("judge.so: examples, further variables and budgets", "[judge]") {
  const Json examples = {
      {{"input", "1+1"}, {"output", "3"}, {"rule", "sums"}, {"verdict", "false"}, {"reason", "it is 2"}}};
  const Json chat = Json::array({{{"role", "system"}, {"content", "Be strict."}},
                                 {{"role", "user"}, {"content", "{{ rule }}: {{ input }} = {{ output }}?"}}});
  Judge judge({{"models", {"m"}},
               {"prompt", chat},
               {"variables", {"rule"}},
               {"examples", examples},
               {"budgets", {{"output", 10}}}});
  Json item = item_of(std::string(100, 'x'));
  item["rule"] = "geography";
  const Ended ended = judge.of(item, always("TRUE"));
  check_scored(ended, 1);
  CHECK(Json::parse(ended.metrics) == Json{{"cut", 1.0}});
  const Json& messages = judge.requests()[0]["messages"];
  REQUIRE(messages.size() == 4);
  CHECK_THAT(messages[0]["content"].get<std::string>(), Catch::StartsWith("Be strict.\n\n"));
  CHECK_THAT(messages[1]["content"].get<std::string>(), Catch::Contains("1+1") && Catch::Contains("sums"));
  CHECK(messages[2]["role"] == "assistant");
  CHECK(Json::parse(messages[2]["content"].get<std::string>()) ==
        Json{{"reason", "it is 2"}, {key_of(judge.requests()[0]), "FALSE"}});
  CHECK_THAT(last_of(judge.requests()[0]), Catch::Contains("bytes cut here"));
}

TEST_CASE("judge.so: what is wrong with a definition is said before the first call", "[judge]") {
  const auto refused = [](const Json& all) {
    CAPTURE(all.dump());
    const std::string why = plugin().complaint("judge", all);
    CHECK_FALSE(why.empty());
    return why;
  };
  CHECK_THAT(refused(params({{"prompt", "{{ nonsense }}"}})),
             Catch::Contains("nonsense") && Catch::Contains("unknown"));
  CHECK_THAT(refused(params({{"prompt", "{{ output "}})), Catch::Contains("never closed"));
  CHECK(refused({{"models", {"m"}}}) == "schema");
  CHECK(refused(params({{"use", "safety"}})) == "schema");
  CHECK(refused(params({{"models", Json::array()}})) == "schema");
  CHECK(refused(params({{"votes", 0}})) == "schema");
  CHECK(refused(params({{"unknown", 1}})) == "schema");
  CHECK_THAT(refused(params({{"range", {5, 1}}})), Catch::StartsWith("range: "));
  CHECK_THAT(refused(params({{"range", {1, 5}}, {"choices", {{"a", 1}, {"b", 0}}}})),
             Catch::Contains("twice"));
  CHECK_THAT(refused(params({{"choices", {{"a", 1}, {"A", 0}}}})), Catch::StartsWith("choices: "));
  CHECK_THAT(refused(params({{"mode", "pairwise"}})), Catch::Contains("response_a"));
  CHECK_THAT(refused({{"models", {"m"}}, {"use", "safety"}, {"mode", "pairwise"}}),
             Catch::StartsWith("mode: "));
  CHECK_THAT(refused(params({{"expected_score", true}})), Catch::StartsWith("expected_score: "));
  CHECK_THAT(refused(params({{"quorum", 2}})), Catch::StartsWith("quorum: "));
  CHECK_THAT(refused(params({{"budgets", {{"input", 10}}}})), Catch::StartsWith("budgets.input: "));
  CHECK_THAT(refused(params({{"models", Json(std::vector<std::string>(16, "m"))}, {"votes", 16}})),
             Catch::Contains("256 calls"));
  CHECK_THAT(refused(params({{"examples", {{{"output", "a"}, {"verdict", "TRUE"}}}}})),
             Catch::StartsWith("examples[0]"));
  CHECK_THAT(refused(params({{"examples", {{{"output", "a"}, {"expected", "b"}, {"verdict", "yes"}}}}})),
             Catch::StartsWith("examples[0].verdict"));
  CHECK_THAT(refused(params({{"inference_params", {{"response_format", {{"type", "xml"}}}}}})),
             Catch::StartsWith("inference_params.response_format"));
  CHECK_THAT(refused(params({{"inference_params", {{"max_tokens", 0}}}})),
             Catch::StartsWith("inference_params.max_tokens"));
}

TEST_CASE("judge.so: what an item lacks costs no call", "[judge]") {
  Judge judge(params({{"votes", 3}}));
  const Ended ended = judge.of({{"sample", {{"output", "x"}}}}, always("TRUE"));
  check_errored(ended, "config");
  CHECK_THAT(ended.reason, Catch::Contains("expected"));
  CHECK(judge.requests().empty());
}

TEST_CASE("judge.so: ready prompts judge what they say they need", "[judge]") {
  const Json item = {{"sample", {{"input", "q"}, {"output", "a"}}},
                     {"ground_truth", {{"output", "b"}}},
                     {"metadata", {{"context", "c"}}}};
  const std::map<std::string, std::pair<Json, double>> expected = {{"correctness", {"partial", 0.5}},
                                                                   {"faithfulness", {"unfaithful", 0}},
                                                                   {"relevance", {4, 4}},
                                                                   {"safety", {"safe", 1}},
                                                                   {"preference", {"tie", 0.5}}};
  for (const auto& [name, answer] : expected) {
    CAPTURE(name);
    Judge judge({{"models", {"m"}}, {"use", name}});
    check_scored(judge.of(item, always(answer.first)), answer.second);
  }
}

TEST_CASE("judge.so: a cancelled evaluation asks nothing more", "[judge]") {
  Made made(plugin(), "judge", params({{"votes", 2}}));
  assay_call call;
  call.item = item_of("x");
  made.begin(call);
  REQUIRE(made.host().completions().size() == 2);
  call.cancelled = true;
  for (int i = 0; i < 2; ++i) {
    const auto asked = made.host().completions().front();
    made.host().completions().pop_front();
    CHECK(!call.ended);
    const assay_llm_reply cut{sizeof cut, {"", 0}, {"length", 6}, {"{}", 2}};
    asked.done(asked.user, &cut, nullptr);
  }
  CHECK(made.host().completions().empty());
  REQUIRE(call.ended);
  CHECK(call.ended->verdict == ASSAY_ERRORED);
}

TEST_CASE("judge.so: no candidate gets a verdict out of a judge that repeats it", "[judge]") {
  auto candidates = assay::judge::adversaries();
  const size_t by_hand = candidates.size();
  for (std::string& candidate : assay::judge::made_up_adversaries())
    candidates.push_back(std::move(candidate));
  REQUIRE(candidates.size() >= 1060);
  Judge truth(params());
  Judge stars(params({{"range", {1, 5}}}));
  Judge grades(params({{"choices", {{"C", 1}, {"P", 0.5}, {"I", 0}}}}));
  const std::vector<Judge*> judges = {&truth, &stars, &grades};
  const auto fenced = [](const Json& request) {
    const std::string asked = last_of(request);
    return asked.substr(asked.find('<'));
  };
  const std::vector<Script> scripts = {
      [](const Json& request) { return Said{last_of(request)}; },
      [](const Json& request) { return Said{system_of(request) + "\n" + last_of(request)}; },
      [&](const Json& request) { return Said{"The submission says:\n" + fenced(request)}; },
      [&](const Json& request) { return Said{fenced(request) + "\nI take no instruction from it."}; },
  };
  for (size_t i = 0; i < candidates.size(); ++i) {
    // Items are JSON, so their texts are UTF-8 by the time they are here.
    const Json item =
        Json::parse(item_of(candidates[i], "b").dump(-1, ' ', false, Json::error_handler_t::replace));
    INFO(candidates[i]);
    for (size_t judge = 0; judge < judges.size(); ++judge) {
      if (i >= by_hand && i % judges.size() != judge) continue;  // those made up: one contract each
      for (const Script& script : scripts) CHECK(judges[judge]->of(item, script).verdict == ASSAY_ERRORED);
      judges[judge]->requests().clear();
    }
    const Ended own = grades.of(item, [&](const Json& request) {
      return Said{"It says:\n" + fenced(request) + "\n" + verdict(request, "I").text};
    });
    CHECK((own.verdict == ASSAY_SCORED && own.score == 0));
    grades.requests().clear();
  }
}
