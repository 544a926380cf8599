"""Judges: models that score, by `assay run` and through a server and workers, against a mock of a model's API."""
import json
import os
import re
import urllib.request

from harness import SOURCE, Case, UnixConnection, main, wait_until

FILE = """
name = "judged"
{top}
[sample]
type = "dataset"
file = "rows.jsonl"
columns = {{ input = "q", output = "got" }}
[ground_truth]
type = "dataset"
file = "rows.jsonl"
columns = {{ input = "q", output = "want" }}
[[evaluator]]
name = "exact"
type = "code"
language = "plugin"
code = "text/exact"
pass_threshold = 1.0
[[evaluator]]
name = "judge"
type = "judge"
model = "{model}"
prompt = "Is {{{{ output }}}} the same as {{{{ expected }}}}?"
{judge}
"""
MODELS = """
[providers.mock]
api = "chat.completions"
base_url = "{url}/v1"
key_file = "{key}"
max_in_flight = 16
start_in_flight = 16
[models."mock/priced"]
model = "mock-small"
price = {{ input = 1, output = 10 }}
max_output_tokens = 100
[models."mock/unpriced"]
model = "mock-small"
"""
KEY = "sk-of-the-judge-test"


class Judge(Case):
    def setUp(self):
        super().setUp()
        self.environment = {**os.environ, "XDG_CACHE_HOME": str(self.folder / "cache"), "HOME": str(self.folder)}

    def mock(self, rules=""):
        self.url = url = self.mock_llm(f'keys = ["{KEY}"]\n' + rules)
        self.write("key", KEY + "\n").chmod(0o600)
        return self.write("models.toml", MODELS.format(url=url, key=self.folder / "key"))

    def file(self, count=10, wrong=(3,), model="mock/priced", judge="", top=""):
        self.write("rows.jsonl", "".join(
            json.dumps({"q": f"what is {i}?", "got": str(i + 1 if i in wrong else i), "want": str(i)}) + "\n"
            for i in range(count)))
        return self.write("judged.toml", FILE.format(model=model, judge=judge, top=top))

    def run_file(self, path, models, *arguments, code=0):
        out, err = self.assay("run", path, "--models", models, "--json", "--ephemeral", *arguments, code=code,
                              env=self.environment)
        return json.loads(out) if code == 0 else err

    def metrics(self, document):
        return {cell["evaluator"]["name"]: cell for cell in document["run"]["metrics"]}

    def test_a_judge_and_code_score_side_by_side(self):
        models = self.mock('[[rule]]\nverdict = "equal"\nreason = "looked at both"\n'
                           'usage = { input = 1000, output = 100 }\n')
        document = self.run_file(self.file(wrong={3, 7}), models)
        cells = self.metrics(document)
        for name in ("exact", "judge"):
            self.assertEqual((cells[name]["scored"], cells[name]["errors"], cells[name]["pass_rate"]), (10, 0, 0.8), name)
        use = cells["judge"]["models"]
        self.assertEqual((use["calls"], use["input_tokens"], use["output_tokens"]), (10, 10_000, 1_000))
        self.assertAlmostEqual(use["cost"], 10 * (1000 * 1e-6 + 100 * 10e-6))
        self.assertAlmostEqual(document["run"]["estimated_spend"], use["cost"])
        self.assertNotIn("models", cells["exact"])
        worst = [item for item in document["worst"] if item["evaluator"] == "judge"]
        self.assertEqual(sorted(item["index"] for item in worst), [3, 7])
        self.assertEqual(worst[0]["reason"], "looked at both")

    def test_what_was_asked_is_not_asked_again_but_for_trials(self):
        models = self.mock('[[rule]]\nverdict = "equal"\n')
        use = lambda **keywords: self.metrics(self.run_file(self.file(**keywords), models))["judge"]["models"]
        self.assertEqual((use()["calls"], use().get("cost", 0)), (10, 0))
        # The replies to the first trial are there; the others are to show how much replies differ.
        self.assertGreater(use(top="trials = 3")["cost"], 0)
        requests = wait_until(lambda: json.load(urllib.request.urlopen(self.url + "/mock/stats", timeout=10)), "stats")["requests"]
        self.assertEqual(requests, 10 + 20)

    def test_what_a_judge_fails_at_is_an_error_and_no_score(self):
        models = self.mock("""
[[rule]]
match = '(?s)\\b3\\b.*\\b3\\b'
text = "I would rather talk about something else."
[[rule]]
match = '(?s)\\b4\\b.*\\b4\\b'
refusal = "I cannot."
[[rule]]
match = '(?s)\\b5\\b.*\\b5\\b'
verdict = "perhaps"
[[rule]]
verdict = "equal"
""")
        document = self.run_file(self.file(wrong=()), models)
        judge = self.metrics(document)["judge"]
        self.assertEqual((judge["scored"], judge["errors"]), (7, 3))
        self.assertEqual(judge["mean"], 1)
        self.assertEqual(judge["errors_by_kind"], {"judge_off_menu": 1, "judge_parse": 1, "judge_refusal": 1})

    def test_code_that_was_granted_llm_asks_a_model(self):
        models = self.mock('[[rule]]\nmatch = "answer 4"\nrefusal = "I cannot."\n'
                           '[[rule]]\ntext = "{{message}}!"\nusage = { input = 100, output = 10 }\n')
        lua = """
function run_evaluation(item)
  local reply = assay.llm{model = "mock/priced", prompt = "answer " .. item.sample.text}
  if reply.finish == "refusal" then error("it refused") end
  return {score = reply.text == "answer " .. item.sample.text .. "!" and 1 or 0}
end"""
        python = """
import assay
def run_evaluation(item):
    try:
        assay.llm(model="nobody/x", prompt="x")
    except assay.ModelError as error:
        kind = error.kind
    reply = assay.llm(model="mock/priced", prompt="answer " + item["sample"]["text"])
    return {"score": 1 if reply["text"].endswith("!") else 0, "reason": kind}
"""
        path = self.file(wrong=())
        path.write_text(path.read_text().split("[[evaluator]]")[0] + "".join(
            f'[[evaluator]]\nname = "{name}"\ntype = "code"\nlanguage = "{name}"\ngrants = ["llm"]\n'
            f"code = \'\'\'{code}\'\'\'\n" for name, code in (("lua", lua), ("python", python))))
        cells = self.metrics(self.run_file(path, models))
        self.assertEqual((cells["lua"]["scored"], cells["lua"]["mean"], cells["lua"]["errors_by_kind"]),
                         (9, 1, {"evaluator_error": 1}))
        self.assertEqual(cells["lua"]["models"]["calls"], 10)
        self.assertGreaterEqual(cells["lua"]["models"]["input_tokens"], 900)
        self.assertEqual((cells["python"]["scored"], cells["python"]["errors"]), (10, 0))
        self.assertAlmostEqual(cells["python"]["mean"], 0.9)
        self.assertEqual(cells["python"]["models"]["calls"], 10)  # those that were answered

    def test_a_wrong_key_is_said_once_and_is_no_score(self):
        models = self.mock()
        self.write("key", "sk-wrong\n")
        out, err = self.assay("run", self.file(count=50), "--models", models, "--json", "--ephemeral",
                              env=self.environment)
        judge = self.metrics(json.loads(out))["judge"]
        self.assertEqual((judge["scored"], judge["errors_by_kind"]), (0, {"auth": 50}))
        self.assertEqual(len(re.findall("paused", err)), 1, err)
        self.assertNotIn("sk-wrong", out + err)

    def test_a_run_never_costs_more_than_it_may(self):
        models = self.mock('[[rule]]\nverdict = "equal"\nusage = { input = 1000, output = 100 }\n')
        document = self.run_file(self.file(count=60, top="spend_limit = 0.05"), models)
        judge = self.metrics(document)["judge"]
        self.assertGreater(judge["scored"], 5)
        self.assertEqual(judge["scored"] + judge["errors_by_kind"]["billing"], 60)
        self.assertLessEqual(document["run"]["estimated_spend"], 0.05)
        self.assertGreater(document["run"]["estimated_spend"], 0.03)
        self.assertEqual(document["run"]["spend_limit"], 0.05)
        err = self.run_file(self.file(model="mock/unpriced", top="spend_limit = 0.05"), models, code=2)
        self.assertIn("prices", err)

    def test_what_cannot_work_is_said_before_anything_starts(self):
        models = self.mock()
        for change, message in (({"model": "other/x"}, "other/x"),
                                ({"judge": 'params = { votes = 0 }'}, "votes"),
                                ({"judge": 'params = { colour = 1 }'}, "colour")):
            err = self.run_file(self.file(**change), models, code=2)
            self.assertIn(message, err)
        path = self.file()
        path.write_text(path.read_text().replace("{{ output }}", "{{ outptu }}"))
        self.assertIn("outptu", self.run_file(path, models, code=2))
        out, err = self.assay("run", self.file(), "--ephemeral", code=2, env=self.environment)
        self.assertIn("models.toml", err)

    def test_a_judge_runs_through_server_and_workers(self):
        models = self.mock('latency = "5ms"\n[[rule]]\nverdict = "equal"\n')
        self.serve()
        self.admin, key = self.key("admin", "submit", "read"), self.key("worker")
        path = self.file(count=200, wrong=range(0, 200, 4))
        self.write("admin.key", self.admin)
        submit = ("submit", path, "--api", f"unix:{self.socket}", "--key-file", self.folder / "admin.key")
        # Without a worker that has the provider it waits, and says for what.
        self.worker("plain", key)
        run = self.assay(*submit, "--no-wait")[0].strip()
        wait_until(lambda: "provider:mock" in self.ok("GET", f"/v1/evaluation/runs/{run}").get("waiting_for", ""),
                   "it says what it waits for")
        for name in ("one", "two"):
            self.worker(name, key, models_file=models, models_cache=self.folder / f"replies-{name}",
                        metrics_listen=f"unix:{self.folder}/{name}.metrics")
        done = self.finished(run)
        judge = {cell["evaluator"]["name"]: cell for cell in done["metrics"]}["judge"]
        self.assertEqual((judge["scored"], judge["pass_rate"]), (200, 0.75))
        calls = 0
        for name in ("one", "two"):
            connection = UnixConnection(str(self.folder / f"{name}.metrics"))
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
            connection.close()
            calls += sum(int(n) for n in re.findall(r'^assay_model_calls_total{outcome="ok"} (\d+)', text, re.M))
            self.assertIn('assay_provider{provider="mock",what="allowed"} 16', text)
        self.assertEqual(calls, 200)

    def test_the_demo_has_code_and_a_judge_side_by_side(self):
        rules = (SOURCE / "examples/quickstart/mock.toml").read_text()
        models = self.mock(rules.replace('models = ["mock"]', ""))
        models.write_text(models.read_text().replace("mock/priced", "demo/judge").replace(
            'model = "mock-small"', 'provider = "mock"\nmodel = "mock-small"'))
        document = self.run_file(SOURCE / "examples/quickstart/judged.toml", models)
        cells = self.metrics(document)
        self.assertEqual([cells[name]["errors"] for name in ("correct", "concise", "judge")], [0, 0, 0])
        self.assertEqual(cells["judge"]["scored"], 72)
        self.assertEqual({gate["verdict"] for gate in document["gates"]}, {"PASS"})

    def test_plugins_are_listed_and_tried(self):
        plugins = {plugin["name"]: plugin for plugin in json.loads(self.assay("plugins", "--json")[0])}
        self.assertLessEqual({"judge", "json", "text"}, set(plugins))
        names = [evaluator["name"] for evaluator in plugins["text"]["evaluators"]]
        self.assertIn("rouge", names)
        out, _ = self.assay("evaluators", "test", "text/exact", "--item", '{"sample":"a","ground_truth":"a"}', "--json")
        self.assertEqual(json.loads(out)["score"], 1)
        _, err = self.assay("evaluators", "test", "text/exakt", code=2)
        self.assertIn("exakt", err)
        models = self.mock('[[rule]]\nverdict = true\n')
        out, _ = self.assay("evaluators", "test", "judge/judge", "--models", models, "--json",
                            "--params", '{"models":["mock/priced"],"prompt":"Is {{ output }} good?"}',
                            "--item", '{"sample":"a"}', env=self.environment)
        outcome = json.loads(out)
        self.assertEqual((outcome["score"], outcome["usage"]["models"]["calls"]), (1, 1))


if __name__ == "__main__":
    main()
