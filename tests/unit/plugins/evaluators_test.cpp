// The plugins "text" and "json" as they are shipped, end to end.
#include <catch2/catch.hpp>
#include <map>
#include <vector>

#include "tests/unit/plugins/json_vectors.hpp"
#include "tests/unit/plugins/score_vectors.hpp"
#include "tests/unit/plugins/shipped.hpp"

using Json = nlohmann::json;

namespace {

const Shipped& text() {
  static const Shipped plugin("text");
  return plugin;
}
const Shipped& json() {
  static const Shipped plugin("json");
  return plugin;
}

void check_score(const Ended& ended, double score) {
  CHECK(ended.verdict == ASSAY_SCORED);
  CHECK(ended.score == Approx(score).epsilon(0).margin(1e-9));
}

struct Row {
  const char* evaluator;
  Json params;
  std::string output, expected;
  double score;
};

}  // namespace

TEST_CASE("text.so: scores are those of the reference implementations", "[plugins]") {
  Made bleu(text(), "bleu");
  Made chrf(text(), "chrf");
  Made chrf_words(text(), "chrf", {{"words", true}});
  Made levenshtein(text(), "levenshtein");
  Made token_f1(text(), "token-f1");
  std::vector<std::unique_ptr<Made>> rouges;
  for (const bool stemming : {false, true})
    for (const char* variant : {"rouge-1", "rouge-2", "rouge-l", "rouge-lsum"})
      rouges.push_back(
          std::make_unique<Made>(text(), "rouge", Json{{"variant", variant}, {"stemming", stemming}}));
  for (const auto& pair : assay::text::vectors::kPairs) {
    CAPTURE(pair.output, pair.expected);
    const std::string output(pair.output);
    const std::string expected(pair.expected);
    check_score(bleu.of(output, expected), pair.sentence_bleu / 100);
    check_score(chrf.of(output, expected), pair.chrf / 100);
    check_score(chrf_words.of(output, expected), pair.chrf_plus_plus / 100);
    check_score(levenshtein.of(output, expected), pair.levenshtein);
    check_score(token_f1.of(output, expected), pair.squad_f1);
    for (size_t i = 0; i < rouges.size(); ++i) {
      const Ended ended = rouges[i]->of(output, expected);
      check_score(ended, pair.rouge[i].f1);
      const Json metrics = Json::parse(ended.metrics);
      CHECK(metrics["precision"].get<double>() == Approx(pair.rouge[i].precision).margin(1e-9));
      CHECK(metrics["recall"].get<double>() == Approx(pair.rouge[i].recall).margin(1e-9));
    }
  }
}

TEST_CASE("text.so: fuzzy as rapidfuzz, gleu as NLTK", "[plugins]") {
  Made fuzzy(text(), "fuzzy");
  check_score(fuzzy.of("", ""), 1);
  check_score(fuzzy.of("a", ""), 0);
  check_score(fuzzy.of("kitten", "sitting"), 0.6153846153846154);
  check_score(fuzzy.of("Paris", "paris"), 0.8);
  check_score(fuzzy.of("new york mets", "new YORK mets!"), 0.6666666666666667);
  check_score(fuzzy.of("界é", "é界x"), 0.4);
  check_score(fuzzy.of("fuzzy wuzzy was a bear", "wuzzy fuzzy was a bear"), 0.9090909090909091);
  std::string left(100, 'a');
  std::string right(70, 'b');
  for (int i = 0; i < 40; ++i) left += "bc";
  for (int i = 0; i < 60; ++i) right += "ac";
  check_score(fuzzy.of(left, right), 0.3297297297297297);
  const std::string huge(100'000, 'a');
  CHECK(fuzzy.of(huge, std::string(100'000, 'b')).kind == "config");

  Made gleu(text(), "gleu");
  check_score(gleu.of("the cat sat on the mat", "the cat is on the mat"), 0.5);
  check_score(
      gleu.of(
          "It is a guide to action which ensures that the military always obeys the commands of the party",
          "It is a guide to action that ensures that the military will forever heed Party commands"),
      0.4393939393939394);
  check_score(gleu.of("a", "a"), 1);
  check_score(gleu.of("a b", "c d"), 0);
  check_score(gleu.of("the the the", "the cat"), 0.16666666666666666);
  check_score(gleu.of("", ""), 0);
}

TEST_CASE("text.so: what says yes or no", "[plugins]") {
  const std::vector<Row> rows = {
      {"exact", {}, "Paris", "Paris", 1},
      {"exact", {}, "Paris", "paris", 0},
      {"exact", {{"ignore_case", true}}, "Paris", "paris", 1},
      {"exact",
       {{"ignore_punctuation", true}, {"ignore_articles", true}, {"ignore_space", true}},
       "the  cat!",
       "cat",
       1},
      {"contains", {}, "It is Paris.", "Paris", 1},
      {"contains", {}, "It is paris.", "Paris", 0},
      {"contains", {{"ignore_case", true}}, "It is paris.", "Paris", 1},
      {"contains", {{"parts", {"a", "z"}}}, "abc", "", 0},
      {"contains", {{"parts", {"a", "z"}}, {"match", "any"}}, "abc", "", 1},
      {"contains", {{"parts", {"a", "b"}}}, "abc", "", 1},
      {"regex", {{"pattern", "\\d+"}}, "room 12", "", 1},
      {"regex", {{"pattern", "\\d+"}, {"match", "full"}}, "room 12", "", 0},
      {"regex", {{"pattern", "ROOM"}, {"ignore_case", true}}, "room 12", "", 1},
      {"regex", {{"pattern", "room (\\d+)"}, {"match", "extract"}}, "room 12", "12", 1},
      {"regex", {{"pattern", "room (\\d+)"}, {"match", "extract"}}, "room 12", "1", 0},
      {"regex", {{"pattern", "hall (\\d+)"}, {"match", "extract"}}, "room 12", "12", 0},
      {"numeric", {}, "So it is $1,234.50", "1234.5", 1},
      {"numeric", {}, "3 + 4 = 7", "#### 7", 1},
      {"numeric", {{"which", "only"}}, "3 + 4 = 7", "7", 0},
      {"numeric", {{"absolute", 0.5}}, "10.4", "10", 1},
      {"numeric", {{"relative", 0.01}}, "101.5", "100", 0},
      {"numeric", {}, "no idea", "7", 0},
      {"choice", {}, "I think the answer is (B).", "B", 1},
      {"choice", {}, "I think the answer is (C).", "B", 0},
      {"choice", {}, "I cannot say.", "B", 0},
      {"choice", {{"letters", "ABCDE"}}, "Answer: E", "E) Rome", 1},
      {"string-check", {{"operation", "eq"}}, "a", "a", 1},
      {"string-check", {{"operation", "ne"}}, "a", "a", 0},
      {"string-check", {{"operation", "ne"}}, "A", "a", 1},
      {"string-check", {{"operation", "like"}}, "xAx", "A", 1},
      {"string-check", {{"operation", "like"}}, "xax", "A", 0},
      {"string-check", {{"operation", "ilike"}}, "xax", "A", 1},
  };
  for (const Row& row : rows) {
    CAPTURE(row.evaluator, row.params.dump(), row.output, row.expected);
    Made made(text(), row.evaluator, row.params.is_null() ? Json::object() : row.params);
    check_score(made.of(row.output, row.expected), row.score);
  }
}

TEST_CASE("text.so, json.so: what an item lacks is named, and is no score of 0", "[plugins]") {
  const std::map<std::string, Json> needed = {
      {"regex", {{"pattern", "a"}}}, {"string-check", {{"operation", "eq"}}}, {"schema", {{"schema", true}}}};
  const Json output = {{"output", "a 1"}, {"text", "a 1"}};
  for (const Shipped* plugin : {&text(), &json()}) {
    for (const Json& one : plugin->described()["evaluators"]) {
      const std::string name = one["name"];
      CAPTURE(name);
      const auto params = needed.find(name);
      Made made(*plugin, name, params == needed.end() ? Json::object() : params->second);
      const Ended no_sample = made.of(Json{{"ground_truth", {{"text", "A"}}}});
      if (name != "numeric" && name != "choice") CHECK(no_sample.verdict == ASSAY_ERRORED);
      CHECK(made.of(Json::object()).kind == "config");
      const Ended no_truth = made.of(Json{{"sample", output}});
      const bool needs_truth = name != "regex" && name != "valid" && name != "schema";
      CHECK(no_truth.verdict == (needs_truth ? ASSAY_ERRORED : ASSAY_SCORED));
      if (needs_truth) {
        CHECK(no_truth.kind == "config");
        CHECK_THAT(no_truth.reason, Catch::Contains("ground truth"));
      }
      CHECK(one["summary"].get<std::string>().size() > 10);
    }
  }
  CHECK(Made(text(), "numeric").of("7", "seven").kind == "config");
  CHECK(Made(text(), "choice").of("B", "Rome").kind == "config");
  CHECK_THAT(Made(text(), "exact").of(Json{{"ground_truth", {{"text", "A"}}}}).reason,
             Catch::Contains("sample"));
}

TEST_CASE("text.so: other texts than the sides, by template", "[plugins]") {
  Made made(
      text(), "exact",
      {{"output", "{{ sample.output_json.city }}"}, {"expected", "{{ item.country }}: {{ metadata.city }}"}});
  Json item = {{"sample", {{"output", R"({"city": "France: Paris"})"}}},
               {"metadata", {{"city", "Paris"}, {"country", "France"}}}};
  check_score(made.of(item), 1);
  item["metadata"]["city"] = "Rome";
  check_score(made.of(item), 0);
  item["metadata"].erase("city");
  const Ended missing = made.of(item);
  CHECK((missing.kind == "config" && missing.reason.find("metadata.city") != std::string::npos));
  item["metadata"]["city"] = std::string(2'000'000, 'x');
  CHECK(made.of(item).kind == "config");
}

TEST_CASE("text.so, json.so: bad parameters are refused before any item", "[plugins]") {
  const auto refused = [](const Shipped& plugin, const std::string& name, const Json& params) {
    CAPTURE(name, params.dump());
    const std::string why = plugin.complaint(name, params);
    CHECK_FALSE(why.empty());
    return why;
  };
  for (const char* name : {"exact", "contains", "numeric", "levenshtein", "fuzzy", "bleu", "gleu", "chrf",
                           "rouge", "token-f1", "choice"}) {
    CHECK(text().complaint(name, Json::object()).empty());
    CHECK(refused(text(), name, {{"unknown", 1}}) == "schema");
    CHECK_THAT(refused(text(), name, {{"output", "{{ nonsense }}"}}), Catch::StartsWith("output: "));
  }
  CHECK(refused(text(), "exact", {{"ignore_case", "yes"}}) == "schema");
  CHECK(refused(text(), "regex", Json::object()) == "schema");
  CHECK_THAT(refused(text(), "regex", {{"pattern", "a(b"}}), Catch::StartsWith("pattern: invalid pattern"));
  CHECK_THAT(refused(text(), "contains", {{"match", "any"}}), Catch::Contains("needs parts"));
  CHECK(refused(text(), "numeric", {{"absolute", -1}}) == "schema");
  CHECK(refused(text(), "choice", {{"letters", "abc"}}) == "schema");
  CHECK(refused(text(), "rouge", {{"variant", "rouge-9"}}) == "schema");
  CHECK(refused(text(), "string-check", {{"operation", "equals"}}) == "schema");
  CHECK(refused(json(), "schema", Json::object()) == "schema");
  CHECK_THAT(refused(json(), "schema", {{"schema", {{"type", "text"}}}}), Catch::StartsWith("schema: "));
  std::string why;
  CHECK(TestHost().create(text().entry(), "nothing", &why) == nullptr);
  CHECK_THAT(why, Catch::Contains("nothing"));
  CHECK(TestHost({{"ignoreCase", true}}).create(text().entry(), "exact", &why) == nullptr);
  CHECK_THAT(why, Catch::StartsWith("ignoreCase: ") && Catch::Contains("ignore_case"));
}

TEST_CASE("json.so: validity, schemas and likeness", "[plugins]") {
  Made valid(json(), "valid");
  check_score(valid.of(R"({"a": [1]})", ""), 1);
  const Ended broken = valid.of("{a: 1}", "");
  check_score(broken, 0);
  CHECK_THAT(broken.reason, Catch::StartsWith("not valid JSON"));
  check_score(Made(json(), "valid", {{"top_level", "object_or_array"}}).of("12", ""), 0);

  Made schema(json(), "schema", {{"schema", {{"type", "object"}, {"required", {"a"}}}}});
  check_score(schema.of(R"({"a": 1})", ""), 1);
  const Ended lacking = schema.of(R"({"b": 1})", "");
  check_score(lacking, 0);
  CHECK_FALSE(lacking.reason.empty());
  check_score(schema.of("none", ""), 0);

  Made parse(json(), "diff");
  Made preserve(json(), "diff", {{"strings", "preserve"}});
  for (const auto& pair : assay::json_check::vectors::kPairs) {
    CAPTURE(pair.output, pair.expected);
    check_score(parse.of(std::string(pair.output), std::string(pair.expected)), pair.parsed);
    check_score(preserve.of(std::string(pair.output), std::string(pair.expected)), pair.preserved);
  }
  check_score(parse.of("Paris", "Paris"), 1);
}
