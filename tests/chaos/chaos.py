#!/usr/bin/env python3
"""Runs evaluations on a machine where everything that can fail does, and then checks that nothing shows.

3 workers and 2 API replicas on PostgreSQL, with the proxy between. First every kind of run is made once in peace. Then, for
--seconds, runs are made while processes are killed and stopped, the database crashes, a disk fills and the network misbehaves;
then all that is left to finish finishes, and is compared with what peace gave: byte for byte. --seed repeats the plan of the
faults (not the microseconds between them)."""
import argparse
import collections
import contextlib
import heapq
import json
import os
import random
import re
import signal
import sys
import time

from proxy import Plan
from stack import Stack, wait_until

TTL = 3.0  # seconds
ROWS = 1000
LIMITS = {"wall_ms": 120_000, "cpu_ms": 60_000, "load_ms": 120_000}  # the machine is busy: time is not what is tested
LUA = """
function run_evaluation(item)
  local x = 0
  for i = 1, 60000 + item.index % 7 * 40000 do x = x + i % 7 end
  assay.log("item " .. item.index)
  if item.index % 50 == 7 then error("never mind") end
  if item.index % 50 == 11 then return {score = "high"} end
  return {score = (item.index * 37 % 101) / 100, reason = string.rep("r", item.index % 300), metrics = {x = x}}
end
"""
PYTHON = """
import hashlib

def run_evaluation(item):
    digest = hashlib.sha256(item["sample"]["text"].encode()).digest()
    print("digest", digest.hex())
    if item["index"] % 40 == 3:
        raise ValueError("not this one")
    return {"score": digest[0] / 255, "passed": digest[1] > 90, "metrics": {"last": digest[-1] / 7}}
"""
SHELL = """
length=$(wc -c)
if [ $((length % 10)) = 3 ]; then echo "no luck" >&2; exit 3; fi
echo "0.$((length % 1000))"
"""
EVALUATORS = {"lua": LUA, "python": PYTHON, "shell": SHELL}
# name: (the request, items)
SHAPES = {
    "lua+python": ({"evaluators": ["lua", "python"], "shard_size": 20, "sample": {"limit": 500}}, 500),
    "lua+shell": ({"evaluators": ["lua", "shell"], "shard_size": 7, "sample": {"limit": 90, "shuffle_seed": 5}}, 90),
    "trials": ({"evaluators": ["python", "lua"], "shard_size": 10, "trials": 2, "sample": {"limit": 150, "offset": 300}}, 150),
    "tiny shards": ({"evaluators": ["lua"], "shard_size": 1, "sample": {"limit": 200}}, 200),
}


def furnish(stack):
    lines = "".join(json.dumps({"id": f"row-{i}", "input": str(i), "output": f"{i} " + "wörd " * (i % 90)}) + "\n"
                    for i in range(ROWS))
    stack.ok("POST", "/v1/datasets?name=rows", lines.encode(), headers={"Content-Type": "application/jsonl"})
    stack.ok("POST", "/v1/containers", {"label": "app"})
    for language, code in EVALUATORS.items():
        stack.ok("POST", "/v1/evaluators", {"name": language, "type": "code", "language": language, "code": code,
                                            "pass_threshold": 0.5, "limits": LIMITS})


def create(stack, shape, key, **how):
    request, _ = SHAPES[shape]
    side = {"type": "dataset", "dataset": "rows", **request["sample"]}
    truth = {"type": "dataset", "dataset": "rows"}
    if "shuffle_seed" not in side:
        truth.update(request["sample"])
    else:
        truth = side
    body = {"container": "app", **request, "sample": side, "ground_truth": truth}
    return stack.ok("POST", "/v1/evaluation/runs", body, headers={"Idempotency-Key": key}, **how)["id"]


def outcome_of(stack, run):
    """All that a run says but times and its own name: the same whoever computed it, and in spite of what."""
    def clean(value):
        if isinstance(value, dict):
            return {k: clean(v) for k, v in value.items() if k not in ("latency", "latency_ms", "usage")}
        return [clean(v) for v in value] if isinstance(value, list) else value
    # Numbers stay the text they were: 0.1 and 0.10 differ.
    lines = [json.dumps(clean(json.loads(line, parse_float=str, parse_int=str)))
             for line in stack.results(run).splitlines()]
    answer = json.loads(stack.ok("GET", f"/v1/evaluation/runs/{run}", text=True), parse_float=str, parse_int=str)
    return {"status": answer["status"], "error": answer.get("error"), "metrics": json.dumps(clean(answer["metrics"])),
            "results": lines}


class Chaos:
    def __init__(self, stack, seed, seconds, rate, log):
        self.stack, self.seconds, self.log = stack, seconds, log
        self.random = random.Random(seed)
        self.plan = Plan(seed, rate)
        self.counts = collections.Counter()
        self.due = []  # (when, n, what): what is to be done later
        self.busy = set()  # whom a fault has in hand
        self.problems = []
        self.runs = {}  # id: shape
        self.open = []
        self.order = 0
        self.database_lost = -1e9
        self.network = stack.proxy.counts

    # What can happen, by kind. Each returns False when there is nobody to do it to.

    def free(self, nodes):
        nodes = [n for n in nodes if n.name not in self.busy and n.up]
        return self.random.choice(nodes) if nodes else None

    def later(self, seconds, what):
        self.order += 1
        heapq.heappush(self.due, (time.monotonic() + seconds, self.order, what))

    def start_again(self, node):
        def start():
            node.start()
            self.busy.discard(node.name)
        self.later(self.random.uniform(0.02, 2), start)

    def end(self, nodes, how):
        node = self.free(nodes)
        if not node:
            return False
        self.busy.add(node.name)
        how(node)
        self.start_again(node)
        return True

    def drain(self, nodes):
        node = self.free(nodes)
        if not node:
            return False
        self.busy.add(node.name)
        node.signal(signal.SIGTERM)
        deadline = time.monotonic() + 60

        def look():
            if node.up and time.monotonic() < deadline:
                return self.later(0.1, look)
            if node.process.poll() != 0:
                self.problem(f"{node.name} did not leave after SIGTERM: {node.process.poll()}", node)
                node.kill()
            self.start_again(node)
        look()
        return True

    def stop(self, nodes, seconds, whole):
        node = self.free(nodes)
        if not node:
            return False
        self.busy.add(node.name)
        (node.signal_family if whole else node.signal)(signal.SIGSTOP)

        def wake():
            (node.signal_family if whole else node.signal)(signal.SIGCONT)
            self.busy.discard(node.name)
        self.later(seconds, wake)
        return True

    def crash_database(self):
        if "database" in self.busy:
            return False
        self.busy.add("database")
        self.stack.database.kill()
        self.database_lost = time.monotonic()

        def start():
            try:
                self.stack.database.start()
            except RuntimeError:  # children of the last one are still about
                return self.later(0.2, start)
            self.database_lost = time.monotonic()
            self.busy.discard("database")
        self.later(self.random.uniform(0.1, 3), start)
        return True

    def terminate_backends(self):
        if "database" in self.busy:
            return False
        self.database_lost = time.monotonic()
        with contextlib.suppress(RuntimeError):  # it comes back from a crash just now
            self.stack.database.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'assay' "
                                    f"AND pid <> pg_backend_pid() AND random() < {self.random.uniform(0.2, 1)}")
        return True

    def fill_disk(self):
        disks = [d for d in self.stack.disks if d.mounted and str(d.path) not in self.busy]
        if not disks:
            return False
        disk = self.random.choice(disks)
        self.busy.add(str(disk.path))
        disk.fill()

        def empty():
            disk.free()
            self.busy.discard(str(disk.path))
        self.later(self.random.uniform(0.5, 4), empty)
        return True

    def faults(self):
        """kind: (weight, what it does)"""
        workers, replicas = list(self.stack.workers.values()), self.stack.replicas
        return {
            "worker.kill": (5, lambda: self.end(workers, lambda n: n.kill())),
            "worker.power": (3, lambda: self.end(workers, lambda n: n.power_off())),
            "worker.stop": (3, lambda: self.stop(workers, self.random.uniform(1.1, 2) * TTL, False)),
            "worker.freeze": (2, lambda: self.stop(workers, self.random.uniform(0.3, 2) * TTL, True)),
            "worker.drain": (2, lambda: self.drain(workers)),
            "api.kill": (4, lambda: self.end(replicas, lambda n: n.kill())),
            "api.stop": (2, lambda: self.stop(replicas, self.random.uniform(0.2, 4), True)),
            "api.drain": (1, lambda: self.drain(replicas)),
            "database.crash": (1, self.crash_database),
            "database.disconnect": (3, self.terminate_backends),
            "disk.full": (3, self.fill_disk),
        }

    # The time of trouble.

    def problem(self, text, node=None):
        self.log(f"PROBLEM: {text}")
        if node:
            text += "\n" + "".join(f"    {line}\n" for line in node.log().splitlines()[-15:])
        self.problems.append(text)

    def watch(self):
        """Starts again what ended by itself, as systemd would, and remembers what should not have."""
        for node in [*self.stack.workers.values(), *self.stack.replicas]:
            if node.up or node.name in self.busy:
                continue
            # A server without its database refuses to start, and says so.
            away = "database" in self.busy or time.monotonic() - self.database_lost < 10
            starting = node in self.stack.replicas and away
            self.counts["restart"] += 1
            if not starting or node.process.returncode != 3:
                self.problem(f"{node.name} ended by itself: {node.process.poll()}", node)
            self.busy.add(node.name)
            self.start_again(node)

    def do_due(self):
        while self.due and self.due[0][0] <= time.monotonic():
            heapq.heappop(self.due)[2]()

    def keep_busy(self):
        """Two runs are open at all times. The API may be away: then later."""
        try:
            self.open = [r for r in self.open if self.stack.ok("GET", f"/v1/evaluation/runs/{r}", seconds=0, patience=1)["status"] in
                         ("queued", "running")]
            while len(self.open) < 2:
                shape = list(SHAPES)[len(self.runs) % len(SHAPES)]
                run = create(self.stack, shape, f"chaos-{len(self.runs)}", seconds=0, patience=2)
                self.runs[run] = shape
                self.open.append(run)
        except AssertionError as error:
            if not re.search(r": (0|429|500|502|503) ", str(error)):
                raise

    def trouble(self):
        faults = self.faults()
        kinds, weights = list(faults), [weight for weight, _ in faults.values()]
        self.stack.proxy.decide = self.plan
        began = time.monotonic()
        next_fault = next_look = began
        while time.monotonic() < began + self.seconds:
            self.do_due()
            self.watch()
            self.stack.look_for_spawners()
            if time.monotonic() >= next_fault:
                kind = self.random.choices(kinds, weights)[0]
                if faults[kind][1]():
                    self.counts[kind] += 1
                    self.log(f"{time.monotonic() - began:6.1f} s  {kind}")
                next_fault = time.monotonic() + self.random.expovariate(1 / 0.7)
            if time.monotonic() >= next_look:
                self.keep_busy()
                next_look = time.monotonic() + 0.5
            time.sleep(0.02)

    def settle(self):
        """No more faults, and what they did is undone."""
        self.stack.proxy.decide = lambda request: None
        while self.due:
            self.do_due()
            time.sleep(0.02)
        def all_up():
            self.watch()
            self.do_due()
            return all(self.stack.healthy(i) for i in range(len(self.stack.replicas)))
        wait_until(all_up, "all replicas answer again")
        while self.due:
            self.do_due()
            time.sleep(0.02)
        for run in self.runs:
            self.stack.finished(run, 180)

    # When the dust has settled.

    def check(self, calm):
        for run, shape in self.runs.items():
            was, now = calm[shape], outcome_of(self.stack, run)
            for what in was:
                if was[what] == now[what]:
                    continue
                pairs = [(a, b) for a, b in zip(was[what], now[what]) if a != b] if what == "results" else [(was[what], now[what])]
                self.problem(f"run {run} ({shape}): {what} differ, {len(was[what] or '')} and {len(now[what] or '')}: {pairs[:2]}")
        sql = self.stack.database.sql
        per_run = dict(line.split("|") for line in sql(
            "SELECT r.public_id, count(o.run) FROM runs r LEFT JOIN outcomes o ON o.run = r.id GROUP BY 1").splitlines())
        for run, shape in self.runs.items():
            request, items = SHAPES[shape]
            wanted = items * len(request["evaluators"]) * request.get("trials", 1)
            if int(per_run[run]) != wanted:
                self.problem(f"run {run} ({shape}) has {per_run[run]} outcomes and not {wanted}")
        for what, query in {
            "shards are not done": "SELECT count(*) FROM shards WHERE state <> 2",
            "runs are not completed": "SELECT count(*) FROM runs WHERE status <> 3",
            "shards count what they have not":
                "SELECT count(*) FROM shards s WHERE (outcomes, errors) <> (SELECT count(*), count(*) FILTER (WHERE verdict = 1)"
                " FROM outcomes o WHERE o.run = s.run AND o.item >= s.lo AND o.item < s.hi)",
            "runs count what they have not":
                "SELECT count(*) FROM runs r WHERE shards_done <> shards OR shards_aside <> 0 OR outcomes <> "
                "(SELECT count(*) FROM outcomes o WHERE o.run = r.id)",
        }.items():
            if (count := sql(query)) != "0":
                self.problem(f"{count} {what}")
        self.counts["shard attempts lost"] = int(sql("SELECT sum(attempts) FROM shards"))

    def check_nothing_left(self):
        for worker in self.stack.workers.values():
            if (code := worker.drained()) != 0:
                self.problem(f"{worker.name} left with {code}", worker)
        self.stack.reap()
        # What a killed worker left, the next start on this machine clears away.
        last = next(iter(self.stack.workers.values())).start()
        wait_until(lambda: "registered" in last.log().rsplit("--- start", 1)[1], "the last start")
        if (code := last.drained()) != 0:
            self.problem(f"{last.name} left with {code}", last)
        if files := self.stack.spool_files():
            self.problem(f"left in spools: {files}")
        for replica in self.stack.replicas:
            if (code := replica.drained()) != 0:
                self.problem(f"{replica.name} left with {code}", replica)
        self.stack.proxy.stop()
        self.stack.proxy = None
        self.stack.database.stop()
        try:
            wait_until(lambda: not self.stack.left_over(), "nothing is left", 20)
        except AssertionError:
            self.problem(f"left over: {self.stack.left_over()}")


def run(seed, seconds, rate, log=lambda line: None):
    """Problems, and one line that says what was survived."""
    stack = Stack(lease_ttl=f"{TTL:g}s", api={"ASSAY_API_SHARD_LIVES": 1000})
    keep = False
    try:
        stack.start_proxy(seed=seed)
        for i in range(3):
            stack.worker(f"w{i}", disk=os.geteuid() == 0 and i == 2, worker_hosts=2).start()
        skipped = "" if any(d.mounted for d in stack.disks) else "; no disk was filled: that needs root and mount"
        furnish(stack)
        calm = {}
        for shape in SHAPES:
            calm_run = create(stack, shape, f"calm-{shape}")
            stack.finished(calm_run)
            calm[shape] = outcome_of(stack, calm_run)
            log(f"calm: {shape}: {calm[shape]['status']}, {len(calm[shape]['results'])} outcomes")
            if calm[shape]["status"] != "completed":
                return [f"in peace, {shape} ended as {calm[shape]['status']}: {calm[shape]['error']}"], ""
        chaos = Chaos(stack, seed, seconds, rate, log)
        began = time.monotonic()
        try:
            chaos.trouble()
            chaos.settle()
            took = time.monotonic() - began
            chaos.check(calm)
            chaos.check_nothing_left()
        except AssertionError as error:
            took = time.monotonic() - began
            chaos.problem(str(error))
        proxied = {f"proxy.{kind}": count for kind, count in chaos.network.items()}
        notes = {k: chaos.counts.pop(k) for k in ("restart", "shard attempts lost") if k in chaos.counts}
        faults = {**dict(sorted(chaos.counts.items())), **dict(sorted(proxied.items()))}
        outcomes = sum(len(calm[shape]["results"]) for shape in chaos.runs.values())
        keep = bool(chaos.problems)
        if keep:
            log(f"logs are in {stack.folder}/logs")
        return chaos.problems, (
            f"chaos: {sum(faults.values())} faults injected, {'NOT ' if chaos.problems else ''}survived "
            f"({', '.join(f'{k} {v}' for k, v in faults.items())}); {len(chaos.runs)} runs, {outcomes} outcomes; "
            f"{notes.get('shard attempts lost', '?')} leases lost; seed {seed}, {took:.0f} s, {outcomes / took:.0f} outcomes/s{skipped}")
    finally:
        stack.close(keep_logs=keep)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--minutes", type=float, help="instead of --seconds")
    parser.add_argument("--seed", type=int, action="append", help="may be given several times; default a random one")
    parser.add_argument("--random-seed", action="store_true", help="a random one after those")
    parser.add_argument("--rate", type=float, default=0.12, help="the part of the requests that the proxy spoils")
    parser.add_argument("--quiet", action="store_true", help="the last line alone")
    options = parser.parse_args()
    seeds = list(options.seed or [])
    if options.random_seed or not seeds:
        seeds.append(random.SystemRandom().randrange(1_000_000))
    seconds = options.minutes * 60 if options.minutes else options.seconds
    failed = False
    for seed in seeds:
        print(f"seed {seed}: {seconds:.0f} s of chaos", flush=True)
        problems, line = run(seed, seconds, options.rate, (lambda _: None) if options.quiet else
                             (lambda text: print(text, flush=True)))
        for problem in problems:
            print(f"FAILED: {problem}", flush=True)
        print(line, flush=True)
        failed = failed or bool(problems)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
