"""Starts the real programs on temporary folders and free ports, and stops them after."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

BIN = pathlib.Path(os.environ["ASSAY_BIN"])
SOURCE = pathlib.Path(os.environ["ASSAY_SOURCE"])
# Sanitized programs are slower; a deadline is there to end a hang, not to measure.
DEADLINE = 120


def gsm8k():
    """The path of the GSM8K solutions, or None: they are not part of the project."""
    folder = pathlib.Path(os.environ.get("ASSAY_SHARED_DATA", SOURCE.parent / "shared" / "data"))
    path = folder / "gsm8k" / "example_model_solutions.jsonl"
    return path if path.exists() else None


def wait_until(condition, what, seconds=DEADLINE):
    """Waits for `condition()` to be true and returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=DEADLINE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE)
        self.sock.connect(self.path)


class Program:
    """A child that is always ended and reaped."""

    def __init__(self, *arguments, env=None, **keywords):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([str(a) for a in arguments], stdout=self.log, stderr=self.log,
                                        env={**os.environ, **(env or {})}, **keywords)

    def output(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=DEADLINE):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running: {self.process.args}\n{self.output()}") from None

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="assay-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def start(self, *arguments, **keywords):
        program = Program(*arguments, **keywords)
        self.addCleanup(program.end)
        return program

    def assay(self, *arguments, code=0, **keywords):
        """Runs `assay` to its end and checks its exit code; (stdout, stderr)."""
        done = subprocess.run([str(BIN / "assay"), *[str(a) for a in arguments]], capture_output=True, text=True,
                              timeout=DEADLINE, cwd=self.folder, **keywords)
        self.assertEqual(done.returncode, code, f"{arguments}\n{done.stdout}\n{done.stderr}")
        return done.stdout, done.stderr

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def mock_llm(self, rules):
        """Starts the mock of a model's API with these rules; its address."""
        server = self.start(BIN / "assay", "mock-llm", "--listen", "127.0.0.1:0", "--rules", self.write("rules.toml", rules))
        return wait_until(lambda: re.search(r"http://127\.0\.0\.1:\d+", server.output()), "the mock answers").group()

    # An API of its own, on a Unix socket.

    def serve(self, *arguments, store="assay.db", name="api"):
        """Becomes the server that is called. `store`: a file in the folder, or an address."""
        self.socket = str(self.folder / f"{name}.sock")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket)
        server = self.start(BIN / "assay", "serve", "--listen", f"unix:{self.socket}", "--store", self.store(store),
                            *arguments)
        wait_until(lambda: server.process.poll() is not None or self.healthy(), "the API answers")
        self.assertIsNone(server.process.poll(), server.output())
        return server

    def store(self, name):
        return name if "://" in str(name) else self.folder / name

    def healthy(self):
        try:
            return self.call("GET", "/healthz", key=None)[0] == 200
        except OSError:
            return False

    def key(self, *scopes, project="default", store="assay.db", containers=()):
        options = [part for scope in scopes for part in ("--scope", scope)]
        options += [part for container in containers for part in ("--container", container)]
        out, _ = self.assay("key", "create", "--store", self.store(store), "--project", project, *options)
        return out.strip()

    def call(self, method, path, body=None, key="", headers=None):
        """One request; (status, parsed body)."""
        connection = UnixConnection(self.socket)
        headers = dict(headers or {})
        if key is not None:
            headers["Authorization"] = f"Bearer {key or self.admin}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if "jsonl" in answer.headers.get("Content-Type", ""):
            return answer.status, [json.loads(line) for line in text.splitlines()]
        return answer.status, json.loads(text) if text else None

    def ok(self, method, path, body=None, **keywords):
        status, answer = self.call(method, path, body, **keywords)
        self.assertIn(status, (200, 201), answer)
        return answer

    def worker(self, name, key, **settings):
        key_file = self.folder / f"{name}.key"
        key_file.write_text(key)
        env = {"ASSAY_API_URL": f"unix:{self.socket}", "ASSAY_API_KEY_FILE": str(key_file), "ASSAY_WORKER_NAME": name,
               "ASSAY_SPOOL_FOLDER": str(self.folder / "spool" / name),
               **{f"ASSAY_{k.upper()}": str(v) for k, v in settings.items()}}
        return self.start(BIN / "assayd", env=env)

    def finished(self, run):
        """The run once it is terminal."""
        def look():
            status, answer = self.call("GET", f"/v1/evaluation/runs/{run}")
            if status == 503:  # its store is away for a moment
                return None
            assert status == 200, answer
            return answer if answer["status"] in ("completed", "error", "cancelled") else None
        return wait_until(look, f"run {run} ends")

    def results(self, run):
        return self.ok("GET", f"/v1/evaluation/runs/{run}/results", headers={"Accept": "application/jsonl"})


def main():
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    unittest.main(verbosity=2)
