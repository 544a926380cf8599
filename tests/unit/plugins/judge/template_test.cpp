#include "plugins/common/template.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "plugins/judge/prompts.hpp"

using namespace assay::judge;
using Json = nlohmann::json;

namespace {

const Json kItem = Json::parse(R"({
  "id": "row-7", "index": 7,
  "sample": {"input": "What is 2+2?", "output": "4", "text": "4"},
  "ground_truth": {"input": "What is 2+2?", "output": {"answer": "four", "steps": ["add", "done"]}, "text": "four"},
  "metadata": {"topic": "math", "level": 3, "tags": ["a", {"deep": true}], "context": "arithmetic", "none": null, "ratio": 0.5}
})");

const Json kChat = Json::parse(R"({
  "sample": {
    "input": {"model": "m", "messages": [{"role": "user", "content": "hello"}]},
    "output": {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "{\"a\": [1, 2]}",
      "tool_calls": [{"function": {"name": "f"}}]}}]}
  },
  "reference_answer": "bye"
})");

std::string rendered(const std::string& prompt, const Json& item = kItem, const RenderOptions& options = {}) {
  const auto made = Template::compile(prompt);
  REQUIRE(made);
  const auto result = made->render(item, options);
  if (!result) return std::string(to_string(result.error().kind)) + ": " + result.error().message;
  std::string text;
  for (const Message& message : result->messages) text += message.content;
  return text;
}

std::string why_not(const std::string& prompt) {
  const auto made = Template::compile(prompt);
  REQUIRE_FALSE(made);
  CHECK(made.error().kind == ErrorKind::config);
  return made.error().message;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("template: the standard names", "[judge][template]") {
  for (const std::string name : {"input", "question", "query"})
    CHECK(rendered("{{" + name + "}}") == "What is 2+2?");
  for (const std::string name :
       {"output", "answer", "response", "completion", "generation", "submission", "response_a"}) {
    CHECK(rendered("{{ " + name + " }}") == "4");
  }
  for (const std::string name :
       {"expected", "reference", "ground_truth", "target", "ideal", "label", "criterion", "response_b"}) {
    CHECK(rendered("{{" + name + " }}") == "four");
  }
  CHECK(rendered("{{context}}") == "arithmetic");
  CHECK(rendered("{{retrieval_context}}") == "arithmetic");
  CHECK(rendered("{{id}}/{{index}}") == "row-7/7");
  CHECK(rendered("{{metadata.topic}} {{metadata.level}} {{metadata.ratio}}") == "math 3 0.5");
}

TEST_CASE("template: paths, arrays and objects", "[judge][template]") {
  CHECK(rendered("{{metadata.tags.0}}{{metadata.tags[0]}}{{ metadata.tags[1].deep }}") == "aatrue");
  CHECK(rendered("{{metadata.tags}}") == R"(["a",{"deep":true}])");
  CHECK(rendered("{{expected.answer}} {{expected.steps.1}}") == "four done");
  CHECK(rendered("{{ground_truth.steps}}") == R"(["add","done"])");
  CHECK(rendered("{{sample.input}} {{sample.text}}") == "What is 2+2? 4");
}

TEST_CASE("template: OpenAI graders' item and sample", "[judge][template]") {
  CHECK(rendered("{{ sample.output_text }}", kChat) == R"({"a": [1, 2]})");
  CHECK(rendered("{{ sample.output_json }}", kChat) == R"({"a":[1,2]})");
  CHECK(rendered("{{ sample.output_json.a.1 }}", kChat) == "2");
  CHECK(rendered("{{ sample.output_tools[0].function.name }}", kChat) == "f");
  CHECK(rendered("{{ sample.choices[0].finish_reason }}", kChat) == "stop");
  CHECK(rendered("{{ item.reference_answer }}", kChat) == "bye");
  CHECK(rendered("{{ item.topic }} {{ item.answer }} {{ item.index }}") == "math four 7");
  // A row's own names win over the item's that it is part of, also where it has nothing.
  const Json row = Json::parse(R"({"id": "ours", "index": 1, "metadata": {"m": 1},
    "ground_truth": {"output": {"id": "theirs", "ground_truth": "g", "metadata": {"k": [2]}, "none": null}},
    "sample": {"output": {"output_text": "t", "output_json": {"j": 1}, "output_tools": [{"id": "c"}]}, "text": "x"}})");
  CHECK(rendered("{{item.id}} {{item.ground_truth}} {{item.metadata.k[0]}} {{item.index}}", row) ==
        "theirs g 2 1");
  CHECK(has(rendered("{{ item.none }}", row), "it is null"));
  CHECK(rendered("{{sample.output_text}} {{sample.output_json.j}} {{sample.output_tools[0].id}}", row) ==
        "t 1 c");
  CHECK(rendered("{{ output }}|{{ input }}", kChat) == R"({"a": [1, 2]}|hello)");
  CHECK(rendered("{{ output.choices.0.finish_reason }}", kChat) == "stop");
  CHECK(rendered("{{ input.model }}", kChat) == "m");
  CHECK(rendered("{{ tool_calls }}", kChat) == R"([{"function":{"name":"f"}}])");
  Json prose = kItem;
  prose["sample"]["text"] = "no json";
  CHECK(has(rendered("{{ sample.output_json }}", prose), "config: the item has no {{ sample.output_json }}"));
}

TEST_CASE("template: what was inserted is never looked at again", "[judge][template]") {
  Json item = kItem;
  item["sample"]["text"] = "{{ expected }} {{output}} \\{{ {{unknown}} }}";
  CHECK(rendered("[{{output}}]", item) == "[{{ expected }} {{output}} \\{{ {{unknown}} }}]");
  item["sample"]["text"] = "{{";
  CHECK(rendered("{{output}} expected }}", item) == "{{ expected }}");
}

TEST_CASE("template: literal braces and the escape", "[judge][template]") {
  CHECK(rendered(R"({"a": {"b": {{output}}}})") == R"({"a": {"b": 4}})");
  CHECK(rendered(R"(\{{ output }})") == "{{ output }}");
  CHECK(rendered(R"(\\{{ output }})") == R"(\4)");
  CHECK(rendered(R"({{output}}\{{x}}{{output}})") == "4{{x}}4");
  CHECK(rendered("}} { } {% if %} $1 \\n") == "}} { } {% if %} $1 \\n");
  CHECK(rendered("").empty());
  CHECK(rendered("{{output}}{{output}}") == "44");
}

TEST_CASE("template: mistakes are found before anything is paid for", "[judge][template]") {
  const std::string unknown = why_not("Question:\n  {{ inptu }}");
  CHECK(has(unknown, "{{ inptu }} at line 2, column 3 is unknown. There is: input, question"));
  CHECK(has(unknown, "sample"));
  CHECK(has(why_not("{{ a"), "never closed"));
  CHECK(has(why_not("{{}}"), "is empty"));
  CHECK(has(why_not("{{ input | upper }}"), "filter"));
  CHECK(has(why_not("{{#input}}x{{/input}}"), "Mustache"));
  CHECK(has(why_not("{{{input}}}"), "three braces"));
  for (const std::string bad : {"{{ input. }}", "{{ .input }}", "{{ input..x }}", "{{ metadata[x] }}",
                                "{{ metadata[ }}", "{{ metadata['a'] }}", "{{ a b }}", "{{ input() }}",
                                "{{ id.x }}", "{{ index[0] }}", "{{ input_ }}", "{{ Input }}"}) {
    INFO(bad);
    CHECK_FALSE(why_not(bad).empty());
  }
  CHECK_FALSE(Template::compile(std::string(300'000, 'x')));
  std::string many;
  for (int i = 0; i < 129; ++i) many += "{{input}}";
  CHECK(has(why_not(many), "one too many"));
  CHECK(has(why_not("{{ " + std::string(1000, 'a') + " }}"), "…"));
}

TEST_CASE("template: names that an evaluator adds", "[judge][template]") {
  const std::vector<std::string> also = {"rubric"};
  const auto made = Template::compile("{{ rubric }} {{rubric}} {{ input }}", also);
  REQUIRE(made);
  CHECK(made->variables() == std::vector<std::string>{"rubric", "input"});
  Json item = kItem;
  item["rubric"] = "be kind";
  const auto result = made->render(item);
  REQUIRE(result);
  CHECK(result->messages[0].content == "be kind be kind What is 2+2?");
  CHECK_FALSE(made->render(kItem));
  const auto other = Template::compile("{{ x }}", also);
  REQUIRE_FALSE(other);
  CHECK(has(other.error().message, "rubric"));
}

TEST_CASE("template: what an item lacks is that item's error, never nothing", "[judge][template]") {
  CHECK(has(rendered("a\n{{ metadata.missing }}"),
            "config: the item has no {{ metadata.missing }}: metadata is an object with "
            "context, level, none, ratio, tags, topic (the prompt's line 2, column 1)"));
  CHECK(has(rendered("{{ metadata.none }}"), "it is null"));
  CHECK(has(rendered("{{ metadata.tags.2 }}"), "metadata.tags is an array of 2"));
  CHECK(has(rendered("{{ metadata.topic.x }}"), "metadata.topic is text"));
  CHECK(has(rendered("{{ item.nothing }}"), "there is no item.nothing"));
  CHECK(has(rendered("{{ sample.nothing }}"), "there is no sample.nothing"));
  CHECK(has(rendered("{{ expected }}", Json::object()), "an empty object"));
  CHECK(has(rendered("{{ input }}", Json()), "config"));
  CHECK(has(rendered("{{ input }}", Json(3)), "config"));
  CHECK(has(rendered("{{ tool_calls }}"), "config"));
  Json empty = kItem;
  empty["sample"]["text"] = "";
  CHECK(rendered("[{{ output }}]", empty) == "[]");
}

TEST_CASE("template: chat prompts", "[judge][template]") {
  const auto made = Template::compile(
      R"([{"role": "system", "content": "Judge."}, {"role": "user", "content": "Q: {{ input }}\nA: {{ output }} \\{{"}])");
  REQUIRE(made);
  CHECK(made->is_chat());
  const auto result = made->render(kItem);
  REQUIRE(result);
  REQUIRE(result->messages.size() == 2);
  CHECK(result->messages[0].role == "system");
  CHECK(result->messages[0].content == "Judge.");
  CHECK(result->messages[1].role == "user");
  CHECK(result->messages[1].content == "Q: What is 2+2?\nA: 4 {{");

  const auto text = Template::compile("[System] You judge {{ output }}");
  REQUIRE(text);
  CHECK_FALSE(text->is_chat());
  CHECK(text->render(kItem)->messages[0].role == "user");
  CHECK_FALSE(Template::compile("[1, 2]")->is_chat());
  CHECK_FALSE(Template::compile("[]")->is_chat());
  CHECK(has(why_not(R"([{"role": "user", "content": "x"}, {"role": "tool", "content": "x"}])"),
            "message 2: role"));
  CHECK(has(why_not(R"([{"role": "user", "content": ["x"]}])"), "message 1: content"));
  CHECK(has(why_not(R"([{"role": "user", "content": "a\nb {{ x }}"}])"), "at message 1, line 2, column 3"));
}

TEST_CASE("template: a variable has a budget of bytes, and the cut shows", "[judge][template]") {
  Json item = kItem;
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "ä";
  item["sample"]["text"] = text;
  const auto made = Template::compile("{{ output }}|{{ input }}");
  REQUIRE(made);
  RenderOptions options;
  options.budget = 101;
  const auto result = made->render(item, options);
  REQUIRE(result);
  CHECK(result->cut == std::vector<std::string>{"output"});
  const std::string& content = result->messages[0].content;
  CHECK(has(content, "ä\n[… 1900 bytes cut here …]\nä"));
  CHECK(content.size() < 101 + 64 + 16);
  options.budgets["output"] = 2000;
  CHECK(made->render(item, options)->cut.empty());
  options.budgets["output"] = 0;
  CHECK(made->render(item, options)->messages[0].content == "\n[… 2000 bytes cut here …]\n|What is 2+2?");
  CHECK(made->render(item)->judged == std::vector<std::string>{text, "What is 2+2?"});
}

TEST_CASE("template: a prompt is bounded whatever it inserts", "[judge][template]") {
  Json item = kItem;
  item["sample"]["text"] = std::string(4'000'000, 'x');
  std::string many;
  for (int i = 0; i < 20; ++i) many += "{{output}}";
  RenderOptions options;
  options.budget = SIZE_MAX;
  CHECK(has(rendered(many, item, options), "context_too_long"));
}

TEST_CASE("template: the other order shows the ground truth first", "[judge][template]") {
  RenderOptions swapped;
  swapped.swapped = true;
  CHECK(rendered("{{response_a}}/{{response_b}}/{{output}}", kItem, swapped) == "four/4/4");
  CHECK(rendered("{{response_a.steps.0}}", kItem, swapped) == "add");
}

TEST_CASE("prompts: each compiles, needs what it says, and has a contract that can be kept",
          "[judge][prompts]") {
  CHECK(ready_prompts().size() == 5);
  for (const ReadyPrompt& prompt : ready_prompts()) {
    INFO(prompt.name);
    const auto made = Template::compile(prompt.text);
    REQUIRE(made);
    std::vector<std::string> needed(prompt.variables.begin(), prompt.variables.end());
    CHECK(made->variables() == needed);
    CHECK(checked(prompt.contract));
    CHECK(made->render(kItem));
    CHECK(find_prompt(prompt.name) == &prompt);
    for (const Choice& choice : prompt.contract.menu)
      CHECK(has(std::string(prompt.text), "- " + choice.label + ":"));
  }
  CHECK(find_prompt("nonsense") == nullptr);
  CHECK(find_prompt("preference")->contract.is_pairwise());
}

TEST_CASE("contract: what cannot be kept is refused, and the answer is asked for by key",
          "[judge][contract]") {
  CHECK(checked(Contract::truth()));
  CHECK(Contract::truth().is_truth());
  CHECK_FALSE(Contract::truth().is_pairwise());
  CHECK_FALSE(checked(Contract::number(1, 1)));
  CHECK_FALSE(checked(Contract::number(0, std::numeric_limits<double>::infinity())));
  CHECK_FALSE(checked(Contract::choices({{"a", 1}, {"A", 0}})));
  CHECK_FALSE(checked(Contract::choices({{"", 1}})));
  CHECK_FALSE(checked(Contract::choices({{" a", 1}})));
  CHECK_FALSE(checked(Contract::choices({{"a", std::numeric_limits<double>::quiet_NaN()}})));
  CHECK_FALSE(checked(Contract::choices(std::vector<Choice>(65, Choice{"a", 1}))));
  CHECK(verdict_key("").size() == 7);
  const std::string schema = answer_schema(Contract::pairwise(), "abc");
  CHECK(schema.find("reason") < schema.find("verdict_abc"));
  const Json parsed = Json::parse(schema);
  CHECK(parsed["properties"]["verdict_abc"]["enum"] == Json({"A", "B", "tie"}));
  CHECK(parsed["required"] == Json({"reason", "verdict_abc"}));
  CHECK(Json::parse(answer_schema(Contract::number(1, 5), ""))["properties"]["verdict"]["maximum"] == 5);
  CHECK(has(answer_instruction(Contract::number(1, 5), "abc"),
            "\"verdict_abc\": ...}, where the last value is a number from 1 to 5."));
  CHECK(has(answer_instruction(Contract::truth(), ""), "\"TRUE\" or \"FALSE\""));
}
