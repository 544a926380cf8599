"""What a server and a worker tell those who watch them: log lines, series, readiness."""
import contextlib
import json
import re
import signal
import socket

from harness import BIN, Case, UnixConnection, main, wait_until

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\.)*",?)*\})?) (\S+)')


def series(text):
    """The samples of an exposition by name and labels; refuses what is none."""
    found = {}
    for line in text.splitlines():
        if line.startswith("# HELP ") or line.startswith("# TYPE "):
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        assert match[1] not in found, line
        found[match[1]] = float(match[2])
    return found


class Server(Case):
    def page(self, path, target="/metrics"):
        connection = UnixConnection(str(path))
        try:
            connection.request("GET", target)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return None, ""
        finally:
            connection.close()

    def lines(self, server):
        """The access log: a dictionary a line."""
        found = []
        for line in server.output().splitlines():
            if match := re.search(r" (\w+): request (.*)", line):
                fields = dict(re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)', match[2]))
                found.append({"level": match[1], **{k: v.strip('"') for k, v in fields.items()}})
        return found

    def test_every_request_has_a_line_without_secrets(self):
        server = self.serve()
        self.admin = self.key("admin", "submit", "read")
        self.ok("POST", "/v1/containers", {"label": "secret-label"}, headers={"X-Request-Id": "first"})
        status, answer = self.call("GET", "/v1/containers/secret-name?limit=5", headers={"X-Request-Id": "second"})
        self.assertEqual(status, 404)
        self.assertEqual(answer["error"]["request_id"], "second")
        self.call("GET", "/v1/evaluation/runs/run_0123", headers={"X-Request-Id": "third"})
        self.call("GET", "/v1/containers", key="ak_wrong", headers={"X-Request-Id": "fourth"})
        wait_until(lambda: "id=fourth" in server.output(), "the lines are written")
        lines = {line["id"]: line for line in self.lines(server)}
        self.assertEqual((lines["first"]["route"], lines["first"]["status"], lines["first"]["level"]),
                         ("POST /containers", "200", "info"))
        self.assertGreater(int(lines["first"]["bytes"]), 10)
        self.assertGreaterEqual(int(lines["first"]["ms"]), 0)
        self.assertEqual((lines["second"]["route"], lines["second"]["status"]), ("GET /containers/{container}", "404"))
        self.assertEqual(lines["third"]["run"], "run_0123")
        self.assertEqual(lines["fourth"]["status"], "401")
        self.assertEqual(lines["first"]["key"], lines["second"]["key"])
        self.assertNotIn("key", lines["fourth"])  # nobody's
        self.assertIn("project", lines["first"])
        for secret in (self.admin, "ak_wrong", "secret-label", "secret-name", "limit=5"):
            self.assertNotIn(secret, server.output())
        self.assertNotIn("healthz", server.output())  # probes are for `debug`

    def test_only_a_server_makes_a_store(self):
        for arguments in (("create", "--scope", "read"), ("list",), ("revoke", "key_1")):
            _, error = self.assay("key", *arguments, code=2)
            self.assertIn("there is no store assay.db here: name it with --store, or start `assay serve` once", error)
            self.assertEqual(list(self.folder.iterdir()), [])
        # As in a script that does not wait for the server it has just started.
        self.start(BIN / "assay", "serve", "--listen", "127.0.0.1:0", "--store", self.folder / "assay.db")
        self.key("read")

    def test_the_access_log_can_be_off(self):
        self.write("api.toml", "[log]\naccess = false\n")
        server = self.serve("--config", self.folder / "api.toml")
        self.admin = self.key("read")
        self.ok("GET", "/v1/containers")
        server.signal(signal.SIGTERM)
        server.wait()
        self.assertEqual(self.lines(server), [])

    def test_a_rate_is_set_for_every_key(self):
        self.write("api.toml", "[api]\nrate = 1\nburst = 2\n")
        self.serve("--config", self.folder / "api.toml")
        self.admin = self.key("read")
        statuses = [self.call("GET", "/v1/containers")[0] for _ in range(5)]
        self.assertEqual(statuses[:2], [200, 200])
        self.assertIn(429, statuses)

    def test_idle_connections_keep_no_worker_out(self):
        env = {"ASSAY_API_CONNECTIONS": "64", "ASSAY_API_LEASE_TTL": "1s", "ASSAY_LOG_LEVEL": "debug"}
        server = self.start(BIN / "assay", "serve", "--listen", "127.0.0.1:0", "--store", self.folder / "assay.db", env=env)
        address = wait_until(lambda: re.search(r"serving address=127.0.0.1:(\d+)", server.output()), "it listens")
        self.admin = self.key("read")
        secret = self.write("worker.key", self.key("worker"))
        worker = self.start(BIN / "assayd", env={"ASSAY_API_URL": f"http://127.0.0.1:{address[1]}", "ASSAY_WORKER_NAME": "w",
                                                 "ASSAY_API_KEY_FILE": str(secret), "ASSAY_SPOOL_FOLDER": str(self.folder / "spool")})

        def heartbeats():
            return sum("POST /heartbeat" in line["route"] and line["status"] == "200" for line in self.lines(server))

        wait_until(heartbeats, "the worker is there")
        with contextlib.ExitStack() as held:
            def more():
                for begun in (b"", b"GET /v1/hea"):
                    idle = held.enter_context(socket.create_connection(("127.0.0.1", int(address[1])), 5))
                    idle.sendall(begun)
            for _ in range(100):
                more()
            before = heartbeats()
            wait_until(lambda: more() or heartbeats() >= before + 5, "heartbeats arrive", 20)
        self.assertIn("idle ones are closed for new ones", server.output())
        self.assertNotIn("new ones are refused", server.output())
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0, worker.output())

    def test_the_limit_of_connections_fits_the_descriptors(self):
        server = self.start("sh", "-c", 'ulimit -n 300; exec "$@"', "sh", BIN / "assay", "serve", "--listen", "127.0.0.1:0", "--store",
                            self.folder / "assay.db")
        wait_until(lambda: "serving" in server.output(), "it listens")
        self.assertIn("connections=172 descriptors=300", server.output())

    def test_metrics_of_server_and_worker(self):
        metrics = self.folder / "metrics.sock"
        self.write("api.toml", f'[api]\nmetrics_listen = "unix:{metrics}"\n')
        beside = self.folder / "worker.sock"
        key = self.folder / "worker.key"
        self.socket = str(self.folder / "api.sock")
        key.write_text("ak_later")
        # The worker is there first: alive, and not ready.
        env = {"ASSAY_API_URL": f"unix:{self.socket}", "ASSAY_API_KEY_FILE": str(key), "ASSAY_WORKER_NAME": "w",
               "ASSAY_METRICS_LISTEN": f"unix:{beside}"}
        early = self.start(BIN / "assayd", env=env)
        wait_until(lambda: self.page(beside, "/livez")[0] == 200, "the worker is alive")
        self.assertEqual(self.page(beside, "/readyz"), (503, "starting\n"))
        self.assertEqual(series(self.page(beside)[1])['assay_worker_state{state="starting"}'], 1)
        wait_until(lambda: series(self.page(beside)[1]).get('assay_worker_api_calls_total{call="workers",status="0"}'),
                   "it tries to register")
        self.assertEqual(series(self.page(beside)[1])["assay_worker_api_up"], 0)
        early.signal(signal.SIGTERM)
        early.wait()

        self.serve("--config", self.folder / "api.toml")
        self.admin = self.key("admin", "submit", "read")
        key.write_text(self.key("worker"))
        worker = self.start(BIN / "assayd", env=env)
        wait_until(lambda: self.page(beside, "/readyz") == (200, "claiming\n"), "the worker is ready")
        rows = "".join(json.dumps({"a": i}) + "\n" for i in range(50))
        self.ok("POST", "/v1/datasets?name=rows", rows.encode(), headers={"Content-Type": "application/jsonl"})
        self.ok("POST", "/v1/containers", {"label": "app"})
        self.ok("POST", "/v1/evaluators", {"name": "one", "type": "code", "language": "lua", "pass_threshold": 0.5,
                                           "code": "function run_evaluation(item) return 1 end"})
        side = {"type": "dataset", "dataset": "rows", "columns": {"input": "a"}}
        run = self.ok("POST", "/v1/evaluation/runs", {"container": "app", "evaluators": ["one"], "sample": side, "ground_truth": side,
                                                      "shard_size": 10})["id"]
        self.assertEqual(self.finished(run)["status"], "completed")
        found = series(self.page(beside)[1])
        self.assertEqual(found["assay_worker_outcomes_posted_total"], 50)
        self.assertEqual(found["assay_worker_shards_claimed_total"], 5)
        self.assertEqual(found["assay_worker_api_up"], 1)
        self.assertEqual(found['assay_worker_state{state="claiming"}'], 1)
        self.assertEqual(found['assay_worker_state{state="draining"}'], 0)
        self.assertGreaterEqual(found['assay_worker_api_seconds_count{call="outcomes"}'], 5)
        self.assertFalse([name for name in found if run in name])
        served = series(self.page(metrics)[1])
        self.assertEqual(served['assay_api_requests_total{route="POST /evaluation/runs",status="200"}'], 1)
        self.assertGreaterEqual(served['assay_api_requests_total{route="POST /runs/{run}/shards/{shard}/outcomes",status="200"}'], 5)
        self.assertGreaterEqual(served["assay_connections"], 1)
        self.assertEqual(self.page(metrics, "/v1/containers")[0], 404)
        status, _ = self.page(self.socket)
        self.assertEqual(status, 401)  # beside the API a key is needed, of one who watches the whole server
        self.assertEqual(self.call("GET", "/metrics")[0], 403)
        self.assay("key", "create", "--store", self.store("assay.db"), "--scope", "monitor", code=2)
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0, worker.output())

    def test_an_address_that_cannot_be_had_is_told(self):
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        key = self.write("k", "ak_x")
        worker = self.start(BIN / "assayd", env={"ASSAY_API_KEY_FILE": str(key), "ASSAY_METRICS_LISTEN": address})
        self.assertEqual(worker.wait(), 2)
        self.assertIn("metrics.listen: cannot listen on " + address, worker.output())
        self.write("api.toml", f'[api]\nmetrics_listen = "{address}"\n')
        _, error = self.assay("serve", "--config", "api.toml", "--listen", "127.0.0.1:0", code=2)
        self.assertIn("api.metrics_listen: cannot listen on " + address, error)


if __name__ == "__main__":
    main()
