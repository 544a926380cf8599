"""Judges: calls against the ideal of an endpoint's latency, a provider with limits that change, and what a plugin
costs. The endpoint is `assay mock-llm`; a run goes through a real server and real workers."""
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

from control import BIN, Api, Connection, Sqlite

KEY = "sk-bench-mock"
MODELS = """
[providers.mock]
api = "chat.completions"
base_url = "http://{address}/v1"
key_file = "{folder}/key"
max_in_flight = {in_flight}
start_in_flight = {in_flight}
[models."mock/judge"]
model = "mock"
price = {{ input = 1, output = 10 }}
"""
RULES = """
keys = ["{key}"]
latency = "{latency}"
{limits}
[[rule]]
verdict = "equal"
"""
TICKS = os.sysconf("SC_CLK_TCK")


class Mock:
    def __init__(self, folder, latency, limits=""):
        (folder / "rules.toml").write_text(RULES.format(key=KEY, latency=latency, limits=limits))
        (folder / "key").write_text(KEY)
        self.process = subprocess.Popen([BIN / "assay", "mock-llm", "--listen", "127.0.0.1:0", "--rules", folder / "rules.toml"],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.address = re.search(r"http://([\d.]+:\d+)/", self.process.stdout.readline()).group(1)

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.address, timeout=30)
        connection.request(method, path, json.dumps(body) if body is not None else None)
        answer = connection.getresponse().read()
        connection.close()
        return json.loads(answer) if answer else None

    def stats(self):
        return self.ask("GET", "/mock/stats")

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


class Worker:
    def __init__(self, folder, name, api, key, in_flight, mock):
        self.folder, self.name = folder / name, name
        self.folder.mkdir()
        (self.folder / "key").write_text(key)
        (self.folder / "models.toml").write_text(MODELS.format(address=mock.address, folder=folder, in_flight=in_flight))
        settings = {"API_URL": f"unix:{api.socket}", "API_KEY_FILE": self.folder / "key", "WORKER_NAME": name,
                    "WORKER_SHARDS": 16, "WORKER_ITEMS": max(512, 2 * in_flight), "SPOOL_FOLDER": self.folder / "spool",
                    "MODELS_FILE": self.folder / "models.toml", "MODELS_CACHE": self.folder / "replies",
                    "METRICS_LISTEN": f"unix:{self.folder}/metrics", "LOG_LEVEL": "warn"}
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen([BIN / "assayd"], stdout=self.log, stderr=self.log,
                                        env={**os.environ, **{f"ASSAY_{k}": str(v) for k, v in settings.items()}})
        while self.sent() is None:
            if self.process.poll() is not None:
                sys.exit((self.folder / "log").read_text())
            time.sleep(0.05)

    def sent(self):
        """Requests since its start; None until it can be asked and is ready."""
        try:
            connection = Connection(str(self.folder / "metrics"))
            connection.request("GET", "/readyz")
            if connection.getresponse().status != 200:
                return None
            connection = Connection(str(self.folder / "metrics"))
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        except OSError:
            return None
        return sum(int(n) for n in re.findall(r'^assay_provider_requests_total{.*} (\d+)', text, re.M))

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def peak_mb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) / 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
        self.log.close()


def begin(connection, admin, count):
    def post(path, body):
        return json.loads(connection.ask("POST", "/v1" + path, body, admin))

    post("/containers", {"label": "bench"})
    rows = "".join(json.dumps({"q": f"What is {i} and {i} in words that anyone would understand?", "a": f"The answer is {2 * i}."})
                   + "\n" for i in range(count))
    connection.ask("POST", "/v1/datasets?name=rows", rows.encode(), admin, "application/jsonl")
    post("/evaluators", {"name": "judge", "type": "judge", "model": "mock/judge",
                         "prompt": "Question: {{ input }}\nAnswer: {{ output }}\nReference: {{ expected }}\nThe same?"})
    side = {"type": "dataset", "dataset": "rows", "columns": {"input": "q", "output": "a"}}
    return post("/evaluation/runs", {"container": "bench", "evaluators": ["judge"], "sample": side, "ground_truth": side})["id"]


class Scene:
    """A server, workers and a mock, in a folder that goes with them."""

    def __init__(self, latency, in_flight, workers=1, limits=""):
        self.holder = tempfile.TemporaryDirectory(prefix="assay-bench-")
        folder = pathlib.Path(self.holder.name)
        self.mock = Mock(folder, latency, limits)
        self.api = Api(folder, Sqlite(folder))
        self.api.start()
        self.admin, key = self.api.key("admin", "submit", "read"), self.api.key("worker")
        self.workers = [Worker(folder, f"w{i}", self.api, key, in_flight, self.mock) for i in range(workers)]
        self.connection = Connection(self.api.socket)

    def run(self, run):
        return json.loads(self.connection.ask("GET", f"/v1/evaluation/runs/{run}", key=self.admin))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for part in (*self.workers, self.api, self.mock):
            part.stop()
        self.holder.cleanup()


def calls(count, milliseconds, in_flight):
    with Scene(f"{milliseconds}ms", in_flight) as scene:
        worker = scene.workers[0]
        used = worker.cpu_seconds()
        began = time.monotonic()
        run = begin(scene.connection, scene.admin, count)
        submitted = time.monotonic()
        while (now := scene.run(run))["status"] not in ("completed", "error"):
            time.sleep(0.02)
        seconds = time.monotonic() - submitted
        metrics = now["metrics"][0]
        assert metrics["scored"] == count, metrics
        ideal = count * milliseconds / 1000 / in_flight
        return {"calls": count, "latency_ms": milliseconds, "in_flight": in_flight, "seconds": round(seconds, 2),
                "ideal_seconds": ideal, "times_ideal": round(seconds / ideal, 3),
                "submit_seconds": round(submitted - began, 2),
                "daemon_cores": round((worker.cpu_seconds() - used) / seconds, 2), "daemon_peak_mb": round(worker.peak_mb(), 1)}


def provider(workers, seconds=25):
    """A rate of requests that is divided by four and multiplied by four again, each after `seconds`."""
    rates = [6000, 1500, 6000]
    with Scene("50ms", 256, workers, f"[limits]\nrequests_per_minute = {rates[0]}\nburst = \"1s\"") as scene:
        begin(scene.connection, scene.admin, 40_000)
        phases = []
        for rate in rates:
            scene.mock.ask("POST", "/mock/limits", {"requests_per_minute": rate})
            time.sleep(10)  # what a worker has to find its rate
            before, sent, began = scene.mock.stats(), [w.sent() for w in scene.workers], time.monotonic()
            time.sleep(seconds - 10)
            after, took = scene.mock.stats(), time.monotonic() - began
            answered = after["requests"] - before["requests"]
            refused = after["rate_limited"] - before["rate_limited"]
            shares = [w.sent() - s for w, s in zip(scene.workers, sent)]
            phases.append({"allowed_per_s": rate / 60, "used": round((answered - refused) / (took * rate / 60), 3),
                           "refused": round(refused / max(1, answered), 4), "by_worker": shares})
        return {"workers": workers, "phases": phases, "early_retries": scene.mock.stats()["early_retries"]}


def plugin(evaluator, hosts):
    done = subprocess.run([BIN / "assay-bench-plugin", "--json", "--evaluator", evaluator, "--hosts", str(hosts)],
                          check=True, capture_output=True)
    return json.loads(done.stdout)


def measure():
    return {"calls": [calls(10_000, 50, 100), calls(10_000, 500, 1_000)],
            "provider": [provider(1), provider(2)],
            "plugin": [plugin("nothing", 1), plugin("exact", 2)]}


def show(results):
    for row in results["calls"]:
        print(f"{row['calls']:,} calls of {row['latency_ms']} ms, {row['in_flight']:,} in flight: {row['seconds']} s, "
              f"{row['times_ideal']} x ideal, {row['daemon_cores']} cores and {row['daemon_peak_mb']} MB in the worker")
    for row in results["provider"]:
        for phase in row["phases"]:
            print(f"{row['workers']} workers, {phase['allowed_per_s']:.0f}/s allowed: {phase['used']:.1%} used, "
                  f"{phase['refused']:.2%} refused, by worker {phase['by_worker']}")
        print(f"{row['workers']} workers: {row['early_retries']} requests before their Retry-After")
    for row in results["plugin"]:
        print("plugin  " + "  ".join(f"{key} {value}" for key, value in row.items()))
