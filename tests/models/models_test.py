"""Model clients against servers that nobody here wrote: ./dev test models. Needs PyPI and npm once."""
import functools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "integration"))
from harness import BIN, Case, main, wait_until

FOLDER = pathlib.Path(os.environ["ASSAY_BUILD"]) / "models"
PYTHON = FOLDER / "venv/bin/python"
PYTHON_PACKAGES = ("xllamacpp==2026.10.11549", "gguf==0.19.0", "mockllm==0.0.8")
NODE_PACKAGE = "@dwmkerr/mock-llm@0.1.29"
QUIET = ("nice", "-n", "19")
KEY = "sk-of-the-models-test"
APIS = ("chat.completions", "responses", "messages")
JUDGE_KINDS = {"judge_parse", "judge_truncated", "judge_off_menu", "judge_refusal"}


def run(*commands):
    """Why one of the commands failed, or nothing."""
    for command in commands:
        try:
            done = subprocess.run([*QUIET, *map(str, command)], capture_output=True, text=True, timeout=900)
        except FileNotFoundError as error:
            return str(error)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).splitlines()
            return next((line for line in said if "error" in line.lower()), "it failed")
    return ""


def installed(name, packages, *commands):
    """Installs once for each list of packages; why it cannot, or nothing."""
    stamp = FOLDER / f"{name}.installed"
    if stamp.exists() and stamp.read_text() == packages:
        return ""
    FOLDER.mkdir(parents=True, exist_ok=True)
    why = run(*commands)
    if not why:
        stamp.write_text(packages)
    return why


@functools.cache
def python_packages():
    return installed("python", " ".join(PYTHON_PACKAGES), (sys.executable, "-m", "venv", FOLDER / "venv"),
                     (PYTHON, "-m", "pip", "install", "-q", "--only-binary", "xllamacpp", *PYTHON_PACKAGES))


@functools.cache
def node_package():
    if not shutil.which("npm"):
        return "npm is not here"
    return installed("node", NODE_PACKAGE, ("npm", "install", "--loglevel", "error", "--no-audit", "--no-fund", "--ignore-scripts",
                                            "--prefix", FOLDER / "node", NODE_PACKAGE))


@functools.cache
def tiny_model():
    """The model's file."""
    path = FOLDER / "tiny.gguf"
    subprocess.run([PYTHON, HERE / "tiny_model.py", path], check=True, timeout=120)
    return path


EVALUATION = """
name = "models"
{top}
[ground_truth]
type = "dataset"
file = "rows.jsonl"
columns = {{ input = "question", output = "answer" }}
{sample}
{evaluator}
"""
GIVEN = """
[sample]
type = "dataset"
file = "rows.jsonl"
columns = { input = "question", output = "said" }
"""
EXACT = """
[[evaluator]]
name = "exact"
type = "code"
language = "plugin"
code = "text/exact"
pass_threshold = 1.0
"""


def generated(*models, **params):
    return (f'[sample]\ntype = "generate"\nmodels = {json.dumps(models)}\n'
            f"inference_params = {toml(params)}\n")


def judge(model, inference=None, **params):
    return (f'[[evaluator]]\nname = "judge"\ntype = "judge"\nmodel = "{model}"\n'
            'prompt = "Question: {{ input }}\\nReference: {{ expected }}\\nAnswer: {{ output }}\\nIs the answer right?"\n'
            f"inference_params = {toml(inference or {})}\nparams = {toml(params)}\n")


def toml(value):
    """JSON as a value of TOML."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {toml(member)}" for name, member in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def shape(score):
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "verdict", "schema": {
        "type": "object", "properties": {"score": score, "reason": {"type": "string"}}, "required": ["score", "reason"],
        "additionalProperties": False}}}}


class Models(Case):
    """Runs evaluations against a server of models."""

    def setUp(self):
        super().setUp()
        self.environment = {**os.environ, "XDG_CACHE_HOME": str(self.folder / "cache"), "HOME": str(self.folder)}

    def listen(self, *command, **keywords):
        """Starts a server that says where it listens."""
        self.server = self.start(*QUIET, *command, **keywords)
        said = wait_until(lambda: self.server.process.poll() is not None or re.search(
            r"(listening|running) on (?:http://)?(127\.0\.0\.1:\d+)", self.server.output()), "the server listens")
        self.assertIsNone(self.server.process.poll(), self.server.output())
        self.url = f"http://{said[2]}"

    def models(self, **settings):
        """models.toml with a provider for each API, named by the API's first word."""
        self.write("key", KEY + "\n").chmod(0o600)
        settings = {"give_up": "20s", "max_in_flight": 8, "start_in_flight": 4, **settings}
        self.write("models.toml", "".join(
            f'[providers.{api.split(".")[0]}]\napi = "{api}"\nbase_url = "{self.url}/v1"\nkey_file = "{self.folder}/key"\n'
            + "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()) for api in APIS))

    def rows(self, rows):
        self.write("rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def sums(self, count):
        self.rows({"question": f"What is {i} plus {i}?", "answer": str(2 * i), "said": str(2 * i + i % 2)} for i in range(count))

    def run_it(self, sample=GIVEN, evaluator=EXACT, top="", seconds=None):
        """Runs to the end; what `assay run` says as a document, the results by evaluator, and its messages."""
        path = self.write("evaluation.toml", EVALUATION.format(sample=sample, evaluator=evaluator, top=top))
        began = time.monotonic()
        out, err = self.assay("run", path, "--models", self.folder / "models.toml", "--json", "--ephemeral",
                              "--output", self.folder / "out", env=self.environment)
        if seconds:
            self.assertLess(time.monotonic() - began, seconds)
        results = [json.loads(line) for line in (self.folder / "out/results.jsonl").read_text().splitlines()]
        by_evaluator = {}
        for row in results:
            by_evaluator.setdefault(row["evaluator"], []).append(row)
        cells = {cell["evaluator"]["name"]: cell for cell in json.loads(out)["run"]["metrics"]}
        return cells, by_evaluator, err

    def judged(self, model, *, count, kinds=JUDGE_KINDS, **params):
        """The judge's cell: each item is scored, or an error of one of the kinds."""
        self.sums(count)
        cells, results, _ = self.run_it(evaluator=judge(model, **params))
        cell = cells["judge"]
        self.assertEqual(cell["scored"] + cell["errors"], count, cell)
        self.assertLessEqual(set(cell["errors_by_kind"]), kinds, [row for row in results["judge"] if row.get("error")])
        return cell, results["judge"]


class LlamaCpp(Models):
    """llama.cpp's server with a model of random weights: nonsense, in a real protocol."""

    def serve(self, slots=2, **settings):
        if why := python_packages():
            self.skipTest(f"xllamacpp, gguf and mockllm cannot be installed: {why}")
        self.listen(PYTHON, HERE / "llama_cpp.py", tiny_model(), slots, KEY)
        self.models(**settings)

    def counted(self):
        """What the server has counted: tokens of prompts and of replies."""
        request = urllib.request.Request(self.url + "/metrics", headers={"Authorization": f"Bearer {KEY}"})
        text = urllib.request.urlopen(request, timeout=30).read().decode()
        return tuple(int(re.search(rf"^llamacpp:{name}_total (\d+)", text, re.M)[1]) for name in ("prompt_tokens", "tokens_predicted"))

    def assert_tokens_are_the_servers(self, use):
        self.assertEqual((use["input_tokens"], use["output_tokens"]), self.counted())

    def test_a_judge_is_held_to_its_schema(self):
        self.serve()
        cell, rows = self.judged("chat/tiny", count=20, inference={"max_tokens": 600})
        self.assertGreater(cell["scored"], 0)
        self.assertLessEqual(set(cell["errors_by_kind"]), {"judge_truncated"})  # all else the grammar forbids
        self.assertLessEqual({row["score"] for row in rows if not row.get("error")}, {0, 1})
        self.assertGreaterEqual(cell["models"]["calls"], 20)
        self.assert_tokens_are_the_servers(cell["models"])

    def test_a_shape_of_ones_own(self):
        self.serve()
        cell, rows = self.judged("chat/tiny", count=20, inference={
            "max_tokens": 600, **shape({"type": "integer", "minimum": 1, "maximum": 5})})
        self.assertGreater(cell["scored"], 0)
        self.assertLessEqual(set(cell["errors_by_kind"]), {"judge_truncated"})
        self.assertLessEqual({row["score"] for row in rows if not row.get("error")}, {1, 2, 3, 4, 5})

    def test_a_number_may_be_beyond_its_bounds(self):
        # The grammar knows no bounds of fractions.
        self.serve()
        cell, rows = self.judged("chat/tiny", count=20, inference={
            "max_tokens": 300, **shape({"type": "number", "minimum": 0, "maximum": 1})})
        self.assertGreater(cell["errors_by_kind"]["judge_off_menu"], 0)
        self.assertTrue(all(0 <= row["score"] <= 1 for row in rows if not row.get("error")), rows)

    def test_scores_are_weighted_by_probabilities(self):
        self.serve()
        cell, rows = self.judged("chat/tiny", count=20, range=[1, 5], expected_score=True,
                                 inference={"max_tokens": 600})
        self.assertGreater(cell["scored"], 0)
        scored = [row for row in rows if not row.get("error")]
        self.assertTrue(all(1 <= row["score"] <= 5 and row["metrics"]["weighted"] == 1 for row in scored), scored)
        self.assertTrue(any(row["score"] % 1 for row in scored), scored)

    def test_scores_are_as_written_where_there_are_no_probabilities(self):
        self.serve()
        self.judged("responses/tiny", count=5, range=[1, 5], expected_score=True, inference={"max_tokens": 100})

    def test_votes_of_a_model_differ(self):
        self.serve()
        cell, rows = self.judged("chat/tiny", count=10, votes=3, inference={"max_tokens": 600})
        self.assertGreaterEqual(cell["models"]["calls"], 30)
        self.assertTrue(any(row["metrics"]["agreement"] < 1 for row in rows if not row.get("error")), rows)
        self.assert_tokens_are_the_servers(cell["models"])

    def test_other_apis_have_no_schemas(self):
        # The server takes the schema and does not keep to it, without a word: no text of the model may become a score.
        self.serve()
        for model in ("responses/tiny", "messages/tiny"):
            with self.subTest(model):
                before = self.counted()
                cell, _ = self.judged(model, count=10, inference={"max_tokens": 100})
                self.assertEqual(cell["scored"], 0)
                self.assertGreater(self.counted(), before)

    def test_all_apis_give_the_same_texts(self):
        self.serve(slots=1)
        self.sums(5)
        models = ("chat/tiny", "responses/tiny", "messages/tiny")
        cells, results, _ = self.run_it(generated(*models, temperature=0, max_tokens=40))
        texts = {(row["index"], row["model"]): row["output"] for row in results["generation"]}
        self.assertEqual(len(texts), 15)
        for i in range(5):
            self.assertEqual({texts[i, model] for model in models}, {texts[i, models[0]]})

    def test_texts_come_twice_and_are_kept(self):
        self.serve(slots=1)
        self.sums(10)
        sample = generated("chat/tiny", temperature=0, max_tokens=16)
        cells, results, _ = self.run_it(sample, top="trials = 2")
        texts = {(row["index"], row["trial"]): row["output"] for row in results["generation"]}
        self.assertEqual((len(texts), cells["generation"]["generated"], cells["generation"]["models"]["calls"]), (20, 20, 20))
        for i in range(10):
            self.assertTrue(texts[i, 0])
            self.assertEqual(texts[i, 0], texts[i, 1])
        cut = {row["index"]: row["reason"] for row in results["generation"] if row.get("reason")}
        self.assertTrue(0 < len(cut) < 10 and all("tokens" in reason for reason in cut.values()), cut)
        self.assert_tokens_are_the_servers(cells["generation"]["models"])
        # What was cut is not kept: it is asked for again.
        before = self.counted()[1]
        _, results, _ = self.run_it(sample)
        self.assertEqual({row["index"]: row["output"] for row in results["generation"]}, {i: texts[i, 0] for i in range(10)})
        self.assertEqual(self.counted()[1] - before, 16 * len(cut))

    def test_a_seed_gives_the_same_text(self):
        self.serve(slots=1)
        self.sums(5)
        texts = []
        for seed in (1, 1, 2):
            _, results, _ = self.run_it(generated("chat/tiny", temperature=1, seed=seed, max_tokens=30))
            texts.append({row["index"]: row["output"] for row in results["generation"]})
        self.assertEqual(texts[0], texts[1])
        self.assertNotEqual(texts[0], texts[2])

    def test_any_name_is_its_model(self):
        self.serve()
        self.sums(3)
        cells, _, _ = self.run_it(generated("chat/no-such-model", max_tokens=5))
        self.assertEqual(cells["generation"]["generated"], 3)

    def test_what_does_not_fit_is_too_long(self):
        self.serve()
        self.rows([{"question": "short", "answer": "x"}, {"question": "long " * 2000, "answer": "x"}])
        for api in ("chat", "responses", "messages"):
            with self.subTest(api):
                cells, results, _ = self.run_it(generated(f"{api}/tiny", max_tokens=5))
                errors = {row["index"]: row["error"] for row in results["generation"] if row.get("error")}
                self.assertEqual({i: error["kind"] for i, error in errors.items()}, {1: "context_too_long"})

    def test_a_wrong_key_is_said_once(self):
        self.serve()
        self.write("key", "sk-wrong\n")
        self.sums(30)
        for api in ("chat", "responses", "messages"):
            with self.subTest(api):
                cells, _, err = self.run_it(evaluator=judge(f"{api}/tiny"))
                self.assertEqual((cells["judge"]["scored"], cells["judge"]["errors_by_kind"]), (0, {"auth": 30}))
                self.assertEqual(len(re.findall("paused", err)), 1, err)
                self.assertNotIn("sk-wrong", err)

    def broken_off(self, number, kinds, **settings):
        """Sends the server a signal while it answers."""
        self.serve(give_up="4s", **settings)
        self.sums(300)
        path = self.write("evaluation.toml", EVALUATION.format(
            sample=generated("chat/tiny", temperature=1, max_tokens=400), evaluator=EXACT, top=""))
        program = self.start(BIN / "assay", "run", path, "--models", self.folder / "models.toml", "--json",
                             "--ephemeral", "--output", self.folder / "out", env=self.environment, cwd=self.folder)
        wait_until(lambda: self.counted()[1] > 1000, "it has answered some")
        self.server.signal(number)
        self.assertEqual(program.wait(60), 0, program.output())
        rows = [json.loads(line) for line in (self.folder / "out/results.jsonl").read_text().splitlines()]
        rows = [row for row in rows if row["evaluator"] == "generation"]
        found = {row["error"]["kind"] for row in rows if row.get("error")}
        self.assertEqual(len(rows), 300)
        self.assertTrue(found and found <= kinds, found)
        self.assertTrue(any(not row.get("error") for row in rows))

    def test_a_killed_server_ends_the_run(self):
        self.broken_off(signal.SIGKILL, {"transport"})

    def test_a_server_that_hangs_ends_the_run(self):
        self.broken_off(signal.SIGSTOP, {"timeout", "transport"}, timeout="2s")


class MockLlm(Models):
    """mockllm of PyPI: answers by a table, as FastAPI and uvicorn speak HTTP."""

    def serve(self, answers, otherwise, **settings):
        if why := python_packages():
            self.skipTest(f"xllamacpp, gguf and mockllm cannot be installed: {why}")
        answers = self.write("answers.yml", json.dumps(
            {"responses": answers, "defaults": {"unknown_response": otherwise}}, ensure_ascii=False))
        self.listen(PYTHON, "-m", "uvicorn", "mockllm.server:app", "--host", "127.0.0.1", "--port", "0",
                    env={"MOCKLLM_RESPONSES_FILE": str(answers)})
        self.models(**settings)

    def requests(self):
        return len(re.findall('"POST /v1/', self.server.output()))

    def test_each_item_gets_its_own_text(self):
        # Whatever is in a text goes there and back unharmed.
        texts = ["plain", 'quoted "twice"', "a\nline and a\ttab", "naïve 東京 🙂", "{{ input }} {% x %}", "\\ud800 <|im_end|>"]
        rows = [{"question": f"{i}: {texts[i % len(texts)]}", "answer": f"{texts[i % len(texts)]} {i}"} for i in range(60)]
        self.rows(rows)
        self.serve({row["question"]: row["answer"] for row in rows[:-1]}, "I do not know.")
        cells, results, _ = self.run_it(generated("chat/any", temperature=0))
        self.assertEqual((cells["exact"]["scored"], cells["exact"]["errors"], cells["generation"]["generated"]), (60, 0, 60))
        self.assertEqual([row["index"] for row in results["exact"] if row["score"] != 1], [59])
        self.assertEqual(self.requests(), 60)
        self.run_it(generated("chat/any", temperature=0))
        self.assertEqual(self.requests(), 60)

    def test_a_score_of_ones_own_shape(self):
        self.serve({}, json.dumps({"score": 0.25, "reason": "always the same"}))
        cell, rows = self.judged("chat/any", count=30, inference=shape({"type": "number", "minimum": 0, "maximum": 1}))
        self.assertEqual((cell["scored"], cell["mean"], cell["models"]["calls"]), (30, 0.25, 30))
        self.assertEqual({row["reason"] for row in rows}, {"always the same"})
        self.assertGreater(cell["models"]["input_tokens"], 0)
        params = {"models": ["chat/any"], "prompt": "Is {{ output }} good?", "inference_params": shape({"type": "number"})}
        out, _ = self.assay("evaluators", "test", "judge/judge", "--models", self.folder / "models.toml", "--json",
                            "--params", json.dumps(params), "--item", '{"sample": "a"}', env=self.environment)
        self.assertEqual(json.loads(out)["score"], 0.25)

    def test_a_judge_that_knows_nothing_scores_nothing(self):
        self.serve({}, "TRUE? FALSE? I do not know.")
        cell, _ = self.judged("chat/any", count=30)
        self.assertEqual((cell["scored"], cell["errors_by_kind"]), (0, {"judge_parse": 30}))

    def test_a_server_that_always_fails_ends_the_run(self):
        # It takes no content blocks in messages, and says so by a 500 in plain text.
        self.serve({}, "x", give_up="2s")
        cell, rows = self.judged("messages/any", count=10, kinds={"transport"})
        self.assertEqual(cell["errors"], 10)
        self.assertIn("Internal Server Error", rows[0]["error"]["message"])


class MockLlmOfNode(Models):
    """mock-llm of npm: answers by rules, as Node and Express speak HTTP."""

    def serve(self, *rules, **settings):
        if why := node_package():
            self.skipTest(f"{NODE_PACKAGE} cannot be installed: {why}")
        rules = self.write("rules.json", json.dumps({"rules": [{"path": "/v1/chat/completions", **rule} for rule in rules]}))
        with socket.socket() as free:  # it takes no port 0
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.listen("node", FOLDER / "node/node_modules/@dwmkerr/mock-llm/dist/main.js", "--config", rules,
                    env={"HOST": "127.0.0.1", "PORT": str(port)})
        self.models(**settings)

    def requests(self):
        return self.server.output().count("POST /v1/")

    @staticmethod
    def rule(content, status=200, **match):
        """A rule that answers with a document; strings in it may be templates."""
        return {**match, "response": {"status": status, "content": json.dumps(content)}}

    def says(self, text, **match):
        return self.rule({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}, **match)

    def test_what_fails_for_a_while_is_asked_again(self):
        failures = [self.rule({"error": {"message": "overloaded"}}, status, sequence=i)
                    for i, status in enumerate((429, 500, 503, 502, 408))]
        self.serve(self.says(json.dumps({"score": 1, "reason": ""})), *failures, give_up="60s")
        cell, _ = self.judged("chat/any", count=20, inference=shape({"type": "integer"}))
        self.assertEqual((cell["scored"], cell["mean"]), (20, 1))
        self.assertEqual(self.requests(), 25)
        self.assertGreater(cell["models"]["input_tokens"], 0)  # estimated: it tells none

    def test_an_echo_is_no_verdict(self):
        echo = {"role": "assistant", "content": "{{jmes request body.model}} {{jmes request body.max_tokens}} TRUE"}
        self.serve(self.rule({"choices": [{"message": echo, "finish_reason": "stop"}]}))
        cell, _ = self.judged("chat/TRUE", count=10, inference={"max_tokens": 7})
        self.assertEqual((cell["scored"], cell["errors_by_kind"]), (0, {"judge_parse": 10}))

    def test_a_path_that_is_not_there(self):
        self.serve(self.says("x"))
        self.sums(10)
        cells, results, _ = self.run_it(evaluator=judge("responses/any"))
        self.assertEqual(cells["judge"]["errors_by_kind"], {"config": 10})
        self.assertIn("404", results["judge"][0]["error"]["message"])


if __name__ == "__main__":
    main()
