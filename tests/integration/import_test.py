"""Evals of OpenAI's hosted service: imported, and run with `assay run` against a mock of a model's API."""
import copy
import itertools
import json
import os
import re

from harness import Case, main

MODELS = """
[providers.openai]
api = "chat.completions"
base_url = "{url}/v1"
[models."openai/gpt-4o-mini"]
model = "mock-small"
"""
# The score of what is in both texts of the message, and a label by a word of the answer.
RULES = r"""
[[rule]]
match = '^France[?]$'
text = "Paris"
[[rule]]
match = '^Italy[?]$'
text = "Roma"
[[rule]]
match = '^Nowhere[?]$'
text = "nowhere I know"
[[rule]]
match = '(?s)Rate.*Paris'
verdict = 4.5
reason = "right and short"
[[rule]]
match = '(?s)Rate.*nonsense'
text = "I would rather not."
[[rule]]
match = '(?s)Rate'
verdict = 2
[[rule]]
match = '(?s)polite.*please'
verdict = "polite"
[[rule]]
match = '(?s)polite'
verdict = "rude"
"""
PYTHON = '''import json

def grade(sample, item) -> float:
    if sample["output_text"] == "nonsense":
        raise ValueError("cannot grade this")
    assert sample["choices"][0]["message"]["content"] == sample["output_text"]
    return 0.25 + len(item["tags"]) / 4'''
STRING = {"type": "string_check", "name": "String check-1f", "input": "{{ sample.output_text }}",
          "reference": "{{item.answer}}", "operation": "ilike"}
SIMILAR = {"type": "text_similarity", "name": "close", "input": "{{ sample.output_text }}", "reference": "{{ item.answer }}",
           "evaluation_metric": "fuzzy_match", "pass_threshold": 0.8}
SCORE = {"type": "score_model", "name": "rating", "model": "gpt-4o-mini", "range": [1, 5], "pass_threshold": 4,
         "input": [{"role": "developer", "content": "You rate answers."},
                   {"role": "user", "type": "message", "content": {"type": "input_text", "text":
                    "Rate this answer to {{ item.question }}: {{ sample.output_text }}"}}],
         "sampling_params": {"temperature": 0, "max_completions_tokens": 500, "seed": None}}
LABEL = {"type": "label_model", "name": "tone", "model": "gpt-4o-mini", "labels": ["polite", "neutral", "rude"],
         "passing_labels": ["polite", "neutral"],
         "input": [{"role": "user", "content": "Is this polite? {{sample.output_text}}"}]}
CODE = {"type": "python", "name": "tags", "source": PYTHON, "image_tag": "2025-05-08", "pass_threshold": 0.5}
MULTI = {"type": "multi", "name": "both", "calculate_output": "0.5 * exact + 0.5 * max(code, 0.5)", "pass_threshold": 0.75,
         "graders": {"exact": {"type": "string_check", "name": "e", "input": "{{ sample.output_text }}",
                               "reference": "{{ item.answer }}", "operation": "eq"},
                     "code": {"type": "python", "name": "c", "source": PYTHON}}}
EVAL = {"object": "eval", "id": "eval_687", "created_at": 1752100000, "name": "Capitals / v2", "metadata": {},
        "data_source_config": {"type": "custom", "schema": {"type": "object", "properties": {
            "item": {"type": "object"}, "sample": {"type": "object"}}}},
        "testing_criteria": [STRING, SIMILAR, SCORE, LABEL, CODE, MULTI]}


def sample(text):
    return {"output_text": text, "model": "gpt-4o", "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}]}


ROWS = [{"item": {"id": "fr", "question": "France?", "answer": "Paris", "tags": ["a"]}, "sample": sample("Paris")},
        {"item": {"id": "it", "question": "Italy?", "answer": "Rome", "tags": []}, "sample": sample("Rome, please")},
        {"item": {"id": "xx", "question": "Nowhere?", "answer": "none", "tags": ["a", "b"]}, "sample": sample("nonsense")}]
RUN = {"object": "eval.run", "id": "evalrun_1", "eval_id": "eval_687", "status": "completed",
       "data_source": {"type": "jsonl", "source": {"type": "file_content", "content": ROWS}}}


class Import(Case):
    def json(self, name, value):
        return self.write(name, json.dumps(value))

    def convert(self, value, *arguments, code=0):
        out, err = self.assay("import", "openai-eval", self.json("eval.json", value), *arguments, code=code)
        return out.splitlines() if code == 0 else err, err

    def refused(self, value, *arguments):
        """What is said of a file that cannot be imported; nothing is written."""
        before = set(self.folder.rglob("*")) | {self.folder / "eval.json"}
        message, _ = self.convert(value, *arguments, code=2)
        self.assertEqual(set(self.folder.rglob("*")), before)
        return message.removeprefix(f"assay: {self.folder}/eval.json: ").rstrip("\n")

    def run_it(self, toml, code=0):
        url = self.mock_llm(RULES)
        models = self.write("models.toml", MODELS.format(url=url))
        out, err = self.assay("run", toml, "--models", models, "--json", "--ephemeral", "--output", self.folder / "out",
                              code=code, env={**os.environ, "XDG_CACHE_HOME": str(self.folder / "cache"),
                                              "HOME": str(self.folder)})
        if code != 0:
            return err, None
        document = json.loads(out)
        names = {cell["evaluator"]["id"]: cell["evaluator"]["name"] for cell in document["run"]["metrics"]}
        results = [json.loads(line) for line in (self.folder / "out" / "results.jsonl").read_text().splitlines()]
        return {(names[r["evaluator_id"]], r["index"]): r for r in results}, document

    def test_an_eval_with_all_six_graders_scores_as_it_says(self):
        run = self.json("run.json", RUN)
        files, notes = self.convert(EVAL, "--run", run, "--out", "capitals")
        self.assertEqual([file.removeprefix("capitals/") for file in files],
                         ["evaluation.toml", "rating.prompt.json", "tone.prompt.json", "tags.py", "both-code.py", "data.jsonl"])
        self.assertIn("note: testing_criteria[4].image_tag: is not used", notes)
        self.assertTrue((self.folder / "capitals/tags.py").read_text().startswith(PYTHON + "\n"))
        results, document = self.run_it("capitals/evaluation.toml")
        self.assertEqual(document["name"], "Capitals / v2")
        score = lambda name, index: (results[name, index].get("score"), results[name, index].get("passed"))
        kind = lambda name, index: results[name, index]["error"]["kind"]
        self.assertEqual([score("String check-1f", i) for i in range(3)], [(1, True), (1, True), (0, False)])
        self.assertEqual(score("close", 0), (1, True))
        # 4 letters in common of 4 + 12; fuzz.ratio is twice that / the sum of the lengths.
        self.assertAlmostEqual(score("close", 1)[0], 2 * 4 / (4 + 12))
        self.assertFalse(score("close", 1)[1])
        self.assertEqual([score("rating", i) for i in range(2)], [(4.5, True), (2, False)])
        self.assertEqual(results["rating", 0]["reason"], "right and short")
        self.assertEqual(kind("rating", 2), "judge_parse")
        self.assertEqual([score("tone", i) for i in range(3)], [(0, False), (1, True), (0, False)])
        self.assertEqual([score("tags", i) for i in range(2)], [(0.5, True), (0.25, False)])
        self.assertEqual(kind("tags", 2), "evaluator_error")
        self.assertIn("cannot grade this", results["tags", 2]["error"]["message"])
        self.assertEqual(score("both", 0), (0.5 * 1 + 0.5 * 0.5, True))
        self.assertEqual(results["both", 0]["metrics"], {"exact": 1, "code": 0.5})
        self.assertEqual(score("both", 1), (0.5 * 0 + 0.5 * 0.5, False))
        self.assertEqual(kind("both", 2), "evaluator_error")
        self.assertTrue(results["both", 2]["error"]["message"].startswith("part code: "))

    def test_a_multi_asks_models_and_adds_up_what_they_used(self):
        multi = {"type": "multi", "name": "m", "calculate_output": "rating + tone / 2",
                 "graders": {"rating": SCORE, "tone": LABEL}}
        _, notes = self.convert([multi], "--run", self.json("run.json", RUN), "--out", "m")
        self.assertIn("[0].graders.rating.pass_threshold: has no effect in a multi", notes)
        results, document = self.run_it("m/evaluation.toml")
        self.assertEqual([results["m", i].get("score") for i in range(3)], [4.5, 2.5, None])
        self.assertEqual(results["m", 2]["error"]["kind"], "judge_parse")
        self.assertEqual(results["m", 0]["metrics"], {"rating": 4.5, "tone": 0})
        self.assertEqual(results["m", 0]["usage"]["models"]["calls"], 2)
        self.assertEqual(document["run"]["metrics"][0]["models"]["calls"], 6)

    def test_rows_may_be_given_as_a_data_file_and_may_name_what_items_have_too(self):
        grader = {"type": "string_check", "name": "g", "operation": "eq",
                  "input": "{{item.id}}|{{ item.ground_truth }}|{{item.metadata.a[1]}}|{{item.response}}", "reference": "x|y|2|z"}
        self.write("rows.jsonl", json.dumps({"id": "x", "ground_truth": "y", "metadata": {"a": [1, 2]}, "response": "z"}) + "\n")
        # As fine-tuning has it; rows are the item itself, and no grader names a sample.
        self.convert({"method": {"reinforcement": {"grader": grader}}}, "--data", self.folder / "rows.jsonl", "--out", "o")
        self.assertEqual([r["score"] for r in self.run_it("o/evaluation.toml")[0].values()], [1])

    def test_a_python_grader_gets_the_sample_and_the_row_as_the_service_has_them(self):
        source = """
def grade(sample, item):
    assert item == {"n": 1, "s": "é"}, item
    assert sample["output_json"] == {"k": [1]}, sample
    assert sample["output_tools"][0]["function"]["name"] == "f", sample
    return True
"""
        text = '{"k": [1]}'
        row = {"item": {"n": 1, "s": "é"}, "sample": {"output_text": text, "choices": [{"message": {
            "role": "assistant", "content": text, "tool_calls": [{"function": {"name": "f"}}]}}]}}
        self.write("rows.jsonl", json.dumps(row) + "\n")
        self.convert({"type": "python", "source": source, "pass_threshold": 0.5}, "--data", self.folder / "rows.jsonl", "--out", "o")
        result = self.run_it("o/evaluation.toml")[0]["python", 0]
        self.assertEqual((result.get("score"), result.get("passed")), (1, True), result)
        # What a model wrote comes as text alone.
        item = {"sample": text, "ground_truth": {"output": {"n": 1}}}
        self.convert({"type": "python", "source": "def grade(sample, item):\n    return sample == {'choices': [{'index': 0, "
                      "'finish_reason': 'stop', 'message': {'role': 'assistant', 'content': sample['output_text']}}], 'output_text': "
                      "'{\"k\": [1]}', 'output_json': {'k': [1]}} and item == {'n': 1}"}, "--out", "t")
        out, _ = self.assay("evaluators", "test", "t/python.py", "--json", "--item", json.dumps(item))
        self.assertEqual(json.loads(out)["score"], 1)
        for bad, kind in (("return '1'", "bad_result"), ("return float('nan')", "bad_result"), ("return None", "bad_result"),
                          ("raise KeyError(1)", "evaluator_error"), ("return {'score': 1}", "bad_result")):
            folder = f"o{len(list(self.folder.iterdir()))}"
            self.convert({"type": "python", "source": f"def grade(sample, item):\n    {bad}"}, "--data",
                         self.folder / "rows.jsonl", "--out", folder)
            self.assertEqual(self.run_it(f"{folder}/evaluation.toml")[0]["python", 0]["error"]["kind"], kind, bad)
        self.convert({"type": "python", "source": "def grad(sample, item):\n    return 1"}, "--data",
                     self.folder / "rows.jsonl", "--out", "p")
        self.assertIn("defines no function grade(sample, item)", self.run_it("p/evaluation.toml", code=2)[0])

    def test_a_run_that_asks_a_model_is_a_side_that_is_generated(self):
        run = copy.deepcopy(RUN)
        run["data_source"] = {
            "type": "responses", "model": "gpt-4o-mini", "source": {"type": "file_content", "content": [{"item": r["item"]} for r in ROWS]},
            "input_messages": {"type": "template", "template": [
                {"type": "message", "role": "developer", "content": {"type": "input_text", "text": "Answer in a word."}},
                {"role": "user", "content": "{{ item.question }}"}]},
            "sampling_params": {"temperature": 0.5, "max_completion_tokens": 64, "tools": [], "text": {"format": {
                "type": "json_schema", "name": "answer", "schema": {"type": "object"}, "strict": True}}}}
        self.convert(EVAL, "--run", self.json("run.json", run), "--out", "o")
        toml = (self.folder / "o/evaluation.toml").read_text()
        self.assertIn('''
[sample]
type = "generate"
models = ["openai/gpt-4o-mini"]
prompt_file = "generate.prompt.json"
inference_params = { max_completion_tokens = 64, response_format = { json_schema = { name = "answer", schema = { type = "object" }, strict = true }, type = "json_schema" }, temperature = 0.5 }

[ground_truth]
type = "dataset"
file = "data.jsonl"
columns = { output = "item" }
''', toml)
        self.assertEqual(json.loads((self.folder / "o/generate.prompt.json").read_text()),
                         [{"role": "developer", "content": "Answer in a word."}, {"role": "user", "content": "{{ item.question }}"}])
        self.assertEqual([list(json.loads(line)) for line in (self.folder / "o/data.jsonl").read_text().splitlines()], [["item"]] * 3)

        # And it runs: the model is asked with each row, and its answers are graded.
        del run["data_source"]["sampling_params"]["text"]
        self.convert({**EVAL, "testing_criteria": [STRING, SIMILAR]}, "--run", self.json("run.json", run), "--out", "p")
        results, document = self.run_it("p/evaluation.toml")
        self.assertEqual([results["generation", i]["output"] for i in range(3)], ["Paris", "Roma", "nowhere I know"])
        self.assertEqual([results["String check-1f", i]["score"] for i in range(3)], [1, 0, 0])
        self.assertEqual([results["close", i]["passed"] for i in range(3)], [True, False, False])
        self.assertEqual({r["model"] for r in results.values()}, {"openai/gpt-4o-mini"})

    def test_without_rows_the_file_says_where_they_go(self):
        files, notes = self.convert({"data": [EVAL, {**EVAL, "name": "other", "testing_criteria": [STRING, STRING]}]},
                                    "--name", "other")
        self.assertEqual(files, ["other/evaluation.toml"])
        self.assertIn('other/data.jsonl, a line each, {"item": {…}, "sample": {"output_text": "…"}}', notes)
        toml = (self.folder / "other/evaluation.toml").read_text()
        self.assertEqual(re.findall(r'^name = "(.*)"', toml, re.M), ["other", "String check-1f", "String check-1f-2"])
        self.assertIn("other/evaluation.toml is there already; nothing was written",
                      self.convert({**EVAL, "name": "other"}, code=2)[0])

    def test_what_has_no_counterpart_is_one_error_that_names_its_place(self):
        second = lambda **changes: {**EVAL, "testing_criteria": [STRING, {**SIMILAR, **changes}]}
        one = lambda grader, **changes: {**grader, **changes}
        message = lambda content: one(LABEL, input=[{"role": "user", "content": content}])
        numbers = itertools.count()
        run = lambda **source: ("--run", self.json(f"run{next(numbers)}.json", {"data_source": {
            "type": "completions", "source": {"type": "file_content", "content": [{"item": {"a": 1}}]}, **source}}))
        template = {"type": "template", "template": [{"role": "user", "content": "{{item.a}}"}]}
        cases = [
            (second(evaluation_metric="cosine"), (), "testing_criteria[1].evaluation_metric: cosine is not computed here"),
            (second(evaluation_metric="meteor"), (), "testing_criteria[1].evaluation_metric: meteor is not computed here"),
            (second(evaluation_metric="rouge_9"), (), "testing_criteria[1].evaluation_metric: must be fuzzy_match, bleu"),
            (second(colour="red"), (), "testing_criteria[1].colour: is not known to this importer"),
            (second(type="endpoint"), (), 'testing_criteria[1].type: "endpoint" is none of string_check'),
            (second(input=None), (), "testing_criteria[1].input: is missing"),
            (second(input="{{ sample.output_text"), (), "testing_criteria[1].input: the prompt's {{ at line 1, column 1 is never closed"),
            (second(input="{{ input }}"), (), "testing_criteria[1].input: {{ input }} is no variable of a grader"),
            (second(input="{{ sample.output_audio.transcript }}"), (), "testing_criteria[1].input: {{ sample.output_audio.transcript }} is audio"),
            (second(pass_threshold="high"), (), "testing_criteria[1].pass_threshold: must be a number"),
            (message({"type": "input_image", "image_url": "x"}), (), "input[0].content.type: input_image has no counterpart"),
            (message("Is this polite?"), (), "input: names no {{ item.… }}"),
            (one(LABEL, passing_labels=["kind"]), (), 'passing_labels: "kind" is none of the labels'),
            (one(SCORE, range=[5, 1]), (), "range: must be two numbers"),
            (one(STRING, operation="regex"), (), "operation: must be eq, ne, like or ilike"),
            (one(MULTI, calculate_output="exact + cod"), (), 'calculate_output: column 9: there is no "cod"; there is code, exact'),
            (one(MULTI, graders={"a-b": STRING}), (), "graders.a-b: cannot be named in a formula here"),
            (one(MULTI, graders={"a": MULTI}), (), "graders.a.type: a multi cannot be a part of a multi"),
            ({"data": [EVAL, EVAL]}, (), 'data: there are 2 evals; choose one with --name: "Capitals / v2", "Capitals / v2"'),
            ({"data": [EVAL]}, ("--name", "x"), 'data: there is no eval named "x"'),
            ({"name": "x"}, (), "is no eval: it has no testing_criteria"),
            ({**EVAL, "data_source_config": {"type": "stored_completions"}}, (), "data_source_config.type: its rows are completions"),
            ({**EVAL, "data_source_config": {"type": "x"}}, (), "data_source_config.type: must be custom"),
            (STRING, run(model="m", input_messages={"type": "item_reference", "item_reference": "item.a"}),
             'data_source.input_messages.type: "item_reference" has no counterpart'),
            (STRING, run(model="m", input_messages=template, sampling_params={"tools": [{}]}), "data_source.sampling_params.tools: have no"),
            (STRING, run(input_messages=template), "data_source.model: is missing"),
            (STRING, run(type="jsonl"), "input: names the sample, but the rows have none"),
            (STRING, run(type="jsonl", source={"type": "file_id", "id": "file-7"}), "GET /v1/files/file-7/content"),
        ]
        for value, arguments, expected in cases:
            self.assertIn(expected, self.refused(value, *arguments), expected)


if __name__ == "__main__":
    main()
