"""The control plane: shards a second, outcomes a second, metrics, lists and a small run beside a large one, over
HTTP against a real server, on SQLite and on PostgreSQL; and graphile-worker on the same PostgreSQL as a yardstick."""
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from postgres import Postgres, programs

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / "build" / "release" / "bin"
CLAIMERS = 8
BATCH = 100
SPEC = json.dumps({"id": "run_x", "items": 0, "trials": 1, "models": [""],
                   "evaluators": [{"index": 0, "id": "eval_x", "name": "x"}]})


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=120)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect(self.path)

    def ask(self, method, path, body=None, key="", kind="application/json"):
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        self.request(method, path, body=body, headers={"Authorization": f"Bearer {key}", "Content-Type": kind})
        answer = self.getresponse()
        data = answer.read()
        if answer.status not in (200, 201, 204):
            raise RuntimeError(f"{method} {path}: {answer.status} {data[:300]!r}")
        return data


class Sqlite:
    name = "sqlite"

    def __init__(self, folder):
        self.store = str(folder / "assay.db")

    def sql(self, *statements):
        with contextlib.closing(sqlite3.connect(self.store, timeout=60)) as db, db:
            for statement in statements:
                db.execute(statement)

    def numbers(self, count):
        return (f"(WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count}) "
                "SELECT i FROM n)")

    def settle(self):
        self.sql("ANALYZE")

    def stop(self):
        pass


class OnPostgres:
    name = "postgres"

    def __init__(self, folder):
        self.server = Postgres(settings=["shared_buffers=256MB", "max_wal_size=4GB"])
        self.store = self.server.address()

    def sql(self, *statements):
        self.server.sql(";\n".join(statements) + ";")

    def numbers(self, count):
        return f"(SELECT generate_series(0, {count} - 1) AS i) AS n"

    def settle(self):
        self.sql("VACUUM ANALYZE")

    def stop(self):
        self.server.stop()


class Api:
    """One `assay serve` on a store."""

    def __init__(self, folder, store):
        self.socket = str(folder / "api.sock")
        self.store = store.store
        self.log = open(folder / "api.log", "wb")
        self.process = None

    def key(self, *scopes, project="default"):
        options = [part for scope in scopes for part in ("--scope", scope)]
        done = subprocess.run([BIN / "assay", "key", "create", "--store", self.store, "--project", project, *options],
                              check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def start(self):
        self.process = subprocess.Popen([BIN / "assay", "serve", "--listen", f"unix:{self.socket}", "--store", self.store],
                                        stdout=self.log, stderr=self.log, env={**os.environ, "ASSAY_LOG_ACCESS": "false", "ASSAY_API_LEASE_TTL": "10m"})
        end = time.monotonic() + 30
        while True:
            try:
                Connection(self.socket).ask("GET", "/healthz")
                return
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                time.sleep(0.02)

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)
        self.log.close()


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


def insert_run(store, run, status, items, shards, state, shard_size, priority=0, done=0):
    """A run as the planner would have made it, without its rows: nobody reads them here."""
    spec = SPEC.replace("'", "''")
    store.sql(
        "INSERT INTO runs(id, public_id, project, container, environment, status, items, models, evaluators, trials, "
        f"shards, shards_done, spec, detail, priority, created_at) VALUES({run}, 'run_{run}', 1, 0, 'main', {status}, "
        f"{items}, 1, 1, 1, {shards}, {done}, '{spec}', '{{}}', {priority}, 1)",
        f"INSERT INTO shards(run, idx, lo, hi, state) SELECT {run}, i, i * {shard_size}, (i + 1) * {shard_size}, {state} "
        f"FROM {store.numbers(shards)}")


class Worker:
    def __init__(self, api, key, name):
        self.connection = Connection(api.socket)
        self.key = key
        answer = json.loads(self.connection.ask("POST", "/v1/workers", {
            "name": name, "boot_id": "b", "protocol": 1, "sandbox": "full"}, key))
        self.who = {"worker_id": answer["worker_id"], "boot_id": "b"}
        self.turn = 0

    def claim(self, most):
        self.turn += 1
        data = self.connection.ask("POST", "/v1/claims", {**self.who, "claim_id": str(self.turn), "max": most,
                                                           "wait_ms": 0}, self.key)
        return json.loads(data)["leases"] if data else []

    def complete(self, leases):
        named = [{k: lease[k] for k in ("run", "shard", "epoch", "token")} for lease in leases]
        answer = json.loads(self.connection.ask("POST", "/v1/complete", {**self.who, "leases": named}, self.key))
        assert all(one["verdict"] == "done" for one in answer["leases"]), answer["leases"][:3]


def together(work, count):
    """Runs work(i) on so many threads and returns what each gave; a failure of one is raised."""
    results, failures = [None] * count, []

    def run(i):
        try:
            results[i] = work(i)
        except Exception as error:  # handed to the caller
            failures.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results


def shards(store, api, key, done, waiting):
    """Claim → finish of empty shards, with `done` of them in the table already."""
    insert_run(store, 9000001001, 3, 0, done, 2, 0, done=done)
    insert_run(store, 9000001002, 0, 0, waiting, 0, 0)
    store.settle()
    workers = [Worker(api, key, f"w{i}") for i in range(CLAIMERS)]

    def burn(i):
        times, count = [], 0
        while True:
            begin = time.perf_counter()
            leases = workers[i].claim(BATCH)
            times.append(time.perf_counter() - begin)
            if not leases:
                return count, times
            workers[i].complete(leases)
            count += len(leases)

    begin = time.perf_counter()
    results = together(burn, CLAIMERS)
    seconds = time.perf_counter() - begin
    assert sum(r[0] for r in results) == waiting, [r[0] for r in results]
    times = [t for r in results for t in r[1]]
    return {"shards": waiting, "done_before": done, "seconds": round(seconds, 2), "shards_per_s": round(waiting / seconds),
            "claim_of_100_p50_ms": round(percentile(times, 0.5) * 1e3, 2),
            "claim_of_100_p99_ms": round(percentile(times, 0.99) * 1e3, 2)}


def claims(store, api, key, waiting, rounds):
    """How long one claim of a few shards takes while about `waiting` wait; what is claimed goes back."""
    insert_run(store, 9000001003, 0, 0, waiting, 0, 0)
    store.settle()
    workers = [Worker(api, key, f"c{i}") for i in range(CLAIMERS)]

    def turn(i):
        times = []
        for _ in range(rounds):
            begin = time.perf_counter()
            leases = workers[i].claim(4)
            times.append(time.perf_counter() - begin)
            workers[i].complete(leases)
        return times

    times = [t for r in together(turn, CLAIMERS) for t in r]
    store.sql("UPDATE shards SET state = 3 WHERE run = 9000001003 AND state < 2", "UPDATE runs SET status = 5 WHERE id = 9000001003")
    return {"waiting": waiting, "claims": len(times), "p50_ms": round(percentile(times, 0.5) * 1e3, 2),
            "p99_ms": round(percentile(times, 0.99) * 1e3, 2)}


def outcomes_body(who, lease, first, count, number):
    rows = ",".join(f'{{"item":{i},"score":{(i * 37 % 101) / 100},"passed":{"true" if i % 3 else "false"},'
                    '"reason":"the answer is the one that was expected","usage":{"wall_us":'
                    f'{1000 + i % 500},"cpu_us":900,"memory_bytes":1048576,"method":"cgroup2"}}}}'
                    for i in range(first, first + count))
    return (f'{{"worker_id":"{who["worker_id"]}","boot_id":"b","epoch":{lease["epoch"]},"token":"{lease["token"]}",'
            f'"batch":{number},"outcomes":[{rows}]}}')


def scores(store, api, key, admin, total):
    """Outcomes in batches of 1,000, each durable when acknowledged; then the metrics of the run."""
    shard = 10_000
    insert_run(store, 9000001004, 0, total, total // shard, 0, shard)
    store.settle()
    workers = [Worker(api, key, f"s{i}") for i in range(CLAIMERS)]
    leases = workers[0].claim(total // shard)
    assert len(leases) == total // shard
    named = [{k: lease[k] for k in ("run", "shard", "epoch", "token")} for lease in leases]
    workers[0].connection.ask("POST", "/v1/heartbeat", {**workers[0].who, "leases": named}, key)
    # The client's own work is not what is measured: bodies are made before.
    bodies = [(lease, outcomes_body(workers[0].who, lease, lease["lo"] + k * 1000, 1000, k + 1))
              for lease in leases for k in range(shard // 1000)]
    lock, left = threading.Lock(), list(reversed(bodies))

    def post(i):
        while True:
            with lock:
                if not left:
                    return
                lease, body = left.pop()
            answer = workers[i].connection.ask("POST", f"/v1/runs/{lease['run']}/shards/{lease['shard']}/outcomes", body, key)
            assert json.loads(answer)["inserted"] == 1000

    begin = time.perf_counter()
    together(post, CLAIMERS)
    seconds = time.perf_counter() - begin
    result = {"outcomes": total, "seconds": round(seconds, 2), "outcomes_per_s": round(total / seconds)}
    reader = Connection(api.socket)
    times = []
    for _ in range(2):
        begin = time.perf_counter()
        run = json.loads(reader.ask("GET", "/v1/evaluation/runs/run_9000001004", key=admin))
        times.append(time.perf_counter() - begin)
        assert run["metrics"][0]["count"] == total, run["metrics"]
    result["metrics_s"] = round(times[0], 2)
    result["metrics_again_ms"] = round(times[1] * 1e3, 1)
    workers[0].complete(leases)
    begin = time.perf_counter()
    while json.loads(reader.ask("GET", "/v1/evaluation/runs/run_9000001004/results?limit=1", key=admin)) and \
            json.loads(reader.ask("GET", "/v1/evaluation/runs?limit=1&status=completed", key=admin))["total"] < 1:
        time.sleep(0.02)
    result["finalized_s"] = round(time.perf_counter() - begin, 2)
    return result


def lists(store, api, admin, count):
    spec = SPEC.replace("'", "''")
    store.sql(
        "INSERT INTO runs(public_id, project, container, environment, status, items, models, evaluators, trials, shards, "
        f"shards_done, spec, detail, metrics, created_at) SELECT 'run_l' || i, 1, 0, 'main', 3, 10, 1, 1, 1, 1, 1, '{spec}', "
        f"'{{}}', '[]', 1 FROM {store.numbers(count)}")
    store.settle()
    reader = Connection(api.socket)
    times = []
    for i in range(300):
        begin = time.perf_counter()
        reader.ask("GET", f"/v1/evaluation/runs?limit=20&offset={i * 7 % 200}", key=admin)
        times.append(time.perf_counter() - begin)
    return {"runs": count, "p50_ms": round(percentile(times, 0.5) * 1e3, 2), "p99_ms": round(percentile(times, 0.99) * 1e3, 2)}


LUA = "function run_evaluation(item) return {score = item.index % 2} end"


def small_run(folder, api, rows):
    """A real worker of the fleet is busy with a large run of one tenant; another tenant starts a small one."""
    keys = {name: api.key("admin", "submit", "read", project=name) for name in ("large", "small")}
    fleet = folder / "fleet.key"
    fleet.write_text(api.key("worker", project="*"))
    connection = Connection(api.socket)
    for name, count in (("large", rows), ("small", 10)):
        lines = "".join(f'{{"input":"{i}","output":"{i}"}}\n' for i in range(count))
        connection.ask("POST", "/v1/datasets?name=rows", lines, keys[name], "application/jsonl")
        connection.ask("POST", "/v1/containers", {"label": "app"}, keys[name])
        connection.ask("POST", "/v1/evaluators", {"name": "e", "type": "code", "language": "lua", "code": LUA}, keys[name])

    def create(name):
        side = {"type": "dataset", "dataset": "rows"}
        return json.loads(connection.ask("POST", "/v1/evaluation/runs", {
            "container": "app", "evaluators": ["e"], "sample": side, "ground_truth": side}, keys[name]))["id"]

    def done(name, run):
        page = json.loads(connection.ask("GET", f"/v1/evaluation/runs/{run}/results?limit=1", key=keys[name]))
        return page["total"]

    worker = subprocess.Popen([BIN / "assayd"], stdout=api.log, stderr=api.log, env={
        **os.environ, "ASSAY_API_URL": f"unix:{api.socket}", "ASSAY_API_KEY_FILE": str(fleet), "ASSAY_WORKER_NAME": "fleet",
        "ASSAY_SPOOL_FOLDER": str(folder / "spool")})
    try:
        large = create("large")
        end = time.monotonic() + 120
        while done("large", large) < 5000:
            assert time.monotonic() < end, "the large run does not begin"
            time.sleep(0.05)
        first, whole = [], []
        for _ in range(5):
            begin = time.perf_counter()
            run = create("small")
            while done("small", run) == 0:
                time.sleep(0.005)
            first.append(time.perf_counter() - begin)
            while done("small", run) < 10:
                time.sleep(0.005)
            whole.append(time.perf_counter() - begin)
        busy = done("large", large)
        assert busy < rows, "the large run has ended meanwhile: nothing was measured"
        return {"large_items": rows, "first_score_s": [round(t, 3) for t in first], "all_ten_s": [round(t, 3) for t in whole]}
    finally:
        worker.kill()
        worker.wait()


def yardstick(jobs):
    """graphile-worker (npm) with jobs that do nothing, on a PostgreSQL of its own with the same settings."""
    if shutil.which("npm") is None:
        return {"skipped": "npm is not installed"}
    with tempfile.TemporaryDirectory(prefix="assay-yardstick-") as folder:
        done = subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "graphile-worker@0.16"], cwd=folder,
                              capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            return {"skipped": "npm cannot install graphile-worker here"}
        server = Postgres(settings=["shared_buffers=256MB", "max_wal_size=4GB"])
        try:
            shutil.copy(ROOT / "bench" / "yardstick.cjs", folder)
            done = subprocess.run(["node", "yardstick.cjs", str(server.folder), str(jobs)], cwd=folder, capture_output=True,
                                  text=True, timeout=600)
            if done.returncode != 0:
                return {"skipped": done.stderr.strip().splitlines()[-1:] or ["failed"]}
            return json.loads(done.stdout)
        finally:
            server.stop()


def measure_store(make, options):
    with tempfile.TemporaryDirectory(prefix="assay-control-") as name:
        folder = pathlib.Path(name)
        os.chmod(folder, 0o755)
        store = make(folder)
        api = Api(folder, store)
        try:
            api.start()
            admin, worker = api.key("admin", "submit", "read"), api.key("worker")
            result = {"shards": shards(store, api, worker, options["done"], options["waiting"]),
                      "claims": claims(store, api, worker, 10_000, 100),
                      "scores": scores(store, api, worker, admin, options["outcomes"]),
                      "runs": lists(store, api, admin, options["runs"]),
                      "small_run": small_run(folder, api, options["rows"])}
            return result
        finally:
            api.stop()
            store.stop()


def measure(scale=1.0):
    options = {"done": int(1_000_000 * scale), "waiting": int(100_000 * scale), "outcomes": int(1_000_000 * scale),
               "runs": int(100_000 * scale), "rows": max(100_000, int(1_000_000 * scale))}  # fewer end while they are measured beside
    results = {"sqlite": measure_store(Sqlite, options)}
    if programs() is None:
        results["postgres"] = {"skipped": "PostgreSQL's server is not installed"}
    else:
        results["postgres"] = measure_store(OnPostgres, options)
        results["graphile-worker"] = yardstick(int(100_000 * scale))
    return results


def show(results):
    for store, parts in results.items():
        if "shards" not in parts:
            print(f"{store:16}", parts)
            continue
        for part, figures in parts.items():
            print(f"{store:10}{part:10}", "  ".join(f"{k} {v}" for k, v in figures.items()))


if __name__ == "__main__":
    show(measure(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))
