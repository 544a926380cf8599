"""API and workers apart: several workers, and what happens when they die."""
import json
import os
import signal

from harness import Case, main, wait_until

SLOW = """
function run_evaluation(item)
  local x = 0
  for i = 1, 200000 do x = x + i % 7 end
  if item.index % 50 == 7 then error("never mind") end
  return {score = (item.index * 37 % 101) / 100, metrics = {x = x}}
end
"""


class Workers(Case):
    ITEMS = 2000

    def setUp(self):
        super().setUp()
        self.admin = None
        self.where = "assay.db"

    def key(self, *scopes, **options):
        return super().key(*scopes, store=self.where, **options)

    def begin(self, items=ITEMS, shard_size=50, trials=1, **options):
        self.admin = self.key("admin", "submit", "read")
        self.worker_key = self.key("worker")
        lines = "".join(json.dumps({"input": str(i), "output": str(i)}) + "\n" for i in range(items))
        self.ok("POST", "/v1/datasets?name=rows", lines.encode(), headers={"Content-Type": "application/jsonl"})
        self.ok("POST", "/v1/containers", {"label": "app"})
        self.ok("POST", "/v1/evaluators", {"name": "slow", "type": "code", "language": "lua", "code": SLOW,
                                           "pass_threshold": 0.5})
        self.created = self.create(shard_size=shard_size, trials=trials, **options)
        return self.created

    def create(self, **options):
        side = {"type": "dataset", "dataset": "rows"}
        return self.ok("POST", "/v1/evaluation/runs", {"container": "app", "evaluators": ["slow"], "sample": side,
                                                       "ground_truth": side, **options})["id"]

    def done(self, run):
        progress = self.ok("GET", f"/v1/evaluation/runs/{run}")["progress"]
        return progress["items_done"]

    def check_complete(self, run, items=ITEMS):
        """Every item has exactly one outcome, and it is the right one."""
        answer = self.finished(run)
        self.assertEqual(answer["status"], "completed", answer)
        results = self.results(run)
        self.assertEqual([r["index"] for r in results], list(range(items)))
        for r in results:
            if r["index"] % 50 == 7:
                self.assertEqual((r["score"], r["error"]["kind"]), (None, "evaluator_error"))
            else:
                self.assertEqual((r["score"], r["error"] if "error" in r else None),
                                 ((r["index"] * 37 % 101) / 100, None))
        metrics = answer["metrics"][0]
        self.assertEqual(metrics["count"], items)
        self.assertEqual(metrics["errors"], len([i for i in range(items) if i % 50 == 7]))
        for changing in ("latency",):
            metrics.pop(changing, None)
        return metrics

    def test_two_workers_share_a_run(self):
        self.serve(store=self.where)
        run = self.begin()
        workers = [self.worker(f"w{i}", self.worker_key) for i in range(2)]
        self.check_complete(run)
        for worker in workers:
            worker.signal(signal.SIGTERM)
            self.assertEqual(worker.wait(), 0, worker.output())

    def test_a_worker_killed_in_mid_run_loses_and_doubles_nothing(self):
        self.serve(store=self.where)
        run = self.begin()
        victim = self.worker("victim", self.worker_key)
        wait_until(lambda: self.done(run) > 100, "the first outcomes")
        victim.signal(signal.SIGKILL)
        victim.wait()
        self.assertLess(self.done(run), self.ITEMS)
        # The same name comes back: its old leases end at once, no lease has to run out.
        successor = self.worker("victim", self.worker_key)
        disturbed = self.check_complete(run)
        again = self.create(shard_size=50)
        self.assertEqual(self.check_complete(again), disturbed)
        successor.signal(signal.SIGTERM)
        self.assertEqual(successor.wait(), 0, successor.output())

    def test_another_worker_takes_over_when_the_lease_runs_out(self):
        os.environ["ASSAY_API_LEASE_TTL"] = "2s"
        self.addCleanup(os.environ.pop, "ASSAY_API_LEASE_TTL")
        self.serve(store=self.where)
        run = self.begin(items=500)
        victim = self.worker("victim", self.worker_key)
        wait_until(lambda: self.done(run) > 50, "the first outcomes")
        victim.signal(signal.SIGKILL)
        self.worker("other", self.worker_key)
        self.check_complete(run, 500)

    def test_a_stopped_worker_that_wakes_late_doubles_nothing(self):
        os.environ["ASSAY_API_LEASE_TTL"] = "2s"
        self.addCleanup(os.environ.pop, "ASSAY_API_LEASE_TTL")
        self.serve(store=self.where)
        run = self.begin(items=1000)
        zombie = self.worker("zombie", self.worker_key)
        wait_until(lambda: self.done(run) > 50, "the first outcomes")
        zombie.signal(signal.SIGSTOP)
        self.worker("other", self.worker_key)
        wait_until(lambda: self.done(run) >= 900, "the other worker took over")
        zombie.signal(signal.SIGCONT)
        self.check_complete(run, 1000)

    def test_sigterm_drains_and_the_rest_goes_on_elsewhere(self):
        self.serve(store=self.where)
        run = self.begin()
        first = self.worker("first", self.worker_key)
        wait_until(lambda: self.done(run) > 100, "the first outcomes")
        first.signal(signal.SIGTERM)
        self.assertEqual(first.wait(), 0, first.output())
        self.assertLess(self.done(run), self.ITEMS)
        # Released, not abandoned: another worker need not wait for a lease to run out (30 s by default).
        self.worker("second", self.worker_key)
        self.check_complete(run)

    def test_a_second_signal_stops_at_once(self):
        self.serve(store=self.where)
        self.begin()
        worker = self.worker("w", self.worker_key)
        wait_until(lambda: "registered" in worker.output(), "the worker is registered")
        worker.signal(signal.SIGTERM)
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0, worker.output())

    def test_a_run_that_ends_in_an_error_says_why(self):
        self.serve(store=self.where)
        key = self.write("own.key", self.key("submit", "read"))
        self.worker("w", self.key("worker"))
        self.write("rows.jsonl", '{"output": "1"}\n')
        self.write("broken.py", "import no_such_module\n")
        evaluation = self.write("broken.toml", """
            name = "broken"
            [sample]
            type = "dataset"
            file = "rows.jsonl"
            [ground_truth]
            type = "dataset"
            file = "rows.jsonl"
            [[evaluator]]
            name = "broken"
            type = "code"
            language = "python"
            file = "broken.py"
            """)
        _, errors = self.assay("submit", evaluation, "--api", f"unix:{self.socket}", "--key-file", key, code=3)
        self.assertIn("No module named 'no_such_module'", errors)

    def test_an_api_that_restarts_costs_nothing_but_time(self):
        server = self.serve(store=self.where)
        run = self.begin()
        self.worker("w", self.worker_key)
        wait_until(lambda: self.done(run) > 100, "the first outcomes")
        server.signal(signal.SIGKILL)
        server.wait()
        self.serve(store=self.where)
        self.check_complete(run)

    def test_cancelling_ends_the_run_and_keeps_what_there_is(self):
        self.serve(store=self.where)
        run = self.begin()
        self.worker("w", self.worker_key)
        wait_until(lambda: self.done(run) > 100, "the first outcomes")
        answer = self.ok("POST", f"/v1/evaluation/runs/{run}/cancel", {})
        self.assertEqual(answer["status"], "cancelled")
        kept = len(self.results(run))
        self.assertGreater(kept, 100)
        self.assertEqual(self.call("POST", f"/v1/evaluation/runs/{run}/cancel", {})[0], 409)
        # The worker is free for the next run, and the cancelled one gains nothing.
        self.finished(self.create(shard_size=50, trials=1))
        self.assertEqual(len(self.results(run)), kept)

    def test_an_evaluator_that_does_not_compile_ends_the_run_with_its_line(self):
        self.serve(store=self.where)
        self.begin(items=10)
        self.ok("PATCH", "/v1/evaluators/slow", {"code": "function run_evaluation(item)\n  return {\nend"})
        run = self.create()
        self.worker("w", self.worker_key)
        answer = self.finished(run)
        self.assertEqual(answer["status"], "error")
        self.assertIn("slow:3", json.dumps(answer["error"]))

    def test_trials_are_evaluated_and_counted_apart(self):
        self.serve(store=self.where)
        run = self.begin(items=30, trials=3)
        self.worker("w", self.worker_key)
        answer = self.finished(run)
        self.assertEqual(answer["metrics"][0]["count"], 90)
        self.assertEqual({(r["index"], r["trial"]) for r in self.results(run)},
                         {(i, t) for i in range(30) for t in range(3)})

    def test_a_wrong_key_is_refused_with_one_sentence(self):
        self.serve(store=self.where)
        self.key("worker")
        worker = self.worker("w", "ak_wrong")
        self.assertEqual(worker.wait(), 2)
        self.assertEqual(worker.output().count("assayd: "), 1, worker.output())
        self.assertNotIn("ak_wrong", worker.output())

    def test_container_logs_are_items_too(self):
        self.serve(store=self.where)
        self.begin(items=10)
        items = [{"input": {"messages": [{"role": "user", "content": f"say {i}"}]},
                  "output": {"choices": [{"message": {"role": "assistant", "content": str(i)}}]}} for i in range(40)]
        self.ok("POST", "/v1/chat/completions/register", {"container": "app", "items": items})
        self.ok("POST", "/v1/evaluators", {
            "name": "text", "type": "code", "language": "lua",
            "code": 'function run_evaluation(item)\n'
                    '  assert(item.sample.output.choices[1].message.content == item.sample.text)\n'
                    '  return item.sample.text == tostring(item.index) and item.ground_truth.text == item.sample.text\n'
                    'end'})
        run = self.ok("POST", "/v1/evaluation/runs", {"container": "app", "evaluators": ["text"],
                                                      "sample": {"type": "container"}})["id"]
        self.worker("w", self.worker_key)
        answer = self.finished(run)
        self.assertEqual((answer["metrics"][0]["count"], answer["metrics"][0]["mean"]), (40, 1.0), self.results(run)[:3])


if __name__ == "__main__":
    main()
