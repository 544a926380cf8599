#include "cli/evaluation_file.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/unit/temporary_folder.hpp"

using namespace assay;
using namespace assay::cli;

namespace {

constexpr auto kSample = R"(
[sample]
type = "dataset"
file = "rows.jsonl"
)";
constexpr auto kEvaluator = R"(
[[evaluator]]
name = "exact"
type = "code"
language = "lua"
code = "x"
)";

/// The folder an evaluation file stands in, with the files it may name.
struct Folder : test::TemporaryFolder {
  Folder() {
    write("rows.jsonl", "{}\n");
    write("exact.lua", "function run_evaluation(item) return 1 end\n");
    write("empty.lua", "");
    std::filesystem::create_directory(path("folder.jsonl"));
  }
  Result<EvaluationFile> load(std::string_view text) const {
    return load_evaluation_file(write("my eval.toml", text));
  }
  /// The faults, without the folder's name.
  std::string faults(std::string_view text) const {
    const auto loaded = load(text);
    INFO(text);
    REQUIRE_FALSE(loaded.has_value());
    CHECK(loaded.error().kind == ErrorKind::config);
    std::string message = loaded.error().message;
    const std::string prefix = path() + "/";
    for (size_t at = 0; (at = message.find(prefix, at)) != std::string::npos;)
      message.erase(at, prefix.size());
    return message;
  }
};

}  // namespace

TEST_CASE("evaluation file: everything that can be said is read", "[cli][evaluation_file]") {
  const Folder folder;
  const auto file = folder.load(R"(
name = "gsm8k 175B with a verifier"
container = "maths"
trials = 3
shard_size = 500
environment = "staging"
labels = ["gpu:a100", "site:b"]
priority = -5
metadata = { commit = "abc", tags = ["a", "b"], when = 2026-11-21 }

[sample]
type = "dataset"
file = "rows.jsonl"
columns = { input = "question", output = "175b_verification.solution" }
join = "question"
limit = 100
offset = 5
shuffle_seed = 7

[ground_truth]
type = "dataset"
dataset = "gsm8k"
columns = { output = "answer" }
join = "id"

[[evaluator]]
name = "exact-answer"
description = "the last number"
type = "code"
language = "lua"
file = "exact.lua"
pass_threshold = 1
params = { spare_words = 12, scale = 0.5, deep = { list = [true, "x 😀"] } }
limits = { wall_ms = 1000, memory_bytes = 1048576 }

[[evaluator]]
name = "inline.v2"
type = "code"
language = "python"
code = '''
def run_evaluation(item):
    return 1
'''

[gate]
"exact-answer.pass_rate" = ">= 0.5"
"inline.v2.mean" = "> 0"
exact-answer.errors = "== 0"
)");
  if (!file) FAIL(file.error().message);
  CHECK(file->path == folder.path("my eval.toml"));
  CHECK(file->name == "gsm8k 175B with a verifier");
  CHECK(file->container == "maths");
  CHECK(file->trials == 3);
  CHECK(file->shard_size == 500);
  CHECK(file->environment == "staging");
  CHECK(file->labels == std::vector<std::string>{"gpu:a100", "site:b"});
  CHECK(file->priority == -5);
  CHECK(file->metadata == R"({"commit":"abc","tags":["a","b"],"when":"2026-11-21"})");
  REQUIRE(file->sample.has_value());
  CHECK(file->sample->file == folder.path("rows.jsonl"));
  CHECK(file->sample->input_column == "question");
  CHECK(file->sample->output_column == "175b_verification.solution");
  CHECK(file->sample->join == "question");
  CHECK(file->sample->limit == 100);
  CHECK(file->sample->offset == 5);
  CHECK(file->sample->shuffle_seed == 7);
  REQUIRE(file->ground_truth.has_value());
  CHECK(file->ground_truth->file.empty());
  CHECK(file->ground_truth->dataset == "gsm8k");
  CHECK(file->ground_truth->input_column.empty());
  REQUIRE(file->evaluators.size() == 2);
  const auto& exact = file->evaluators[0];
  CHECK(exact.name == "exact-answer");
  CHECK(exact.description == "the last number");
  CHECK(exact.language == "lua");
  CHECK(exact.code == "function run_evaluation(item) return 1 end\n");
  CHECK(exact.file == folder.path("exact.lua"));
  CHECK(exact.pass_threshold == 1.0);
  CHECK(exact.params == R"({"deep":{"list":[true,"x 😀"]},"scale":0.5,"spare_words":12})");
  CHECK(exact.limits == R"({"wall_ms":1000,"memory_bytes":1048576})");
  const auto& inline_code = file->evaluators[1];
  CHECK(inline_code.code == "def run_evaluation(item):\n    return 1\n");
  CHECK(inline_code.file.empty());
  CHECK_FALSE(inline_code.pass_threshold.has_value());
  CHECK(inline_code.params == "{}");
  CHECK(inline_code.limits == "{}");
  REQUIRE(file->gates.size() == 3);
}

TEST_CASE("evaluation file: what is left out has its default", "[cli][evaluation_file]") {
  const Folder folder;
  const auto file = folder.load(
      "name = \"n\"\n[sample]\ntype = \"container\"\ncontainer = \"logs\"\nsince = \"2026-01-01\"\n" +
      std::string(kEvaluator));
  if (!file) FAIL(file.error().message);
  CHECK(file->container == "my-eval");
  CHECK(file->trials == 1);
  CHECK_FALSE(file->shard_size.has_value());
  CHECK(file->environment.empty());
  CHECK(file->labels.empty());
  CHECK(file->priority == 0);
  CHECK(file->metadata == "{}");
  CHECK(file->sample->type == DataSide::Type::container);
  CHECK(file->sample->container == "logs");
  CHECK(file->sample->since == "2026-01-01");
  CHECK_FALSE(file->ground_truth.has_value());
  CHECK(file->gates.empty());
}

TEST_CASE("evaluation file: a fault at the top is named", "[cli][evaluation_file]") {
  const Folder folder;
  const auto [top, message] = GENERATE(table<std::string, std::string>({
      {"", "my eval.toml:1: name is missing: what people call this evaluation"},
      {"name = 5", "my eval.toml:1: name must be a string"},
      {"name = \"n\"\ntrails = 2", "my eval.toml:2: unknown key trails; did you mean trials?"},
      {"name = \"n\"\nbanana = 2",
       "my eval.toml:2: unknown key banana; the keys here are name, container, trials, shard_size, "
       "environment, "
       "labels, priority, spend_limit, metadata, sample, ground_truth, evaluator, gate"},
      {"name = \"n\"\nlabels = \"gpu\"", "my eval.toml:2: labels must be a list of strings"},
      {"name = \"n\"\npriority = 101", "my eval.toml:2: priority must be from -100 to 100, not 101"},
      {"name = \"n\"\ntrials = 0", "my eval.toml:2: trials must be from 1 to 1000, not 0"},
      {"name = \"n\"\ntrials = \"3\"", "my eval.toml:2: trials must be a whole number"},
      {"name = \"n\"\nshard_size = 2.5", "my eval.toml:2: shard_size must be a whole number"},
      {"name = \"n\"\nmetadata = []", "my eval.toml:2: metadata must be a table"},
      {"name = \"n\"\nmetadata = { x = nan }",
       "my eval.toml:2: metadata holds nan or inf, which JSON cannot carry"},
  }));
  CHECK(folder.faults(top + kSample + kEvaluator) == message);
}

TEST_CASE("evaluation file: a fault of a data source is named", "[cli][evaluation_file]") {
  const Folder folder;
  const auto [side, message] = GENERATE(table<std::string, std::string>({
      {"", "my eval.toml:1: [sample] is missing: an evaluation needs [sample], [ground_truth] or both"},
      {"sample = 5", "my eval.toml:2: sample must be a table"},
      {"[sample]\nfile = \"rows.jsonl\"",
       "my eval.toml:2: sample.type is missing: \"dataset\", \"container\" or \"generate\""},
      {"[sample]\ntype = \"datset\"\nfile = \"rows.jsonl\"",
       "my eval.toml:3: unknown type \"datset\"; did you mean dataset?"},
      {"[sample]\ntype = \"generate\"\nmodels = [\"x\"]\ndataset = \"d\"",
       "my eval.toml:5: unknown key sample.dataset; the keys here are type, models, prompt_file, prompt, "
       "inference_params"},
      {"[sample]\ntype = \"generate\"",
       "my eval.toml:2: sample.models is missing: the slugs of the models that generate, such as "
       "[\"openai/gpt-4o\"]"},
      {"[ground_truth]\ntype = \"generate\"\nmodels = [\"a/b\", \"a/c\"]",
       "my eval.toml:4: a ground truth is generated by one model: name one"},
      {"[sample]\ntype = \"generate\"\nmodels = [\"a/b\"]\n[ground_truth]\ntype = \"generate\"\nmodels = "
       "[\"a/b\"]",
       "my eval.toml:2: sample and ground_truth cannot both be generated: one must give the input"},
      {"[sample]\ntype = \"dataset\"",
       "my eval.toml:2: sample.file is missing: the path of a data file, or dataset = the name of one on the "
       "server"},
      {"[sample]\ntype = \"dataset\"\nfile = \"rows.jsonl\"\ndataset = \"d\"",
       "my eval.toml:5: give file or dataset, not both"},
      {"[sample]\ntype = \"dataset\"\nfile = \"none.jsonl\"",
       "my eval.toml:4: cannot read none.jsonl: No such file or directory"},
      {"[sample]\ntype = \"dataset\"\nfile = \"folder.jsonl\"",
       "my eval.toml:4: folder.jsonl is a directory, not a file"},
      {"[sample]\ntype = \"dataset\"\nfile = \"exact.lua\"",
       "my eval.toml:4: exact.lua: a data file's name must end in .jsonl, .ndjson, .csv, .tsv or .json, "
       "which says its "
       "format"},
      {"[sample]\ntype = \"dataset\"\nfile = \"rows.jsonl\"\ncolumns = { inptu = \"q\" }",
       "my eval.toml:5: unknown key sample.columns.inptu; did you mean input?"},
      {"[sample]\ntype = \"dataset\"\nfile = \"rows.jsonl\"\ncolumns = \"q\"",
       "my eval.toml:5: sample.columns must be a table"},
      {"[sample]\ntype = \"dataset\"\nfile = \"rows.jsonl\"\nlimit = 0",
       "my eval.toml:5: sample.limit must be at least 1, not 0"},
      {"[sample]\ntype = \"container\"\nfile = \"rows.jsonl\"",
       "my eval.toml:4: unknown key sample.file; the keys here are type, container, since, until, limit"},
      {"[sample]\ntype = \"dataset\"\nfile = \"rows.jsonl\"\njoin = \"id\"\n[ground_truth]\ntype = "
       "\"container\"",
       "my eval.toml:2: sample.join needs a join of the other side too"},
  }));
  CHECK(folder.faults("name = \"n\"\n" + side + kEvaluator) == message);
}

TEST_CASE("evaluation file: a fault of an evaluator is named", "[cli][evaluation_file]") {
  const Folder folder;
  const std::string begin =
      "[[evaluator]]\nname = \"e\"\ntype = \"code\"\nlanguage = \"lua\"\n";  // lines 5 to 8
  const auto [evaluator, message] = GENERATE_COPY(table<std::string, std::string>({
      {"", "my eval.toml:1: [[evaluator]] is missing: an evaluation needs at least one"},
      {"[evaluator]\nname = \"e\"",
       "my eval.toml:5: evaluator must be a list of tables, written [[evaluator]]"},
      {"[[evaluator]]\ntype = \"code\"\nlanguage = \"lua\"\ncode = \"x\"",
       "my eval.toml:5: name of evaluator 1 is missing: results and gates call the evaluator by it"},
      {"[[evaluator]]\nname = \"e\"\nlanguage = \"lua\"\ncode = \"x\"",
       "my eval.toml:5: type of evaluator 1 is missing: \"code\", \"judge\" or \"multi\""},
      {"[[evaluator]]\nname = \"e\"\ntype = \"judge\"\nprompt = \"p\"",
       "my eval.toml:5: model of evaluator 1 is missing: the model that judges, such as \"openai/gpt-4o\"; "
       "or "
       "models = a panel of them"},
      {"[[evaluator]]\nname = \"e\"\ntype = \"judge\"\nmodel = \"a/b\"",
       "my eval.toml:5: prompt of evaluator 1 is missing: what to ask, or params = { use = … } to use a "
       "prompt "
       "that comes with Assay"},
      {"[[evaluator]]\nname = \"e\"\ntype = \"judge\"\nmodel = \"a/b\"\nmodels = [\"c/d\"]\nprompt = \"p\"",
       "my eval.toml:9: give model or models, not both"},
      {"[[evaluator]]\nname = \"e\"\ntype = \"judge\"\nmodel = \"a/b\"\nprompt_file = \"none.txt\"",
       "my eval.toml:9: cannot open none.txt: No such file or directory"},
      {"[[evaluator]]\nname = \"e\"\ntype = \"judge\"\nmodel = \"a/b\"\nprompt = \"p\"\nmode = \"both\"",
       "my eval.toml:10: unknown mode \"both\"; it is one of pointwise, pairwise"},
      {"[[evaluator]]\nname = \"e\"\ntype = \"cod\"\nlanguage = \"lua\"\ncode = \"x\"",
       "my eval.toml:7: unknown type \"cod\"; did you mean code?"},
      {"[[evaluator]]\nname = \"e\"\ntype = \"code\"\nlanguage = \"ruby\"\ncode = \"x\"",
       "my eval.toml:8: unknown language \"ruby\"; it is one of lua, python, node, shell, command, plugin"},
      {"[[evaluator]]\nname = \"e\"\ntype = \"code\"\ncode = \"x\"",
       "my eval.toml:5: language of evaluator 1 is missing: one of lua, python, node, shell, command, "
       "plugin"},
      {begin,
       "my eval.toml:5: file of evaluator 1 is missing: the path of the evaluator's source, or code = the "
       "source "
       "itself"},
      {begin + "file = \"exact.lua\"\ncode = \"x\"", "my eval.toml:10: give file or code, not both"},
      {begin + "file = \"none.lua\"", "my eval.toml:9: cannot open none.lua: No such file or directory"},
      {begin + "file = \"empty.lua\"", "my eval.toml:9: empty.lua is empty"},
      {begin + "file = \"exact.lua\"\npass_threshold = \"1\"",
       "my eval.toml:10: pass_threshold of evaluator 1 must be a number"},
      {begin + "file = \"exact.lua\"\npass_threshold = inf",
       "my eval.toml:10: pass_threshold of evaluator 1 must be a number"},
      {begin + "file = \"exact.lua\"\nlimits = { wall = 5 }",
       "my eval.toml:10: unknown key wall of limits of evaluator 1; the keys here are wall_ms, cpu_ms, "
       "load_ms, memory_bytes, result_bytes, log_bytes, llm_calls"},
      {begin + "file = \"exact.lua\"\nlimits = { cpu_ms = -1 }",
       "my eval.toml:10: cpu_ms of limits of evaluator 1 must be at least 1, not -1"},
      {begin + "code = \"x\"\n" + begin + "code = \"x\"", "my eval.toml:11: two evaluators are named \"e\""},
  }));
  CHECK(folder.faults("name = \"n\"" + std::string(kSample) + evaluator) == message);
}

TEST_CASE("evaluation file: a judge is what the API calls one", "[cli][evaluation_file]") {
  const Folder folder;
  const auto file = folder.load("name = \"n\"" + std::string(kSample) + R"([[evaluator]]
name = "j"
type = "judge"
models = ["a/b", "c/d"]
mode = "pairwise"
inference_params = { temperature = 0 }
params = { use = "preference", votes = 3 }
)");
  REQUIRE(file);
  CHECK(evaluator_json(file->evaluators.at(0), "app") == Json::parse(R"({
    "name":"j","description":"","container":"app","type":"judge","model":null,"models":["a/b","c/d"],
    "prompt":null,"api":null,"mode":"pairwise","inference_params":{"temperature":0},
    "params":{"use":"preference","votes":3},"limits":{},"pass_threshold":1.0})"));
}

TEST_CASE("evaluation file: a multi is what the API keeps of one", "[cli][evaluation_file]") {
  const Folder folder;
  const auto file = folder.load("name = \"n\"" + std::string(kSample) + R"([[evaluator]]
name = "both"
type = "multi"
formula = "0.5 * a + 0.5 * b"
pass_threshold = 0.5
[evaluator.parts.b]
type = "judge"
model = "a/b"
prompt = "p"
[evaluator.parts.a]
type = "code"
language = "lua"
file = "exact.lua"
params = { k = 1 }
)");
  if (!file) FAIL(file.error().message);
  // Parts hold what the API stores and no more: or every run would make a new version of the evaluator.
  CHECK(evaluator_json(file->evaluators.at(0), "app") == Json::parse(R"({
    "name":"both","description":"","container":"app","type":"multi","formula":"0.5 * a + 0.5 * b",
    "pass_threshold":0.5,"evaluators":{
      "a":{"type":"code","language":"lua","isolation":"item","grants":[],"requirements":[],"params":{"k":1},
           "limits":{},"code":"function run_evaluation(item) return 1 end\n"},
      "b":{"type":"judge","model":"a/b","prompt":"p","mode":"pointwise","inference_params":{},"params":{},
           "limits":{}}}})"));
}

TEST_CASE("evaluation file: a fault of a multi is named", "[cli][evaluation_file]") {
  const Folder folder;
  const std::string a = "[evaluator.parts.a]\ntype = \"code\"\nlanguage = \"lua\"\ncode = \"x\"\n";
  const auto [text, message] = GENERATE_COPY(table<std::string, std::string>({
      {a,
       "my eval.toml:5: formula of evaluator 1 is missing: how the parts' scores become one, such as "
       "\"0.5 * a + 0.5 * b\""},
      {"formula = \"a\"",
       "my eval.toml:5: parts of evaluator 1 is missing: tables [evaluator.parts.NAME], each with what an "
       "evaluator of type code or judge has"},
      {"formula = \"a + b\"\n" + a,
       "my eval.toml:8: formula of evaluator 1: column 5: there is no \"b\"; there is a"},
      {"formula = \"1\"\n[evaluator.parts.a-b]\ntype = \"code\"\nlanguage = \"lua\"\ncode = \"x\"",
       "my eval.toml:9: parts.a-b of evaluator 1 cannot be named in a formula: a name is a letter or _, then "
       "letters, digits and _"},
      {"formula = \"1\"\n[evaluator.parts.a]\ntype = \"multi\"\nlanguage = \"lua\"\ncode = \"x\"",
       "my eval.toml:10: unknown type \"multi\"; it is one of code, judge"},
      {"formula = \"a\"\n" + a + "pass_threshold = 1",
       "my eval.toml:13: unknown key pass_threshold of parts.a of evaluator 1; the keys here are type, "
       "params, "
       "language, file, code, isolation, grants, requirements, limits"},
      {"formula = \"a\"\ncode = \"x\"\n" + a,
       "my eval.toml:9: unknown key code of evaluator 1; the keys here are name, description, type, formula, "
       "parts, pass_threshold"},
  }));
  CHECK(folder.faults("name = \"n\"" + std::string(kSample) +
                      "[[evaluator]]\nname = \"m\"\ntype = \"multi\"\n" + text) == message);
}

TEST_CASE("evaluation file: a fault of a gate is named", "[cli][evaluation_file]") {
  const Folder folder;
  const auto [gate, message] = GENERATE(table<std::string, std::string>({
      {"\"exact.mean\" = 0.5", "my eval.toml:12: gate \"exact.mean\" must be a string such as \">= 0.6\""},
      {"\"exact.mean\" = \"0.5\"",
       "my eval.toml:12: gate \"exact.mean\": \"0.5\" is no condition; write >=, >, <=, < or == and a "
       "number, as in \">= "
       "0.6\""},
      {"\"exact.average\" = \">= 0.5\"",
       "my eval.toml:12: gate \"exact.average\": unknown metric \"average\"; the metrics are mean, "
       "pass_rate, scored, errors, "
       "count, min, max, p50_ms, p95_ms"},
      {"\"exat.mean\" = \">= 0.5\"",
       "my eval.toml:12: gate \"exat.mean\": there is no evaluator named \"exat\"; did you mean exact?"},
      {"mean = \">= 0.5\"",
       "my eval.toml:12: gate \"mean\": a gate is named EVALUATOR.METRIC, as in \"correct.pass_rate\""},
  }));
  CHECK(folder.faults("name = \"n\"" + std::string(kSample) + kEvaluator + "[gate]\n" + gate) == message);
}

TEST_CASE("evaluation file: all faults are reported at once, in the order of the lines",
          "[cli][evaluation_file]") {
  const Folder folder;
  CHECK(folder.faults(R"(nmae = "n"
trials = -1
[sample]
type = "dataset"
file = "none.csv"
[[evaluator]]
name = "e"
type = "code"
language = "cobol"
file = "none.lua"
[gate]
"f.mean" = "high"
)") == R"(my eval.toml:1: name is missing: what people call this evaluation
my eval.toml:1: unknown key nmae; did you mean name?
my eval.toml:2: trials must be from 1 to 1000, not -1
my eval.toml:5: cannot read none.csv: No such file or directory
my eval.toml:9: unknown language "cobol"; it is one of lua, python, node, shell, command, plugin
my eval.toml:10: cannot open none.lua: No such file or directory
my eval.toml:12: gate "f.mean": "high" is no condition; write >=, >, <=, < or == and a number, as in ">= 0.6")");
}

TEST_CASE("evaluation file: what is no TOML is found by its line", "[cli][evaluation_file]") {
  const Folder folder;
  CHECK_THAT(folder.faults("name = \"n\"\n\ntrials = = 1\n"), Catch::StartsWith("my eval.toml:3: "));
  CHECK_THAT(folder.faults("name = \"n\"\nname = \"m\"\n"), Catch::StartsWith("my eval.toml:2: "));
  CHECK(load_evaluation_file(folder.path("none.toml")).error().message ==
        "cannot open " + folder.path("none.toml") + ": No such file or directory");
}

TEST_CASE("evaluation file: the quickstart is without fault", "[cli][evaluation_file]") {
  const auto file = load_evaluation_file(ASSAY_EXAMPLES "/quickstart/quickstart.toml");
  if (!file) FAIL(file.error().message);
  CHECK(file->evaluators.size() == 2);
  CHECK(file->gates.size() == 1);
}
