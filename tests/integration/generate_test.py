"""Sides that models generate: by `assay run` and through a server and workers, against a mock of a model's API."""
import json
import os
import signal
import urllib.request

from harness import Case, main, wait_until

TRUTH = """
[ground_truth]
type = "dataset"
file = "rows.jsonl"
columns = { input = "q", output = "a" }
"""
SAMPLE = """
[sample]
type = "generate"
models = ["mock/good", "mock/bad"]
"""
EXACT = """
[[evaluator]]
name = "exact"
type = "code"
language = "plugin"
code = "text/exact"
pass_threshold = 1.0
"""
# Says of which text its score is.
QUOTE = """
[[evaluator]]
name = "quote"
type = "code"
language = "lua"
code = "function run_evaluation(item) return {score = 1, reason = item.sample.text} end"
"""
MODELS = """
[providers.mock]
api = "chat.completions"
base_url = "{url}/v1"
key_file = "{key}"
max_in_flight = 8
[models."mock/good"]
model = "mock-good"
price = {{ input = 1, output = 10 }}
max_output_tokens = 100
[models."mock/bad"]
model = "mock-bad"
price = {{ input = 1, output = 10 }}
max_output_tokens = 100
[models."mock/unpriced"]
model = "mock-good"
"""
KEY = "sk-of-the-generate-test"
# The good one knows what is asked, the bad one says how many times it was asked.
RULES = """
[[rule]]
model = "mock-good"
match = 'what is (\\d+)'
text = "{{1}}"
usage = { input = 1000, output = 100 }
[[rule]]
model = "mock-bad"
text = "no idea, for the {{count}}th time"
usage = { input = 1000, output = 100 }
"""


class Generate(Case):
    def setUp(self):
        super().setUp()
        self.environment = {**os.environ, "XDG_CACHE_HOME": str(self.folder / "cache"), "HOME": str(self.folder)}

    def mock(self, rules=RULES):
        self.url = self.mock_llm(f'keys = ["{KEY}"]\n' + rules)
        self.write("key", KEY + "\n").chmod(0o600)
        return self.write("models.toml", MODELS.format(url=self.url, key=self.folder / "key"))

    def asked(self):
        return json.load(urllib.request.urlopen(self.url + "/mock/stats", timeout=10))["requests"]

    def file(self, sample=SAMPLE, truth=TRUTH, evaluators=EXACT, count=10, top=""):
        self.write("rows.jsonl", "".join(
            json.dumps({"q": f"what is {i}?", "a": str(i), "chat": [{"role": "system", "content": "Count."},
                                                                    {"role": "user", "content": f"what is {i}?"}]}) + "\n"
            for i in range(count)))
        return self.write("evaluation.toml", 'name = "generated"\n' + top + sample + truth + evaluators)

    def run_file(self, path, models, *arguments, code=0):
        out, err = self.assay("run", path, "--models", models, "--json", "--ephemeral", *arguments, code=code,
                              env=self.environment)
        return json.loads(out) if code == 0 else err

    def cells(self, document):
        run = document.get("run", document)
        return {(cell["evaluator"]["name"], cell.get("model", "")): cell for cell in run["metrics"]}

    def test_each_model_gives_a_sample_of_each_item(self):
        models = self.mock()
        path = self.file()
        document = self.run_file(path, models, "--output", self.folder / "out")
        cells = self.cells(document)
        self.assertEqual({key: (cell["scored"], cell["errors"], cell["pass_rate"]) for key, cell in cells.items()},
                         {("exact", "mock/good"): (10, 0, 1), ("exact", "mock/bad"): (10, 0, 0),
                          ("generation", "mock/good"): (0, 0, None), ("generation", "mock/bad"): (0, 0, None)})
        for model in ("mock/good", "mock/bad"):
            cell = cells["generation", model]
            self.assertEqual((cell["generated"], cell["models"]["calls"]), (10, 10))
            self.assertAlmostEqual(cell["models"]["cost"], 10 * (1000 * 1e-6 + 100 * 10e-6))
            self.assertNotIn("models", cells["exact", model])
        self.assertAlmostEqual(document["run"]["estimated_spend"], 20 * (1000 * 1e-6 + 100 * 10e-6))
        self.assertEqual(self.asked(), 20)
        # The text stands with the results; what has no score of its own is no worst item.
        texts = {(row["index"], row["model"]): row["output"] for row in self.saved()
                 if row["evaluator"] == "generation"}
        self.assertEqual(len(texts), 20)
        self.assertEqual(texts[3, "mock/good"], "3")
        self.assertIn("no idea", texts[3, "mock/bad"])
        self.assertEqual({(row["evaluator"], row["model"]) for row in document["worst"]}, {("exact", "mock/bad")})
        self.assertEqual((document["worst"][0]["score"], document["run"]["progress"]["items_done"]), (0, 10))
        table, _ = self.assay("run", path, "--models", models, "--ephemeral", env=self.environment)
        self.assertIn("10 texts generated", table)

    def test_prompts_chats_and_the_other_side(self):
        models = self.mock('[[rule]]\ntext = "{{message}}"\n')
        one = '[sample]\ntype = "generate"\nmodels = ["mock/good"]\n'
        texts = lambda path: [row["output"] for row in self.results_of(path, models) if row["evaluator"] == "generation"]
        self.assertEqual(texts(self.file(sample=one, count=2)), ["what is 0?", "what is 1?"])
        self.assertEqual(texts(self.file(sample=one + 'prompt = "Q: {{ input }} ({{ expected }})"\n', count=2)),
                         ["Q: what is 0? (0)", "Q: what is 1? (1)"])
        chat = json.dumps([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "{{ input }} Please."}])
        self.write("prompt.json", chat)
        self.assertEqual(texts(self.file(sample=one + 'prompt_file = "prompt.json"\n', count=1)), ["what is 0? Please."])
        self.assertEqual(texts(self.file(sample=one, truth=TRUTH.replace('"q"', '"chat"'), count=1)), ["what is 0?"])
        # The other way round: what is expected is generated from the sample.
        path = self.file(sample=TRUTH.replace("ground_truth", "sample"), count=2,
                         truth=one.replace("sample", "ground_truth") + 'prompt = "{{ output }}"\n')
        rows = self.results_of(path, models)
        self.assertEqual([row["output"] for row in rows if row["evaluator"] == "generation"], ["0", "1"])
        self.assertEqual([row["score"] for row in rows if row["evaluator"] == "exact"], [1, 1])

    def results_of(self, path, models):
        self.run_file(path, models, "--output", self.folder / "out")
        return self.saved()

    def saved(self):
        return [json.loads(line) for line in (self.folder / "out/results.jsonl").read_text().splitlines()]

    def test_trials_are_texts_of_their_own(self):
        models = self.mock()
        sample = SAMPLE + "inference_params = { temperature = 0 }\n"
        rows = self.results_of(self.file(sample=sample, count=4, top="trials = 3\n", evaluators=QUOTE), models)
        texts = {(row["index"], row["model"], row["trial"]): row["output"] for row in rows if row["evaluator"] == "generation"}
        self.assertEqual(len(texts), 4 * 2 * 3)
        self.assertEqual(len({text for key, text in texts.items() if key[1] == "mock/bad"}), 4 * 3)
        for row in rows:
            if row["evaluator"] == "quote":
                self.assertEqual(row["reason"], texts[row["index"], row["model"], row["trial"]])

    def test_a_text_that_did_not_come_is_an_error_of_its_kind_and_no_score(self):
        models = self.mock("""
[[rule]]
match = 'what is 1\\?'
finish = "content_filter"
text = ""
[[rule]]
match = 'what is 2\\?'
status = 400
body = '{"error":{"message":"too long","code":"context_length_exceeded"}}'
[[rule]]
match = 'what is 3\\?'
refusal = "I would rather not."
""" + RULES)
        document = self.run_file(self.file(), models)
        cells = self.cells(document)
        exact = cells["exact", "mock/good"]
        self.assertEqual((exact["scored"], exact["errors"]), (8, 2))
        self.assertEqual(exact["errors_by_kind"], {"content_filter": 1, "context_too_long": 1})
        self.assertEqual(cells["generation", "mock/good"]["errors_by_kind"], exact["errors_by_kind"])
        # What a model says when it declines is its answer.
        self.assertEqual(exact["mean"], 7 / 8)

    def test_a_run_never_costs_more_than_it_may(self):
        models = self.mock()
        document = self.run_file(self.file(count=60, top="spend_limit = 0.05\n"), models)
        cells = self.cells(document)
        made = sum(cells["generation", model]["generated"] for model in ("mock/good", "mock/bad"))
        billing = sum(cells["generation", model]["errors_by_kind"].get("billing", 0) for model in ("mock/good", "mock/bad"))
        self.assertEqual(made + billing, 120)
        self.assertGreater(made, 5)
        self.assertLessEqual(document["run"]["estimated_spend"], 0.05)

    def test_a_pilot_says_what_the_whole_would_cost(self):
        models = self.mock()
        gate = EXACT + '[gate]\n"exact.pass_rate" = ">= 0.9"\n'
        path = self.file(count=40, top="trials = 2\n", evaluators=gate)
        document = self.run_file(path, models, "--pilot", "5")
        self.assertEqual((document["run"]["progress"]["items_total"], document["gates"]), (5, []))
        self.assertEqual(self.asked(), 5 * 2 * 2)
        # Every call costs the same here: 1,000 tokens in and 100 out.
        whole = 40 * 2 * 2 * (1000 * 1e-6 + 100 * 10e-6)
        self.assertAlmostEqual(document["estimate"]["dollars"], whole)
        self.assertEqual((document["estimate"]["items"], document["estimate"]["is_least"]), (40, False))
        for bound in document["estimate"]["ci95"]:
            self.assertAlmostEqual(bound, whole)
        path = self.file(count=40, sample=SAMPLE.replace('"mock/good", "mock/bad"', '"mock/unpriced"'))
        out, _ = self.assay("run", path, "--models", models, "--ephemeral", "--pilot", "5", env=self.environment)
        self.assertIn("all 40 items would cost at least $0 ", out)
        self.assertIn("no known price", out)

    def test_what_cannot_work_is_said_before_anything_is_asked(self):
        models = self.mock()
        one = '[sample]\ntype = "generate"\nmodels = ["mock/good"]\n'
        for sample, message in ((one + 'prompt = "{{ inptu }}"\n', "inptu"),
                                (one + 'prompt = "{{ sample.output_text }}"\n', "sample.output_text"),
                                (one + "inference_params = { temperature = 9 }\n", "temperature"),
                                (one.replace("mock/good", "other/x"), "other/x"),
                                ('[sample]\ntype = "generate"\n', "models"),
                                (one.replace('"mock/good"', '"mock/good", "mock/good"'), "twice")):
            err = self.run_file(self.file(sample=sample), models, code=2)
            self.assertIn(message, err)
        self.assertIn("cannot both", self.run_file(
            self.file(sample=one, truth=one.replace("sample", "ground_truth")), models, code=2))
        self.assertIn("one model", self.run_file(
            self.file(sample=TRUTH.replace("ground_truth", "sample"),
                      truth=SAMPLE.replace("sample", "ground_truth")), models, code=2))
        self.assertEqual(self.asked(), 0)
        # An item without a question is an error of that item.
        cells = self.cells(self.run_file(self.file(sample=one, truth=TRUTH.replace('input = "q", ', "")), models))
        self.assertEqual(cells["exact", "mock/good"]["errors_by_kind"], {"config": 10})

    def test_a_killed_worker_costs_what_was_under_way_and_scores_belong_to_the_kept_texts(self):
        models = self.mock('latency = "20ms"\n' + RULES)
        self.serve()
        self.admin, key = self.key("admin", "submit", "read"), self.key("worker")
        path = self.file(count=300, evaluators=QUOTE + EXACT, top="shard_size = 20\n")
        self.write("admin.key", self.admin)
        run = self.assay("submit", path, "--api", f"unix:{self.socket}", "--key-file", self.folder / "admin.key",
                         "--no-wait")[0].strip()
        outcomes = lambda: self.ok("GET", f"/v1/evaluation/runs/{run}")["progress"]["outcomes_done"]
        one = self.worker("one", key, models_file=models)
        wait_until(lambda: outcomes() > 200, "some of it is done")
        one.signal(signal.SIGKILL)
        one.wait()
        self.worker("two", key, models_file=models)
        done = self.finished(run)
        self.assertEqual((done["progress"]["outcomes_done"], done["progress"]["errors"]), (300 * 2 * 3, 0))
        rows = self.results(run)
        texts = {(row["index"], row["model"]): row["output"] for row in rows if row["evaluator"] == "generation"}
        self.assertEqual(len(texts), 600)
        for row in rows:
            if row["evaluator"] == "quote":
                self.assertEqual(row["reason"], texts[row["index"], row["model"]])
        # Of what the first one had been answered, at most what was in flight was asked again.
        self.assertLessEqual(self.asked(), 600 + 8 + 64)

        # The same texts, judged by something else: nothing is asked.
        asked = self.asked()
        again = self.ok("POST", "/v1/evaluation/runs", {"source_run": run, "evaluators": ["exact"]})["id"]
        cells = self.cells(self.finished(again))
        self.assertEqual({key: (cell["scored"], cell["pass_rate"]) for key, cell in cells.items()},
                         {("exact", "mock/good"): (300, 1), ("exact", "mock/bad"): (300, 0)})
        self.assertEqual(self.asked(), asked)
        self.assertEqual(self.ok("GET", f"/v1/evaluation/runs/{again}")["estimated_spend"], 0)

    def test_what_failed_is_generated_again_by_retry(self):
        models = self.mock('[[rule]]\nmatch = "what is [012]\\\\?"\ntimes = 3\nfinish = "content_filter"\ntext = ""\n' + RULES)
        self.serve()
        self.admin, key = self.key("admin", "submit", "read"), self.key("worker")
        self.worker("one", key, models_file=models)
        self.write("admin.key", self.admin)
        sample = SAMPLE.replace(', "mock/bad"', "")
        run = self.assay("submit", self.file(sample=sample), "--api", f"unix:{self.socket}",
                         "--key-file", self.folder / "admin.key", "--no-wait")[0].strip()
        self.assertEqual(self.finished(run)["progress"]["errors"], 3 * 2)
        self.ok("POST", f"/v1/evaluation/runs/{run}/retry", {})
        done = self.finished(run)
        self.assertEqual((done["progress"]["errors"], self.cells(done)["exact", "mock/good"]["pass_rate"]), (0, 1))
        self.assertEqual(self.asked(), 13)
        # Its texts stay while a run reads them.
        again = self.ok("POST", "/v1/evaluation/runs", {"source_run": run, "evaluators": ["exact"]})["id"]
        self.finished(again)
        self.ok("DELETE", f"/v1/evaluation/runs/{run}")
        status, answer = self.call("POST", f"/v1/evaluation/runs/{again}/retry", {}, key=self.admin)[:2]
        self.assertEqual(status, 409, answer)


if __name__ == "__main__":
    main()
