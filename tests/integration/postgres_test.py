"""The API on PostgreSQL: several servers on one database, and what happens when it goes away."""
import http.client
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import workers_test
from harness import BIN, UnixConnection, main, wait_until
from postgres import Postgres


class OnPostgres(workers_test.Workers):
    """All that workers must survive, on this store; and what is its own."""

    def setUp(self):
        super().setUp()
        self.database = Postgres()
        self.addCleanup(self.database.stop)
        self.where = self.database.address()

    def ask(self, path, key, method="GET", body=None):
        """Status and headers of one request."""
        connection = UnixConnection(self.socket)
        try:
            connection.request(method, path, body=body, headers={"Authorization": f"Bearer {key}"})
            answer = connection.getresponse()
            answer.read()
            return answer.status, dict(answer.getheaders())
        finally:
            connection.close()

    def test_servers_that_start_together_make_one_schema(self):
        sockets = [self.folder / f"s{i}.sock" for i in range(6)]
        servers = [self.start(BIN / "assay", "serve", "--listen", f"unix:{s}", "--store", self.where) for s in sockets]
        for socket in sockets:
            self.socket = str(socket)
            wait_until(self.healthy, "each of them serves")
        for server in servers:
            self.assertIsNone(server.process.poll(), server.output())
        self.assertEqual(self.database.sql("SELECT count(*) - max(version) FROM assay_schema"), "0")
        self.assertEqual(self.database.sql("SELECT count(*) FROM meta"), "1")

    def test_a_database_that_is_not_up_yet_is_no_bad_setting(self):
        self.database.kill()
        # With 2, a setting that is wrong, systemd would not start it again (RestartPreventExitStatus).
        _, err = self.assay("serve", "--store", self.where, code=3)
        self.assertIn("cannot open the PostgreSQL store", err)

    def test_a_database_of_a_newer_version_is_refused(self):
        self.key("admin")
        self.database.sql("INSERT INTO assay_schema VALUES(99)")
        out, err = self.assay("serve", "--store", self.where, code=2)
        self.assertIn("newer version of assay (schema 99", out + err)

    def test_a_password_does_not_belong_into_the_address(self):
        out, err = self.assay("serve", "--store", "postgresql://me:hunter2@nowhere/db", code=2)
        self.assertIn("passfile=", out + err)
        self.assertNotIn("hunter2", out + err)

    def test_an_outage_is_told_once_and_seen_by_monitors(self):
        server = self.serve(store=self.where)
        reader, monitor = self.key("read"), self.key("monitor", project="*")
        self.assertEqual(self.ask("/metrics", monitor)[0], 200)
        self.database.kill()
        wait_until(lambda: "the store is away" in server.output(), "it is told")
        for _ in range(5):
            wait_until(lambda: self.ask("/v1/containers", reader)[0] == 503, "requests are refused")
        self.assertEqual(self.ask("/metrics", monitor)[0], 200)  # by a key that was good before
        self.assertEqual(self.ask("/metrics", reader)[0], 503)
        self.database.start()
        wait_until(lambda: "the store is back" in server.output(), "it is told")
        wait_until(lambda: self.ask("/v1/containers", reader)[0] == 200, "requests are answered")
        told = [line for line in server.output().splitlines() if ": the store is " in line]
        self.assertEqual(len(told), 2, server.output())
        self.assertRegex(told[0], r"error: the store is away error=\S.+")
        self.assertRegex(told[1], r"info: the store is back after_s=\d+")

    def test_a_claim_at_one_server_hears_of_work_at_another(self):
        self.serve(store=self.where, name="one")
        first = self.socket
        self.serve(store=self.where, name="two")
        second = self.socket
        worker_key = self.key("worker")
        self.socket = first
        self.begin(items=4, shard_size=4)
        self.call("POST", f"/v1/evaluation/runs/{self.created}/cancel")
        self.socket = second
        who = {"worker_id": self.ok("POST", "/v1/workers", {
            "name": "w", "boot_id": "b", "protocol": 1, "sandbox": "full", "labels": ["language:lua"]},
            key=worker_key)["worker_id"], "boot_id": "b"}
        answers = []

        def claim():
            connection = UnixConnection(second)
            connection.request("POST", "/v1/claims", headers={"Authorization": f"Bearer {worker_key}",
                                                               "Content-Type": "application/json"},
                               body=workers_test.json.dumps({**who, "claim_id": "c", "max": 1, "wait_ms": 25000}))
            answers.append((connection.getresponse().status, time.monotonic()))
            connection.close()

        waiting = threading.Thread(target=claim)
        waiting.start()
        time.sleep(0.5)  # most of the time it waits by now; when not, the test only proves less
        self.assertEqual(answers, [])
        self.socket = first
        created = time.monotonic()
        self.create(shard_size=4)
        waiting.join()
        self.assertEqual(answers[0][0], 200)
        self.assertLess(answers[0][1] - created, 10)  # far from the 25 s that it would have waited

    def test_the_database_goes_away_and_comes_back(self):
        self.serve(store=self.where)
        run = self.begin()
        worker = self.worker("w", self.worker_key)
        wait_until(lambda: self.done(run) > 100, "the first outcomes")
        self.database.kill()
        status, headers = wait_until(
            lambda: (lambda a: a if a[0] == 503 else None)(self.ask(f"/v1/evaluation/runs/{run}", self.admin)), "503")
        self.assertGreaterEqual(int(headers["Retry-After"]), 1)
        self.assertEqual(self.ask("/readyz", self.admin)[0], 503)
        self.assertEqual(self.ask("/healthz", self.admin)[0], 200)
        self.assertIsNone(worker.process.poll(), worker.output())
        self.database.start()
        wait_until(lambda: self.ask("/readyz", self.admin)[0] == 200, "it is ready again")
        self.check_complete(run)
        self.assertEqual(self.database.sql("SELECT count(*) FROM shards WHERE state = 1"), "0")
        # Nobody lost a lease by it: what was held when the database went away was finished by its holder.
        self.assertEqual(self.database.sql("SELECT max(attempts) FROM shards"), "0")


if __name__ == "__main__":
    main()
