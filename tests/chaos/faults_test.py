#!/usr/bin/env python3
"""One fault at a time, on purpose: what each of them must come to."""
import json
import re
import signal
import threading
import unittest
import uuid

from stack import Stack, wait_until

LUA = """
function run_evaluation(item)
  local x = 0
  for i = 1, 100000 do x = x + i % 7 end
  return {score = (item.index * 37 % 101) / 100}
end
"""
SLOW_AT_THE_END = """
import time

def run_evaluation(item):
    if item["index"] >= 10:
        time.sleep(10)
    return 1
"""
CALLS = {"register": r"/v1/workers$", "claim": r"/v1/claims$", "specification": r"/v1/worker/runs/", "rows": r"/rows\?",
         "append": r"/outcomes$", "heartbeat": r"/v1/heartbeat$", "complete": r"/complete$", "release": r"/release$", "fail": r"/fail$"}


def furnish(stack):
    lines = "".join(json.dumps({"input": str(i), "output": str(i)}) + "\n" for i in range(1000))
    stack.ok("POST", "/v1/datasets?name=rows", lines.encode(), headers={"Content-Type": "application/jsonl"})
    stack.ok("POST", "/v1/containers", {"label": "app"})
    limits = {"wall_ms": 60_000, "cpu_ms": 60_000}
    evaluators = (("lua", "lua", LUA), ("steady", "lua", LUA.replace("100000", "800000")),
                  ("slow", "python", SLOW_AT_THE_END), ("broken", "lua", "function ("))
    for name, language, code in evaluators:
        stack.ok("POST", "/v1/evaluators", {"name": name, "type": "code", "language": language, "code": code, "limits": limits})


class Spoil:
    """What the proxy does: `kind` to the first `times` requests of each of these calls, nothing to the rest."""

    def __init__(self, kind, *calls, times=1):
        self.kind = kind
        self.left = {CALLS[call]: times for call in calls}
        self.lock = threading.Lock()

    def __call__(self, request):
        with self.lock:
            for pattern, left in self.left.items():
                if left > 0 and request.method in ("GET", "POST") and re.search(pattern, request.path):
                    self.left[pattern] -= 1
                    return self.kind
        return None


class Fake:
    """A worker that does what the test says, by plain calls."""

    def __init__(self, stack, environment):
        self.stack = stack
        self.self = {"boot_id": uuid.uuid4().hex}
        status, answer = self.post("/workers", {"name": f"fake-{uuid.uuid4().hex}", "protocol": 1, "sandbox": "full", "slots": 9,
                                                "environments": [environment], "labels": ["language:lua", "language:python"]})
        assert status == 200, answer
        self.self["worker_id"] = answer["worker_id"]

    def post(self, path, body, replica=0):
        status, text = self.stack.call("POST", "/v1" + path, {**self.self, **body}, key=self.stack.worker_key, replica=replica)
        return status, json.loads(text) if text else None

    def claim(self, most=1):
        status, answer = self.post("/claims", {"claim_id": uuid.uuid4().hex, "max": most, "wait_ms": 5000})
        return answer["leases"] if status == 200 else []

    def heartbeat(self, *leases):
        names = [{k: lease[k] for k in ("run", "shard", "epoch", "token")} for lease in leases]
        return self.post("/heartbeat", {"leases": names})[1]

    def of(self, lease, verb, body=None, replica=0):
        return self.post(f"/runs/{lease['run']}/shards/{lease['shard']}/{verb}",
                         {"epoch": lease["epoch"], "token": lease["token"], **(body or {})}, replica)

    def append(self, lease, items, score=1, replica=0):
        return self.of(lease, "outcomes", {"batch": 1, "outcomes": [{"item": i, "score": score} for i in items]}, replica)

    def complete(self, lease, replica=0):
        names = [{k: lease[k] for k in ("run", "shard", "epoch", "token")}]
        return self.post("/complete", {"leases": names}, replica)[1]["leases"][0]["verdict"]


class Faults(unittest.TestCase):
    maxDiff = 2000

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack(lease_ttl="2s")
        cls.addClassCleanup(cls.stack.close)
        cls.stack.start_proxy()
        furnish(cls.stack)

    def setUp(self):
        self.environment = uuid.uuid4().hex  # of this test's own: what is left of another's workers gets nothing

    def tearDown(self):
        self.stack.proxy.decide = lambda request: None
        for worker in self.stack.workers.values():
            worker.power_off()
        self.stack.workers.clear()

    def create(self, items=200, evaluator="lua", **options):
        side = {"type": "dataset", "dataset": "rows", "limit": items}
        self.items = items
        return self.stack.ok("POST", "/v1/evaluation/runs", {
            "container": "app", "evaluators": [evaluator], "sample": side, "ground_truth": side, "shard_size": 10,
            "environment": self.environment, **options})["id"]

    def worker(self, name=None, **settings):
        return self.stack.worker(name or f"w-{uuid.uuid4().hex[:8]}", worker_hosts=2,
                                 worker_environments=self.environment, **settings).start()

    def check_complete(self, run, seconds=120):
        answer = self.stack.finished(run, seconds)
        self.assertEqual(answer["status"], "completed", answer)
        rows = [json.loads(line) for line in self.stack.results(run).splitlines()]
        self.assertEqual([(r["index"], r["score"]) for r in rows], [(i, i * 37 % 101 / 100) for i in range(self.items)])
        self.assertEqual(answer["metrics"][0]["count"], self.items)
        self.assertEqual(self.of_shards(run, "count(*) FILTER (WHERE state <> 2)"), 0)

    def of_shards(self, run, what):
        return int(self.stack.database.sql(
            f"SELECT {what} FROM shards WHERE run = (SELECT id FROM runs WHERE public_id = '{run}')"))

    def rows(self, run):
        return int(self.stack.database.sql(
            f"SELECT count(*) FROM outcomes WHERE run = (SELECT id FROM runs WHERE public_id = '{run}')"))

    def done(self, run):
        return self.stack.run(run)["progress"]["outcomes_done"]

    def spoiled(self, kind):
        return self.stack.proxy.counts[kind]

    # Answers that are lost.

    def lose(self, *calls, **options):
        before = self.spoiled("lose")
        self.stack.proxy.decide = Spoil("lose", *calls)
        run = self.create(**options)
        worker = self.worker()
        self.check_complete(run)
        self.assertEqual(self.spoiled("lose"), before + len(calls))
        return run, worker

    def test_a_lost_claim_gives_the_same_leases_again(self):
        run, _ = self.lose("claim")
        self.assertEqual(self.of_shards(run, "max(epoch)"), 1)
        self.assertEqual(self.of_shards(run, "sum(attempts)"), 0)

    def test_a_lost_registration_is_repeated_by_the_same_worker(self):
        before = self.stack.database.sql("SELECT count(*) FROM workers")
        self.lose("register")
        self.assertEqual(int(self.stack.database.sql("SELECT count(*) FROM workers")), int(before) + 1)

    def test_a_lost_append_is_repeated_and_counts_once(self):
        _, worker = self.lose("append")
        self.assertRegex(worker.log(), r"inserted=0 duplicate=[1-9]")

    def test_a_lost_complete_is_repeated(self):
        run, _ = self.lose("complete")
        self.assertEqual(self.of_shards(run, "max(epoch)"), 1)

    def test_a_lost_heartbeat_costs_no_lease(self):
        run, _ = self.lose("heartbeat")
        self.assertEqual(self.of_shards(run, "max(epoch)"), 1)

    def test_a_lost_release_counts_no_attempt(self):
        before = self.spoiled("lose")
        self.stack.proxy.decide = Spoil("lose", "release")
        run = self.create(items=1000, shard_size=1000)
        self.worker(worker_items=32)  # so few that most are not even read when the run is paused
        wait_until(lambda: self.done(run) > 20, "the first outcomes")
        self.stack.ok("POST", f"/v1/evaluation/runs/{run}/pause", {})
        wait_until(lambda: self.of_shards(run, "count(*) FILTER (WHERE state = 1)") == 0, "all leases are given back")
        wait_until(lambda: self.spoiled("lose") == before + 1, "an answer was lost")
        self.stack.ok("POST", f"/v1/evaluation/runs/{run}/resume", {})
        self.check_complete(run)
        self.assertEqual(self.of_shards(run, "sum(attempts)"), 0)

    def test_a_lost_fail_ends_the_run_once(self):
        before = self.spoiled("lose")
        self.stack.proxy.decide = Spoil("lose", "fail")
        run = self.create(evaluator="broken")
        self.worker()
        answer = self.stack.finished(run)
        self.assertEqual(answer["status"], "error")
        self.assertIn("broken:1", json.dumps(answer["error"]))
        wait_until(lambda: self.spoiled("lose") == before + 1, "an answer was lost")
        # The worker is none the worse.
        self.check_complete(self.create(items=30))

    # Answers that are not the API's.

    def test_garbage_is_no_answer_to_anything(self):
        for kind in ("garbage", "truncate", "status", "cut"):
            for shard_size in (1, 40):  # a page of one row is one line, as a page of a hotel is
                with self.subTest(kind=kind, shard_size=shard_size):
                    self.stack.proxy.decide = Spoil(kind, *CALLS, times=4)
                    run = self.create(items=40 if shard_size == 1 else 200, shard_size=shard_size)
                    worker = self.worker()
                    self.check_complete(run)
                    self.stack.proxy.decide = lambda request: None
                    self.assertEqual(worker.drained(), 0, worker.log())

    def test_garbage_does_not_empty_the_spool(self):
        self.stack.proxy.decide = Spoil("garbage", "append", times=10**9)
        run = self.create(items=60)
        worker = self.worker(name="spooler", worker_drain_grace="1s")
        wait_until(lambda: self.spoiled("garbage") > 5, "garbage")
        self.assertEqual(worker.drained(), 0)
        self.assertEqual(self.rows(run), 0)
        self.assertIn("outcomes stay in the spool", worker.log())
        self.stack.proxy.decide = lambda request: None
        worker.start()
        self.check_complete(run)
        self.assertRegex(worker.log(), r"leftover=1 .*inserted=[1-9]")

    # What comes twice, and in another order.

    def test_everything_twice(self):
        for kind in ("double", "replay"):
            with self.subTest(kind=kind):
                self.stack.proxy.decide = lambda request, kind=kind: kind
                run = self.create(items=100)
                worker = self.worker()
                self.check_complete(run)
                self.assertEqual(self.of_shards(run, "sum(attempts)"), 0)
                self.stack.proxy.decide = lambda request: None
                self.assertEqual(worker.drained(), 0, worker.log())

    def test_control_calls_that_come_again_late_change_nothing(self):
        run = self.create(items=20)
        fake = Fake(self.stack, self.environment)
        first, second = sorted(fake.claim(2), key=lambda lease: lease["shard"])
        fake.append(first, range(10))
        self.assertEqual([fake.complete(first, replica) for replica in (0, 1, 0)], ["done"] * 3)
        failure = {"kind": "internal", "message": "late"}
        self.assertEqual(fake.of(first, "fail", failure)[1]["error"]["code"], "lost")
        self.assertEqual(fake.of(first, "release", {"reason": "drain"})[1]["error"]["code"], "lost")
        self.assertEqual(fake.of(second, "fail", failure, replica=1)[0], 200)
        self.assertEqual(fake.of(second, "fail", failure)[1]["error"]["code"], "lost")
        self.assertEqual(fake.complete(second), "lost")
        self.assertEqual(self.of_shards(run, "sum(attempts)"), 1)
        # Its outcomes still count.
        self.assertEqual(fake.append(second, range(10, 20))[1]["inserted"], 10)
        third = fake.claim()[0]
        self.assertEqual((third["shard"], third["epoch"], third["done"]), (second["shard"], second["epoch"] + 1, [[0, 10]]))
        self.assertEqual(fake.complete(third), "done")
        self.assertEqual(self.stack.finished(run)["status"], "completed")

    def test_two_replicas_that_complete_the_last_two_shards_at_once_end_the_run_once(self):
        fake = Fake(self.stack, self.environment)
        for turn in range(60):
            run = self.create(items=2, shard_size=1)
            leases = fake.claim(2)
            self.assertEqual([lease["run"] for lease in leases], [run, run])
            for lease in leases:
                fake.append(lease, [lease["lo"]])
            verdicts = [None, None]
            at_once = threading.Barrier(2)

            def complete(i):
                at_once.wait()
                verdicts[i] = fake.complete(leases[i], replica=i)
            threads = [threading.Thread(target=complete, args=(i,)) for i in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(verdicts, ["done", "done"], f"turn {turn}")
            answer = self.stack.finished(run, 20)
            self.assertEqual((answer["status"], answer["metrics"][0]["count"], answer["progress"]["shards_done"]),
                             ("completed", 2, 2))

    def test_after_a_cancel_no_row_is_added(self):
        for _ in range(5):
            run = self.create(items=1000, shard_size=50)
            fake = Fake(self.stack, self.environment)
            leases = fake.claim(20)
            ended = threading.Event()
            codes = set()

            def append(part):
                item = 0
                while not ended.is_set() and item < 50:
                    for lease in leases[part::4]:
                        status, answer = fake.append(lease, [lease["lo"] + item], replica=part % 2)
                        if status != 200:
                            codes.add(answer["error"]["code"])
                    item += 1
            threads = [threading.Thread(target=append, args=(part,)) for part in range(4)]
            for thread in threads:
                thread.start()
            wait_until(lambda: self.rows(run) > 40, "appends in flight")
            self.stack.ok("POST", f"/v1/evaluation/runs/{run}/cancel", {})
            stored = self.rows(run)
            wait_until(lambda: codes, "appends after it")
            ended.set()
            for thread in threads:
                thread.join()
            self.assertEqual(codes, {"run_finished"})
            self.assertEqual(self.rows(run), stored)
            self.assertEqual(self.done(run), stored)
            self.assertEqual(self.of_shards(run, "count(*) FILTER (WHERE state = 1)"), 0)

    # Who goes, and comes back.

    def test_a_worker_that_sleeps_longer_than_its_lease(self):
        run = self.create(items=1000)
        holder = Fake(self.stack, self.environment)  # of one shard, so that the run is still open when the sleeper wakes
        held = holder.claim()[0]
        beating = threading.Event()

        def beat():
            while not beating.wait(0.4):
                holder.heartbeat(held)
        threading.Thread(target=beat, daemon=True).start()
        self.addCleanup(beating.set)
        sleeper = self.worker()
        wait_until(lambda: self.done(run) > 50, "the first outcomes")
        sleeper.signal(signal.SIGSTOP)
        asleep = self.of_shards(run, "count(*) FILTER (WHERE state = 1)") - 1
        self.assertGreater(asleep, 0)
        other = self.worker()
        wait_until(lambda: self.done(run) == 990, "the other did all of it")
        wait_until(lambda: self.of_shards(run, "count(*) FILTER (WHERE state = 1)") == 1, "and completed it")
        sleeper.signal(signal.SIGCONT)
        wait_until(lambda: re.search(r"inserted=0 duplicate=[1-9]", sleeper.log()), "its late outcomes are duplicates")
        for worker in (sleeper, other):
            self.assertEqual(worker.drained(), 0, worker.log())
        self.assertGreaterEqual(self.of_shards(run, "count(*) FILTER (WHERE epoch = 2)"), 1)
        # Only leases that slept were taken away.
        self.assertLessEqual(self.of_shards(run, "sum(attempts)"), asleep)
        beating.set()
        holder.of(held, "release", {"reason": "drain"})
        self.worker()
        self.check_complete(run)

    def test_the_database_is_killed_in_the_middle_of_appends(self):
        run = self.create(items=1000)
        worker = self.worker()
        for turn in range(1, 4):
            wait_until(lambda: self.done(run) > turn * 100, "more outcomes")
            self.stack.database.kill()
            wait_until(self.database_again, "the database is back")
        self.check_complete(run)
        self.assertTrue(worker.up)
        # It was away for less than a lease lasts, or for so long that all leases were prolonged: none was lost.
        self.assertEqual(self.of_shards(run, "sum(attempts)"), 0)

    def database_again(self):
        try:
            self.stack.database.start()
            return True
        except RuntimeError:  # children of the last one are still about
            return False

    def test_a_storm_of_restarts_costs_time_alone(self):
        run = self.create(items=1000)
        workers = [self.worker() for _ in range(3)]
        for _ in range(4):
            before = self.done(run)
            wait_until(lambda: self.done(run) > before, "some progress")
            for worker in workers:
                worker.signal(signal.SIGTERM)
            for worker in workers:
                self.assertEqual(worker.process.wait(60), 0, worker.log())
                worker.start()
        self.check_complete(run)
        self.assertEqual(self.of_shards(run, "sum(attempts)"), 0)

    def test_a_shard_that_ends_three_workers_is_set_aside_and_can_be_retried(self):
        run = self.create(items=11, evaluator="slow")
        fake = Fake(self.stack, self.environment)
        first = fake.claim()[0]
        fake.append(first, range(10))
        self.assertEqual(fake.complete(first), "done")
        worker = self.worker("unlucky")
        for life in range(1, 4):
            wait_until(lambda: self.of_shards(run, "count(*) FILTER (WHERE state = 1 AND idx = 1 AND accepted = 1)") == 1,
                       "it holds the second shard")
            worker.power_off()
            if life < 3:
                worker.start()
                # Its next boot ends the old lease, which counts.
                wait_until(lambda: self.of_shards(run, "max(fruitless)") == life, "a fruitless attempt")
        worker.start()
        answer = self.stack.finished(run)
        self.assertEqual(answer["status"], "error")
        self.assertIn("shards set aside: 1; the first, with the items 10 to 10", json.dumps(answer["error"]))
        self.assertEqual(self.rows(run), 10)
        self.assertEqual(answer["metrics"][0]["count"], 10)
        self.stack.ok("POST", f"/v1/evaluation/runs/{run}/retry", {})
        answer = self.stack.finished(run)
        self.assertEqual((answer["status"], answer["metrics"][0]["count"], self.rows(run)), ("completed", 11, 11), answer)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    unittest.main(verbosity=2)
