"""The life of runs: paused, resumed, cancelled, tried again, judged again, deleted and watched; by the command line
and over the API, with a real worker. And that one tenant is nothing to another."""
import contextlib
import http.client
import json
import re
import sqlite3
import subprocess
import threading

from harness import BIN, Case, UnixConnection, main, wait_until

FLAKY = """
function run_evaluation(item)
  local x = 0
  for i = 1, 100000 do x = x + i %% 7 end
  if item.index %% 10 == 3 then error("%s") end
  return item.index %% 2
end
"""
SLOW = "function run_evaluation(item) local x = 0 for i = 1, 50000000 do x = x + i % 7 end return 1 end"


class Runs(Case):
    def setUp(self):
        super().setUp()
        self.serve()
        self.admin = self.key("admin", "submit", "read")
        self.key_file = self.write("user.key", self.admin)

    def furnish(self, rows=200, key="", code=FLAKY % "never mind", name="flaky"):
        lines = "".join(json.dumps({"input": str(i), "output": str(i)}) + "\n" for i in range(rows))
        self.ok("POST", "/v1/datasets?name=rows", lines.encode(), headers={"Content-Type": "application/jsonl"}, key=key)
        self.ok("POST", "/v1/containers", {"label": "app"}, key=key)
        self.evaluator(name, code, key)

    def evaluator(self, name, code, key=""):
        return self.ok("POST", "/v1/evaluators", {"name": name, "type": "code", "language": "lua", "code": code,
                                                  "pass_threshold": 0.5}, key=key)

    def create(self, evaluator="flaky", key="", **options):
        side = {"type": "dataset", "dataset": "rows"}
        body = {"evaluators": [evaluator], **options}
        if "source_run" not in options:
            body |= {"container": "app", "sample": side, "ground_truth": side}
        return self.ok("POST", "/v1/evaluation/runs", body, key=key)["id"]

    def start_worker(self, name="w", **settings):
        return self.worker(name, self.key("worker"), **settings)

    def runs(self, *arguments, code=0):
        return self.assay("runs", *arguments, "--api", f"unix:{self.socket}", "--key-file", self.key_file, code=code)[0]

    def outcomes(self, run):
        return self.ok("GET", f"/v1/evaluation/runs/{run}")["progress"]["outcomes_done"]

    def test_paused_it_stops_and_resumed_it_goes_on(self):
        self.furnish(rows=3000)
        run = self.create(shard_size=20)
        self.start_worker()
        wait_until(lambda: self.outcomes(run) > 50, "the first outcomes")
        self.assertIn("paused", self.runs("pause", run))
        wait_until(lambda: json.loads(self.assay("workers", "--json", "--api", f"unix:{self.socket}", "--key-file",
                                                 self.key_file)[0])["data"][0]["leases"] == 0, "the worker gives all back")
        held = self.outcomes(run)
        self.assertLess(held, 3000)
        self.assertEqual(self.outcomes(run), held)
        self.runs("resume", run)
        answer = self.finished(run)
        self.assertEqual((answer["status"], answer["progress"]["outcomes_done"]), ("completed", 3000))

    def test_cancelled_it_ends_what_is_being_evaluated(self):
        self.furnish(rows=4)
        self.evaluator("slow", SLOW)
        worker = self.start_worker(log_level="debug")
        run = self.create("slow", shard_size=1)
        wait_until(lambda: self.ok("GET", f"/v1/evaluation/runs/{run}")["status"] == "running", "it begins")
        self.runs("cancel", run)
        wait_until(lambda: json.loads(self.assay("workers", "--json", "--api", f"unix:{self.socket}", "--key-file",
                                                 self.key_file)[0])["data"][0]["leases"] == 0, "nothing is held any more")
        other = self.create(shard_size=50)
        self.assertEqual(self.finished(other)["status"], "completed")
        self.assertIsNone(worker.process.poll())

    def test_what_erred_is_tried_again_and_only_that(self):
        self.furnish()
        self.start_worker()
        run = self.create(shard_size=30)
        first = self.finished(run)
        self.assertEqual(first["progress"]["errors"], 20)
        before = {r["index"]: r for r in self.results(run)}
        self.runs("retry", run)
        again = self.finished(run)
        # The evaluator errs on the same items: they were evaluated again, the others were not.
        self.assertEqual(again["progress"]["errors"], 20)
        after = {r["index"]: r for r in self.results(run)}
        self.assertEqual({i: r for i, r in before.items() if "error" not in r},
                         {i: r for i, r in after.items() if "error" not in r})
        self.assertEqual(sorted(after), list(range(200)))
        self.assertEqual(first["metrics"][0]["mean"], again["metrics"][0]["mean"])

    def test_the_items_of_a_run_are_judged_again(self):
        self.furnish()
        self.evaluator("other", "function run_evaluation(item) return tonumber(item.sample_output or item.sample) % 3 end")
        self.start_worker()
        first = self.create(shard_size=30)
        self.finished(first)
        again = self.create("flaky", source_run=first)
        answer = self.finished(again)
        self.assertEqual(answer["source_run"], first)
        drop = ("id", "latency_ms", "usage", "log")
        plain = lambda run: [{k: v for k, v in r.items() if k not in drop} for r in self.results(run)]
        self.assertEqual(plain(again), plain(first))
        status, refused = self.call("POST", "/v1/evaluation/runs", {"evaluators": ["flaky"], "source_run": first, "trials": 2})
        self.assertEqual((status, refused["error"]["param"]), (422, "trials"))

    def test_it_is_watched_to_its_end_and_deleted(self):
        self.furnish(rows=1000)
        run = self.create(shard_size=20)
        watching = subprocess.Popen([BIN / "assay", "runs", "watch", run, "--api", f"unix:{self.socket}", "--key-file",
                                     self.key_file], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.start_worker()
        out, err = watching.communicate(timeout=120)
        self.assertEqual(watching.returncode, 0, err)
        self.assertIn("completed", out)
        self.assertIn("mean", out)
        self.assertIn(run, self.runs("list"))
        self.runs("delete", run)
        self.assertNotIn(run, self.runs("list"))
        self.runs("show", run, code=2)

    def test_events_tell_of_progress_and_end(self):
        self.furnish()
        run = self.create(shard_size=10)
        connection = UnixConnection(self.socket)
        connection.request("GET", f"/v1/evaluation/runs/{run}/events", headers={"Authorization": f"Bearer {self.admin}"})
        answer = connection.getresponse()
        self.assertEqual(answer.getheader("Content-Type"), "text/event-stream")
        self.start_worker()
        events = re.findall(r"event: (\w+)\ndata: (.*)\n\n", answer.read().decode())
        self.assertEqual(events[0][0], "progress")
        self.assertEqual(json.loads(events[0][1])["status"], "queued")
        self.assertEqual(events[-1][0], "end")
        self.assertEqual(json.loads(events[-1][1])["progress"]["outcomes_done"], 200)
        connection.close()

    def test_labels_and_requirements_direct_runs(self):
        self.furnish(rows=4)
        run = self.create(labels=["gpu:a100"])
        elsewhere = self.create(environment="elsewhere")

        def waits_for(run):
            return self.ok("GET", f"/v1/evaluation/runs/{run}").get("waiting_for", "")
        self.assertEqual(waits_for(run), "a worker: none has been heard of for a minute")
        self.start_worker("plain")
        other = self.create()
        self.assertEqual(self.finished(other)["status"], "completed")
        self.assertEqual(waits_for(other), "")
        self.assertEqual(self.ok("GET", f"/v1/evaluation/runs/{run}")["status"], "queued")
        self.assertEqual(waits_for(run), "a worker with the labels of the run: the one that has most of them lacks gpu:a100")
        self.assertEqual(waits_for(elsewhere), "a worker of the environment elsewhere: those that are up serve main")
        watcher = self.start(BIN / "assay", "runs", "watch", run, "--api", f"unix:{self.socket}", "--key-file", self.key_file)
        wait_until(lambda: "waiting for a worker with the labels" in watcher.output(), "the watcher says what is waited for")
        self.start_worker("strong", worker_labels="gpu:a100")
        self.assertEqual(self.finished(run)["status"], "completed")
        self.assertEqual(waits_for(run), "")
        self.assertEqual(watcher.wait(), 0)
        table = self.assay("workers", "--api", f"unix:{self.socket}", "--key-file", self.key_file)[0]
        self.assertRegex(table, r"strong .*gpu:a100.*language:lua")

    def test_workers_that_are_heard_of_no_more_are_lost_or_gone(self):
        for name in ("here", "lost", "gone"):
            self.start_worker(name)
        table = lambda: self.assay("workers", "--api", f"unix:{self.socket}", "--key-file", self.key_file)[0]
        wait_until(lambda: all(name in table() for name in ("here", "lost", "gone")), "they are registered")
        # As they are left when they end; heartbeats come every 10 s at most, and would be seen by the next wait.
        def age():
            with contextlib.closing(sqlite3.connect(self.store("assay.db"), timeout=30)) as store, store:
                store.execute("UPDATE workers SET seen_at = seen_at - 150000 WHERE name <> 'here'")
                store.execute("UPDATE workers SET state = 'drain' WHERE name = 'gone'")
            shown = table()
            return shown if re.search(r"lost +lost .* 2 min ago", shown) else None
        shown = wait_until(age, "the table says so", 30)
        self.assertRegex(shown, r"here +run .* (now|\d+ s ago)")
        self.assertRegex(shown, r"gone +gone .* 2 min ago")
        answer = json.loads(self.assay("workers", "--json", "--api", f"unix:{self.socket}", "--key-file", self.key_file)[0])
        self.assertEqual({w["state"] for w in answer["data"]} - {"run", "drain"}, set())

    def test_a_tenant_is_nothing_to_another(self):
        """Every way in, with another tenant's key: nothing is shown, listed, guessed, claimed or changed."""
        self.furnish(rows=4)
        stranger = self.key("admin", "submit", "read", project="other")
        strange_worker = self.key("worker", project="other")
        run = self.create()
        rows = self.ok("GET", "/v1/datasets")["data"][0]["id"]
        container = self.ok("GET", "/v1/containers")["data"][0]["id"]
        evaluator = self.ok("GET", "/v1/evaluators")["data"][0]["id"]
        for path in ("/v1/datasets", "/v1/containers", "/v1/evaluators", "/v1/evaluation/runs", "/v1/workers", "/v1/audit"):
            self.assertEqual(self.ok("GET", path, key=stranger)["total"], 0, path)
        own = [("GET", f"/v1/datasets/{rows}"), ("GET", "/v1/datasets/rows"), ("GET", f"/v1/datasets/{rows}/rows?limit=1"),
               ("DELETE", f"/v1/datasets/{rows}"), ("GET", f"/v1/containers/{container}"), ("GET", "/v1/containers/app"),
               ("GET", f"/v1/containers/{container}/logs"), ("DELETE", f"/v1/containers/{container}"),
               ("GET", f"/v1/evaluators/{evaluator}"), ("DELETE", f"/v1/evaluators/{evaluator}"),
               ("GET", f"/v1/evaluation/runs/{run}"), ("GET", f"/v1/evaluation/runs/{run}/results"),
               ("GET", f"/v1/evaluation/runs/{run}/events"), ("DELETE", f"/v1/evaluation/runs/{run}")]
        own += [("POST", f"/v1/evaluation/runs/{run}/{verb}") for verb in ("cancel", "pause", "resume", "retry")]
        for method, path in own:
            self.assertEqual(self.call(method, path, key=stranger)[0], 404, (method, path))
        status, answer = self.call("POST", "/v1/evaluation/runs", {"evaluators": [evaluator], "source_run": run}, key=stranger)
        self.assertEqual(status, 404, answer)
        side = {"type": "dataset", "dataset": rows}
        self.ok("POST", "/v1/containers", {"label": "mine"}, key=stranger)
        status, answer = self.call("POST", "/v1/evaluation/runs", {"container": "mine", "evaluators": [evaluator],
                                                                    "sample": side, "ground_truth": side}, key=stranger)
        self.assertEqual(status, 404, answer)
        # A worker of the other tenant.
        hello = {"name": "w", "boot_id": "b", "protocol": 1, "sandbox": "full", "labels": ["language:lua"]}
        who = {"worker_id": self.ok("POST", "/v1/workers", hello, key=strange_worker)["worker_id"], "boot_id": "b"}
        self.assertEqual(self.call("POST", "/v1/claims", {**who, "claim_id": "c", "max": 9, "wait_ms": 0},
                                   key=strange_worker)[0], 204)
        lease = {"epoch": 1, "token": "guess"}
        for verb, more in (("outcomes", {"batch": 1, "outcomes": []}), ("release", {}), ("fail", {"kind": "config"})):
            status, answer = self.call("POST", f"/v1/runs/{run}/shards/0/{verb}", {**who, **lease, **more}, key=strange_worker)
            self.assertEqual(status, 404, (verb, answer))
        named = [{"run": run, "shard": 0, **lease}]
        self.assertEqual(self.ok("POST", "/v1/complete", {**who, "leases": named}, key=strange_worker)["leases"][0]["verdict"],
                         "run_not_found")
        self.assertEqual(self.ok("POST", "/v1/heartbeat", {**who, "leases": named}, key=strange_worker)["leases"][0]["verdict"],
                         "lost")
        self.assertEqual(self.call("GET", f"/v1/worker/runs/{run}", key=strange_worker)[0], 404)
        self.assertEqual(self.call("GET", f"/v1/datasets/{rows}/rows?limit=1", key=strange_worker)[0], 404)
        # This tenant's worker, with a worker id of the other.
        status, answer = self.call("POST", "/v1/claims", {**who, "claim_id": "c", "max": 9, "wait_ms": 0}, key=self.key("worker"))
        self.assertEqual((status, answer["error"]["code"]), (404, "unknown_worker"))
        # And all is as it was.
        self.assertEqual(self.ok("GET", f"/v1/evaluation/runs/{run}")["status"], "queued")

    def test_a_key_of_some_containers_sees_only_those(self):
        self.furnish(rows=4)
        run = self.create()
        self.ok("POST", "/v1/containers", {"label": "theirs"})
        narrow = self.key("read", "submit", containers=["theirs"])
        self.assertEqual([c["label"] for c in self.ok("GET", "/v1/containers", key=narrow)["data"]], ["theirs"])
        self.assertEqual(self.ok("GET", "/v1/evaluation/runs", key=narrow)["total"], 0)
        for path in (f"/v1/evaluation/runs/{run}", f"/v1/evaluation/runs/{run}/results", "/v1/containers/app/logs"):
            self.assertEqual(self.call("GET", path, key=narrow)[0], 404, path)
        self.assertEqual(self.call("POST", f"/v1/evaluation/runs/{run}/cancel", key=narrow)[0], 404)
        side = {"type": "dataset", "dataset": "rows"}
        body = {"container": "app", "evaluators": ["flaky"], "sample": side, "ground_truth": side}
        self.assertEqual(self.call("POST", "/v1/evaluation/runs", body, key=narrow)[0], 404)
        self.assertEqual(self.call("POST", "/v1/evaluation/runs", {**body, "container": "theirs"}, key=narrow)[0], 200)
        # A run of it that reads another one tells it that one's id, and no more; nor does a label that is taken.
        secret = self.ok("POST", "/v1/containers", {"label": "secret-label", "metadata": {"m": "secret-metadata"}})["id"]
        self.ok("POST", "/v1/chat/completions/register", {"container": "secret-label", "items": [
            {"input": {"messages": []}, "output": {"choices": []}}]})
        other = {"type": "container", "container": "secret-label"}
        across = self.ok("POST", "/v1/evaluation/runs", {**body, "container": "theirs", "sample": other, "ground_truth": other})
        self.assertEqual(across["sample"]["label"], "secret-label")
        shown = self.ok("GET", f"/v1/evaluation/runs/{across['id']}", key=narrow)
        self.assertEqual(shown["sample"]["container"], secret)
        taken = self.call("POST", "/v1/containers", {"label": "secret-label"}, key=narrow)
        self.assertEqual((taken[0], taken[1]["error"]["code"]), (409, "label_conflict"))
        self.assertNotIn(secret, json.dumps(taken))
        for answer in (shown, self.ok("GET", "/v1/evaluation/runs", key=narrow), taken):
            self.assertNotIn("secret", json.dumps(answer).replace(secret, ""))
        # Evaluators: those of other containers are nothing to it, those of none are everybody's to use.
        self.ok("POST", "/v1/evaluators", {"name": "private", "type": "code", "language": "lua", "code": SLOW, "container": "app"})
        self.ok("POST", "/v1/evaluators", {"name": "own", "type": "code", "language": "lua", "code": SLOW, "container": "theirs"}, key=narrow)
        self.assertEqual({e["name"] for e in self.ok("GET", "/v1/evaluators", key=narrow)["data"]}, {"flaky", "own"})
        for method, change in (("GET", None), ("PATCH", {"container": "theirs"})):
            self.assertEqual(self.call(method, "/v1/evaluators/private", change, key=narrow)[0], 404, method)
        theirs = {**body, "container": "theirs", "evaluators": ["private"]}
        self.assertEqual(self.call("POST", "/v1/evaluation/runs", theirs, key=narrow)[0], 404)
        self.assertEqual(self.call("PATCH", "/v1/evaluators/flaky", {"description": "mine"}, key=narrow)[0], 403)
        for name in ("own", "private", "flaky"):  # takes the scope admin, which no such key has
            self.assertEqual(self.call("DELETE", f"/v1/evaluators/{name}", key=narrow)[0], 403)
        self.ok("PATCH", "/v1/evaluators/own", {"description": "mine"}, key=narrow)
        # Nor is what another key did under the same Idempotency-Key.
        again = {"Idempotency-Key": "nightly"}
        first = self.ok("POST", "/v1/evaluation/runs", body, headers=again)["id"]
        own = self.ok("POST", "/v1/evaluation/runs", {**body, "container": "theirs"}, headers=again, key=narrow)["id"]
        self.assertNotEqual(first, own)
        self.assertEqual(self.ok("POST", "/v1/evaluation/runs", body, headers=again)["id"], first)

    def test_an_api_that_is_away_is_told_before_it_is_given_up(self):
        for command in (["workers"], ["runs", "list"]):
            program = self.start(BIN / "assay", *command, "--api", f"unix:{self.folder}/nobody.sock", "--key-file", self.key_file)
            wait_until(lambda: "trying again" in program.output(), "it says so", 15)
            self.assertIsNone(program.process.poll())
            self.assertIn("the API at", program.output())

    def test_keys_are_listed_and_revoked_and_what_they_did_is_kept(self):
        self.furnish(rows=4)
        key = self.key("read", "submit")
        listed = [json.loads(line) for line in
                  self.assay("key", "list", "--json", "--store", self.store("assay.db"))[0].splitlines()]
        self.assertNotIn(key, json.dumps(listed))
        mine = listed[-1]["id"]
        run = self.create(key=key)
        self.ok("POST", f"/v1/evaluation/runs/{run}/cancel", key=key)
        log = self.ok("GET", "/v1/audit")["data"]
        self.assertEqual([(e["key"], e["action"], e["on"], e["status"]) for e in log[:2]],
                         [(mine, "POST /evaluation/runs/{run}/cancel", run, 200), (mine, "POST /evaluation/runs", run, 200)])
        self.assay("key", "revoke", mine, "--store", self.store("assay.db"))
        wait_until(lambda: self.call("GET", "/v1/evaluation/runs", key=key)[0] == 401, "the key is worth nothing", 10)
        _, again = self.assay("key", "revoke", mine, "--store", self.store("assay.db"))
        self.assertIn("revoked already", again)
        _, unknown = self.assay("key", "revoke", "key_0", "--store", self.store("assay.db"), code=2)
        self.assertNotIn("already", unknown)

    def test_a_revoked_key_is_granted_nothing_that_it_waited_for(self):
        self.furnish(rows=4)
        key = self.key("worker")
        hello = {"name": "w", "boot_id": "b", "protocol": 1, "sandbox": "full", "labels": ["language:lua"]}
        who = {"worker_id": self.ok("POST", "/v1/workers", hello, key=key)["worker_id"], "boot_id": "b"}
        answers = []

        def wait():
            answers.append(self.call("POST", "/v1/claims", {**who, "claim_id": "1", "max": 4, "wait_ms": 30000}, key=key))
        claim = threading.Thread(target=wait)
        claim.start()
        mine = [json.loads(line) for line in
                self.assay("key", "list", "--json", "--store", self.store("assay.db"))[0].splitlines()][-1]["id"]
        self.assay("key", "revoke", mine, "--store", self.store("assay.db"))
        wait_until(lambda: self.call("GET", "/v1/evaluation/runs", key=key)[0] == 401, "the key is worth nothing", 10)
        self.create()
        claim.join(60)
        self.assertEqual(answers[0][0], 401, answers)

    def test_one_outcome_that_the_api_does_not_take_costs_that_outcome(self):
        self.furnish(rows=40, code="""
function run_evaluation(item)
  return {score = 1, reason = item.index == 7 and ("x"):rep(12 * 1024 * 1024) or ""}
end""")
        self.ok("PATCH", "/v1/evaluators/flaky", {"limits": {"result_bytes": 16 << 20, "memory_bytes": 256 << 20}})
        run = self.create()
        self.start_worker()
        answer = self.finished(run)
        self.assertEqual((answer["status"], answer["progress"]["outcomes_done"], answer["progress"]["errors"]), ("completed", 40, 1))
        failed = [line for line in self.results(run) if line.get("error")]
        self.assertEqual([(r["index"], r["error"]["kind"]) for r in failed], [(7, "output_limit")])

    def test_rows_of_a_few_bytes(self):
        lines = "".join('{"input":"%d"}\n' % (i % 10) for i in range(17))
        self.furnish(rows=1)
        self.ok("POST", "/v1/datasets?name=tiny", lines.encode(), headers={"Content-Type": "application/jsonl"})
        self.evaluator("any", "function run_evaluation(item) return tonumber(item.sample.input) end")
        side = {"type": "dataset", "dataset": "tiny", "columns": {"input": "input"}}
        run = self.ok("POST", "/v1/evaluation/runs", {"container": "app", "evaluators": ["any"], "sample": side,
                                                      "ground_truth": side, "shard_size": 1})["id"]
        self.start_worker()
        answer = self.finished(run)
        self.assertEqual((answer["status"], answer["progress"]["errors"]), ("completed", 0), answer)
        scores = sorted((line["index"], line["score"]) for line in self.results(run))
        self.assertEqual(scores, [(i, i % 10) for i in range(17)])

    def test_too_many_shards_are_refused(self):
        self.furnish(rows=1)
        self.ok("POST", "/v1/datasets?name=many", b'{"input":"a"}\n' * 100001, headers={"Content-Type": "application/jsonl"})
        side = {"type": "dataset", "dataset": "many"}
        status, answer = self.call("POST", "/v1/evaluation/runs", {"container": "app", "evaluators": ["flaky"], "sample": side,
                                                                   "ground_truth": side, "shard_size": 1})
        self.assertEqual((status, answer["error"]["param"]), (422, "shard_size"), answer)


if __name__ == "__main__":
    main()
