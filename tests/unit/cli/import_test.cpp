#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "cli/evaluation_file.hpp"
#include "cli/openai/conversion.hpp"
#include "cli/openai/import.hpp"
#include "cli/openai/source_file.hpp"
#include "cli/openai/toml_text.hpp"
#include "cli/table_reader.hpp"
#include "core/fd.hpp"
#include "tests/unit/temporary_folder.hpp"

namespace assay::cli::openai {
namespace {

/// What a reader of TOML makes of it.
Json read_back(const std::string& value) {
  const auto table = parse_toml("x.toml", "t = { v = " + value + " }");
  if (!table) FAIL(table.error().message + " of " + value);
  Faults faults("x.toml");
  TableReader reader(*table, "", faults);
  return *parse_json(reader.json("t"));
}

TEST_CASE("import: values are read back from TOML as they were", "[cli][import]") {
  for (const Json& json : {Json("plain"), Json("q\"\\\n\t\r\b\f\x01\x7f é 😀 {{ item.a }} '''"), Json(-7),
                           Json(0.1), Json(1e300), Json(true), Json::array({1, "a", Json::array()}),
                           Json{{"a b", 1}, {"", 2}, {"é.x", Json::object()}}, Json(INT64_MAX)}) {
    const auto text = toml_value(json);
    REQUIRE(text);
    CHECK(text->find('\n') == std::string::npos);
    CHECK(read_back(*text)["v"] == json);
  }
  CHECK(toml_value(Json{{"a", nullptr}, {"b", 1}}) == "{ b = 1 }");
  CHECK(toml_value(Json::array({1, nullptr})) == std::nullopt);
  CHECK(toml_value(Json(UINT64_MAX)) == std::nullopt);
}

TEST_CASE("import: names are labels, and each is there once", "[cli][import]") {
  Conversion made;
  CHECK(made.new_name(" a/b \n\"c\" ") == "a-b --c-");
  CHECK(made.new_name("x") == "x");
  CHECK(made.new_name("x") == "x-2");
  CHECK(made.new_name(" ") == "grader");
  CHECK(made.new_name(std::string(127, 'a') + "é").size() <= 130);
  CHECK(made.new_file("Tone: of it?", ".py", "") == "Tone-of-it.py");
  CHECK(made.new_file("tone of it", ".py", "") == "tone-of-it.py");
  CHECK(made.new_file("../../é", ".py", "") == "grader.py");
  CHECK(made.new_file("..", ".py", "") == "grader-2.py");
}

TEST_CASE("import: python graders get the packages that they import", "[cli][import]") {
  const auto requirements = [](const std::string& source) {
    Conversion made;
    REQUIRE(convert_grader(Json{{"type", "python"}, {"source", source}}, "g", made));
    for (const auto& [key, value] : made.evaluators.at(0).keys)
      if (key == "requirements") return value;
    return std::string();
  };
  CHECK(requirements("import json, re\ndef grade(s, i): return 1").empty());
  CHECK(requirements("import json, numpy as np\n") == R"(["numpy==2.2.4"])");
  CHECK(requirements("def grade(s, i):\n  from rapidfuzz import fuzz, utils\n") ==
        R"(["rapidfuzz==3.10.1"])");
  CHECK(requirements("import sklearn.metrics\nfrom yaml import load") ==
        R"(["scikit-learn==1.6.1", "pyyaml==6.0.2"])");
  CHECK(requirements("# import numpy\nx = 'import numpy'\nimport numpyro\nfrom a import numpy").empty());
}

TEST_CASE("import: the shapes in which graders come", "[cli][import]") {
  const Json grader = {{"type", "string_check"}};
  const auto path = [&](const Json& json) {
    const auto file = read_eval(json, "");
    if (!file) FAIL(file.error().message);
    return file->graders.at(0).first;
  };
  CHECK(path({{"testing_criteria", {grader}}}) == "testing_criteria[0]");
  CHECK(path({{"data", {{{"testing_criteria", {grader}}}}}}) == "testing_criteria[0]");
  CHECK(path(Json::array({grader})) == "[0]");
  CHECK(path(grader).empty());
  CHECK(path({{"grader", grader}}) == "grader");
  CHECK(path({{"method", {{"reinforcement", {{"grader", grader}}}}}}) == "method.reinforcement.grader");
  for (const Json& none : {Json(), Json(7), Json::object(), Json::array(),
                           Json{{"testing_criteria", Json::array()}}, Json{{"data", Json::array()}}})
    CHECK_FALSE(read_eval(none, ""));
}

TEST_CASE("import: what is written is an evaluation file", "[cli][import]") {
  const test::TemporaryFolder folder;
  const auto eval =
      folder.write("eval.json", R"({"name":"N","data_source_config":{"type":"custom","item_schema":{},
    "include_sample_schema":true},"testing_criteria":[
    {"type":"multi","name":"m","calculate_output":"a^2","graders":{"a":{"type":"string_check","input":"{{sample.output_text}}",
     "reference":"\u007f'''","operation":"like"}},"pass_threshold":0.5}]})");
  const auto rows = folder.write("rows.csv", "item,answer\n1,x\n2,y\n");
  // A row of a CSV is the item itself: its column "item" is a text.
  const auto without =
      import_eval({.file = eval, .run = {}, .data = rows, .out = folder.path("o"), .name = {}});
  REQUIRE_FALSE(without);
  CHECK(without.error().message.find(
            "testing_criteria[0].graders.a.input: names the sample, but the rows have none") !=
        std::string::npos);
  const auto lines = folder.write("rows.jsonl", R"({"item":{"a":1},"sample":{"output_text":"x"},"id":"r"})");
  const auto imported =
      import_eval({.file = eval, .run = {}, .data = lines, .out = folder.path("o"), .name = {}});
  if (!imported) FAIL(imported.error().message);
  const auto file = load_evaluation_file(imported->files.at(0));
  if (!file) FAIL(file.error().message);
  CHECK(file->name == "N");
  CHECK(file->sample->output_column == "sample");
  CHECK(file->ground_truth->output_column == "item");
  const auto& multi = file->evaluators.at(0);
  CHECK(multi.formula == "a^2");
  CHECK(multi.pass_threshold == 0.5);
  CHECK(*parse_json(multi.parts.at(0).params) ==
        Json{{"operation", "like"}, {"output", "{{sample.output_text}}"}, {"expected", "\x7f'''"}});
  CHECK(*read_file(folder.path("o/data.jsonl"), 1000) ==
        R"({"item":{"a":1},"sample":{"output_text":"x"},"id":"r"})"
        "\n");
}

}  // namespace
}  // namespace assay::cli::openai
