"""The worker's spool: what was computed is on its disk until the API has it, whoever dies."""
import collections
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import socketserver
import struct
import threading

from harness import Case, UnixConnection, main, wait_until

# Slow enough to be caught in the middle; `reason` makes outcomes as large as `params.size` says.
SLOW = """
function run_evaluation(item)
  local x = 0
  for i = 1, 300000 do x = x + i % 7 end
  return {score = (item.index * 37 % 101) / 100, reason = string.rep("r", assay.params.size)}
end
"""


def spooled(folder):
    """The items in a spool that are not acknowledged, read from its files as docs/spool.md says they are."""
    try:
        segments = [path.read_bytes() for path in sorted(pathlib.Path(folder).glob("*.spool"))]
    except FileNotFoundError:  # unlinked meanwhile
        return spooled(folder)
    waiting = collections.defaultdict(dict)
    for data in segments:
        at = 8
        while at + 24 <= len(data):
            _, size, seq, _, kind = struct.unpack_from("<IIQII", data, at)
            payload = data[at + 24:at + 24 + size]
            if kind not in (1, 2, 3) or len(payload) < size:
                break
            if kind == 2:
                lease, = struct.unpack_from("<I", payload)
                waiting[lease][seq] = json.loads(payload[4:])["item"]
            elif kind == 3:
                lease, through = struct.unpack("<IQ", payload)
                for known in [s for s in waiting[lease] if s <= through]:
                    del waiting[lease][known]
            at += (24 + size + 7) // 8 * 8
    return sorted(item for lease in waiting.values() for item in lease.values())


class Proxy(socketserver.ThreadingUnixStreamServer):
    """Stands before the API; `answer(method, path, forward)` decides what becomes of a request."""
    daemon_threads = True

    def __init__(self, path, upstream):
        super().__init__(path, ProxyHandler)
        self.upstream = upstream
        self.answer = lambda method, path, forward: forward()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class ProxyHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "worker"

    def log_message(self, *_):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (OSError, ConnectionError):
            self.close_connection = True

    def relay(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def forward():
            connection = UnixConnection(self.server.upstream)
            try:
                headers = {k: v for k, v in self.headers.items() if k in ("Authorization", "Accept", "Content-Type")}
                connection.request(self.command, self.path, body=body, headers=headers)
                answer = connection.getresponse()
                return answer.status, answer.headers.get("Content-Type", ""), answer.read()
            finally:
                connection.close()

        answer = self.server.answer(self.command, self.path, forward)
        if answer is None:
            self.close_connection = True
            return
        status, kind, content = answer
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if status != 204:
            self.wfile.write(content)

    do_GET = do_POST = relay


class Notifications:
    """The status lines that a program tells systemd. Always read: who tells waits for room."""

    def __init__(self, path):
        self.path = str(path)
        self.lines = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while True:
            text = self.socket.recv(65536).decode()
            if text.startswith("STATUS="):
                self.lines.append(text)

    def next(self):
        """The next line to come."""
        seen = len(self.lines)
        wait_until(lambda: len(self.lines) > seen, "a status line")
        return self.lines[seen]


class Spool(Case):
    ITEMS = 1500

    def setUp(self):
        super().setUp()
        self.admin = None

    def begin(self, items=ITEMS, shard_size=300, size=10):
        self.admin = self.key("admin", "submit", "read")
        self.worker_key = self.key("worker")
        lines = "".join(json.dumps({"input": str(i), "output": str(i)}) + "\n" for i in range(items))
        self.ok("POST", "/v1/datasets?name=rows", lines.encode(), headers={"Content-Type": "application/jsonl"})
        self.ok("POST", "/v1/containers", {"label": "app"})
        self.ok("POST", "/v1/evaluators", {"name": "slow", "type": "code", "language": "lua", "code": SLOW,
                                           "params": {"size": size}})
        side = {"type": "dataset", "dataset": "rows"}
        return self.ok("POST", "/v1/evaluation/runs", {"container": "app", "evaluators": ["slow"], "sample": side,
                                                       "ground_truth": side, "shard_size": shard_size})["id"]

    def spool_worker(self, **settings):
        return self.worker("w", self.worker_key, **{"log_level": "debug", "worker_hosts": 2, **settings})

    @property
    def spool(self):
        return self.folder / "spool" / "w"

    def done(self, run):
        return self.ok("GET", f"/v1/evaluation/runs/{run}")["progress"]["items_done"]

    def check_complete(self, run, items=ITEMS):
        answer = self.finished(run)
        self.assertEqual(answer["status"], "completed", answer)
        self.assertEqual([(r["index"], r["score"]) for r in self.results(run)],
                         [(i, (i * 37 % 101) / 100) for i in range(items)])

    def acknowledged(self, *workers):
        """Sums over what the API said to workers: {leftover: (inserted, duplicate)}."""
        sums = {"0": [0, 0], "1": [0, 0]}
        for worker in workers:
            for leftover, inserted, duplicate in re.findall(
                    r"outcomes acknowledged.* leftover=(\d) .*inserted=(\d+) duplicate=(\d+)", worker.output()):
                sums[leftover][0] += int(inserted)
                sums[leftover][1] += int(duplicate)
        return {name == "1": tuple(sum) for name, sum in sums.items()}

    def emptied(self):
        wait_until(lambda: not spooled(self.spool), "the spool is empty")

    def test_api_and_worker_killed_lose_nothing_and_compute_nothing_twice(self):
        server = self.serve()
        run = self.begin()
        victim = self.spool_worker()
        wait_until(lambda: self.done(run) > 50, "the first outcomes")
        server.signal(signal.SIGKILL)
        server.wait()
        wait_until(lambda: len(spooled(self.spool)) > 50, "outcomes in the spool")
        victim.signal(signal.SIGKILL)
        victim.wait()
        kept = spooled(self.spool)
        self.assertEqual(len(kept), len(set(kept)))
        # The worker comes first, and waits.
        successor = self.spool_worker()
        wait_until(lambda: "of an earlier process are in the spool" in successor.output(), "the spool is recovered")
        self.serve()
        before = self.done(run)
        self.check_complete(run)
        sums = self.acknowledged(successor)
        # All that was kept was posted as it was, and of the rest nothing was there already.
        self.assertEqual(sum(sums[True]), len(kept))
        self.assertEqual(sums[False][1], 0, "an item whose outcome was in the spool was evaluated again")
        self.assertGreaterEqual(before + sums[True][0] + sums[False][0], self.ITEMS)
        self.emptied()
        successor.signal(signal.SIGTERM)
        self.assertEqual(successor.wait(), 0, successor.output())
        self.assertEqual(list(self.spool.glob("*.spool")), [])

    def test_a_worker_killed_over_and_over_computes_nothing_twice(self):
        self.serve()
        run = self.begin()
        workers = []
        for turn in range(1, 6):
            workers.append(self.spool_worker())
            wait_until(lambda: self.done(run) >= turn * 150, "some outcomes more")
            workers[-1].signal(signal.SIGKILL)
            workers[-1].wait()
        workers.append(self.spool_worker())
        self.check_complete(run)
        self.assertEqual(self.acknowledged(*workers)[False][1], 0)

    def test_sigterm_without_an_api_leaves_the_spool_to_the_next_start(self):
        server = self.serve()
        run = self.begin()
        first = self.spool_worker(worker_drain_grace="1s")
        wait_until(lambda: self.done(run) > 50, "the first outcomes")
        server.signal(signal.SIGKILL)
        server.wait()
        first.signal(signal.SIGTERM)
        self.assertEqual(first.wait(), 0, first.output())
        kept = spooled(self.spool)
        self.assertGreater(len(kept), 0)
        self.assertIn(f"outcomes={len(kept)} ", first.output().split("outcomes stay in the spool")[1])
        # A start without an API waits, and leaves at the first signal.
        waiting = self.spool_worker()
        wait_until(lambda: "of an earlier process are in the spool" in waiting.output(), "the spool is recovered")
        waiting.signal(signal.SIGTERM)
        self.assertEqual(waiting.wait(), 0, waiting.output())
        self.assertEqual(spooled(self.spool), kept)
        self.serve()
        last = self.spool_worker()
        self.check_complete(run)
        sums = self.acknowledged(last)
        self.assertEqual(sum(sums[True]), len(kept))
        self.assertEqual(sums[False][1], 0)

    def test_a_second_signal_leaves_at_once_and_keeps_what_there_is(self):
        server = self.serve()
        run = self.begin()
        worker = self.spool_worker(worker_drain_grace="10m")
        wait_until(lambda: self.done(run) > 50, "the first outcomes")
        server.signal(signal.SIGKILL)
        server.wait()
        worker.signal(signal.SIGTERM)
        wait_until(lambda: "draining" in worker.output(), "the first signal is taken")
        wait_until(lambda: len(spooled(self.spool)) > 50, "outcomes in the spool")
        before = set(spooled(self.spool))
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0, worker.output())
        left = before - set(spooled(self.spool))
        self.serve()
        # Of those that the API had, the acknowledgement may not have been on the disk yet.
        self.assertLessEqual(left, {result["index"] for result in self.results(run)})

    def test_outcomes_of_a_process_that_is_superseded_are_taken_too(self):
        server = self.serve()
        run = self.begin()
        first = self.spool_worker(worker_drain_grace="1s")
        wait_until(lambda: self.done(run) > 50, "the first outcomes")
        server.signal(signal.SIGKILL)
        server.wait()
        first.signal(signal.SIGTERM)
        self.assertEqual(first.wait(), 0, first.output())
        kept = spooled(self.spool)
        self.assertGreater(len(kept), 0)
        self.serve()
        # Another process takes the name over, with a spool of its own.
        other = self.worker("w", self.worker_key, spool_folder=self.folder / "other")
        wait_until(lambda: "registered" in other.output(), "the other is registered")
        other.signal(signal.SIGKILL)
        other.wait()
        last = self.spool_worker()
        self.check_complete(run)
        self.assertEqual(sum(self.acknowledged(last)[True]), len(kept))
        self.emptied()

    def test_a_full_spool_stops_reading_and_goes_on_when_there_is_room(self):
        self.serve()
        run = self.begin(shard_size=1500, size=20_000)
        api, self.socket = self.socket, str(self.folder / "proxy.sock")
        proxy = Proxy(self.socket, api)
        away = threading.Event()
        away.set()
        pages = []

        def answer(method, path, forward):
            if "/rows" in path:
                pages.append(path)
            if away.is_set() and path.endswith("/outcomes"):
                return 503, "text/plain", b"not now"
            return forward()
        proxy.answer = answer
        told = Notifications(self.folder / "notify.sock")
        os.environ["NOTIFY_SOCKET"] = told.path
        self.addCleanup(os.environ.pop, "NOTIFY_SOCKET")
        worker = self.spool_worker(spool_bytes=1 << 20)
        # It evaluates what it has read, reads no more, says so, and keeps within its bound.
        wait_until(lambda: " 0 items in flight" in (status := told.next()) and "nothing is claimed" in status,
                   "it says that it stopped")
        read = len(pages)
        for _ in range(3):
            self.assertIn(" 0 items in flight", told.next())
        self.assertEqual(len(pages), read)
        self.assertLess(read * 256, 1500)
        self.assertIn("the spool is full", worker.output())
        self.assertLessEqual(sum(path.stat().st_size for path in self.spool.glob("*.spool")), 1 << 20)
        self.assertEqual(self.done(run), 0)
        away.clear()
        self.check_complete(run)
        self.assertIn("the spool has room again", worker.output())
        self.assertGreater(len(pages), read)
        self.assertEqual(self.acknowledged(worker)[False], (1500, 0))

    def test_only_an_echo_is_an_acknowledgement(self):
        self.serve()
        run = self.begin(items=600)
        api, self.socket = self.socket, str(self.folder / "proxy.sock")
        proxy = Proxy(self.socket, api)
        bad = iter([
            lambda forward: (200, "text/html", b"<h1>Welcome to the hotel's network</h1>"),
            lambda forward: (404, "text/html", b"<h1>no such page</h1>"),
            lambda forward: (403, "text/html", b"<h1>log in first</h1>"),
            lambda forward: (200, "application/json", forward()[2][:-20]),
            lambda forward: (200, "application/json", re.sub(rb'"crc32c":\d+', b'"crc32c":1', forward()[2])),
            lambda forward: (502, "text/html", b"<h1>Bad gateway</h1>"),
            lambda forward: (forward(), None)[1],  # stored, and the answer is lost
        ])
        lock = threading.Lock()

        def answer(method, path, forward):
            if not path.endswith("/outcomes"):
                return forward()
            with lock:
                how = next(bad, None)
            return how(forward) if how else forward()
        proxy.answer = answer
        self.spool_worker()
        self.check_complete(run, 600)
        self.assertIsNone(next(bad, None))
        self.emptied()

    def test_a_run_that_was_cancelled_meanwhile_leaves_the_spool(self):
        server = self.serve()
        run = self.begin()
        first = self.spool_worker(worker_drain_grace="1s")
        wait_until(lambda: self.done(run) > 50, "the first outcomes")
        server.signal(signal.SIGKILL)
        server.wait()
        first.signal(signal.SIGTERM)
        self.assertEqual(first.wait(), 0, first.output())
        self.assertGreater(len(spooled(self.spool)), 0)
        self.serve()
        self.ok("POST", f"/v1/evaluation/runs/{run}/cancel", {})
        stored = len(self.results(run))
        last = self.spool_worker()
        wait_until(lambda: "registered" in last.output(), "it is registered")
        self.emptied()
        self.assertIn("outcomes are not wanted any more", last.output())
        self.assertEqual(len(self.results(run)), stored)

    def test_outcomes_for_another_database_are_kept_aside(self):
        server = self.serve()
        run = self.begin()
        first = self.spool_worker(worker_drain_grace="1s")
        wait_until(lambda: self.done(run) > 50, "the first outcomes")
        server.signal(signal.SIGKILL)
        server.wait()
        first.signal(signal.SIGTERM)
        self.assertEqual(first.wait(), 0, first.output())
        kept = spooled(self.spool)
        self.assertGreater(len(kept), 0)
        self.serve(store="new.db")
        self.worker_key = self.key("worker", store="new.db")
        last = self.spool_worker()
        wait_until(lambda: "does not know the run" in last.output(), "the other database is noticed")
        self.emptied()
        self.assertEqual(spooled(self.spool / "bad"), kept)

    def test_a_second_process_with_the_same_spool_is_refused(self):
        self.serve()
        self.begin()
        first = self.spool_worker()
        wait_until(lambda: "registered" in first.output(), "it is registered")
        second = self.worker("other", self.worker_key, spool_folder=self.spool)
        self.assertEqual(second.wait(), 2)
        self.assertIn("another process uses the spool in", second.output())
        self.assertNotIn("superseded", first.output())


if __name__ == "__main__":
    main()
