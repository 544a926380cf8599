"""The whole of it on one machine: PostgreSQL, API replicas, the proxy, workers; each may be killed and started again."""
import contextlib
import ctypes
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "integration")]
os.environ.setdefault("ASSAY_SOURCE", str(HERE.parent.parent))

from harness import BIN, wait_until  # noqa: E402
from postgres import Postgres  # noqa: E402
from proxy import Proxy  # noqa: E402

PR_SET_CHILD_SUBREAPER = 36
PROC = pathlib.Path("/proc")


def adopt_orphans():
    """What our children leave behind becomes our child, so that it can be found."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def family(pid):
    """The process and all that descend from it, as {pid: name}, parents first. Those that wait to be reaped are none."""
    parents, names = {}, {}
    for path in PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            head, rest = path.read_text().rsplit(")", 1)
            if rest.split()[0] != "Z":
                parents[int(path.parent.name)] = int(rest.split()[1])
                names[int(path.parent.name)] = head.split("(", 1)[1]
    members = [pid]
    for member in members:
        members += [child for child, parent in parents.items() if parent == member]
    return {member: names.get(member, "") for member in members}


class Connection(http.client.HTTPConnection):
    """To unix:/PATH or HOST:PORT."""

    def __init__(self, address, seconds):
        super().__init__("localhost", timeout=seconds)
        self.address = address

    def connect(self):
        if self.address.startswith("unix:"):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(self.timeout)
            self.sock.connect(self.address[5:])
        else:
            host, port = self.address.rsplit(":", 1)
            self.sock = socket.create_connection((host, int(port)), self.timeout)


class Node:
    """A program that is started over and over. What it says goes to one file."""

    def __init__(self, name, arguments, environment, folder):
        self.name, self.arguments = name, [str(a) for a in arguments]
        self.environment = {**os.environ, **{k: str(v) for k, v in environment.items()}}
        self.path = folder / f"{name}.log"
        self.process = None
        self.starts = 0

    def start(self):
        self.starts += 1
        with open(self.path, "ab") as log:
            log.write(f"--- start {self.starts}\n".encode())
            log.flush()
            self.process = subprocess.Popen(self.arguments, stdout=log, stderr=log, env=self.environment, cwd="/")
        return self

    def log(self):
        return self.path.read_text(errors="replace")

    @property
    def up(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        if self.up:
            self.process.send_signal(number)

    def signal_family(self, number):
        if self.up:
            for pid in family(self.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def kill(self):
        if self.up:
            self.process.kill()
            self.process.wait()

    def power_off(self):
        """With all that it started, at once."""
        self.signal_family(signal.SIGSTOP)
        self.signal_family(signal.SIGKILL)
        if self.process:
            self.process.wait()

    def drained(self, seconds=60):
        """The exit code after SIGTERM."""
        self.signal(signal.SIGTERM)
        return self.process.wait(seconds)


class TmpDisk:
    """A small disk of its own, which can be filled. Needs root."""

    def __init__(self, path, size="8m"):
        self.path = pathlib.Path(path)
        self.path.mkdir(parents=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(self.path)],
                              capture_output=True)
        self.mounted = done.returncode == 0

    def fill(self):
        with contextlib.suppress(OSError), open(self.path / "filler", "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def free(self):
        with contextlib.suppress(FileNotFoundError):
            (self.path / "filler").unlink()

    def remove(self):
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.path)], check=True)
            self.mounted = False


class Stack:
    """Nothing runs before start_*(); close() ends and removes all."""

    def __init__(self, replicas=2, lease_ttl="3s", api=None, host=None):
        """`host`: where replicas listen, from port 7700 on; without it on sockets in the folder."""
        adopt_orphans()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that all of it is ended and removed
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="assay-chaos-"))
        self.tmp = self.folder / "tmp"
        for name in ("tmp", "logs", "spool", "keys"):
            (self.folder / name).mkdir()
        self.host = host
        self.disks = []
        self.workers = {}
        self.replicas = []
        self.proxy = None
        self.database = None
        self.spawners = set()
        self.url = None  # of the API as workers see it
        self.admin = ""
        try:
            self.database = Postgres(settings=["max_connections=200"])
            for i in range(replicas):
                self.replicas.append(Node(
                    f"api{i}", [BIN / "assay", "serve", "--listen", self.address(i), "--store", self.database.address()],
                    {"ASSAY_API_LEASE_TTL": lease_ttl, "ASSAY_LOG_ACCESS": "false", "TMPDIR": self.tmp, **(api or {})},
                    self.folder / "logs"))
            for replica in self.replicas:
                replica.start()
            for i in range(replicas):
                wait_until(lambda i=i: self.healthy(i) or not self.replicas[i].up, f"replica {i} answers")
                if not self.replicas[i].up:
                    raise AssertionError(self.replicas[i].log())
            self.admin = self.make_key("admin", "submit", "read")
            self.worker_key = self.make_key("worker")
            (self.folder / "keys" / "worker").write_text(self.worker_key)
        except BaseException:
            self.close()
            raise

    def address(self, replica):
        return f"{self.host}:{7700 + replica}" if self.host else f"unix:{self.folder}/api{replica}.sock"

    def make_key(self, *scopes):
        options = [part for scope in scopes for part in ("--scope", scope)]
        return subprocess.run([str(BIN / "assay"), "key", "create", "--store", self.database.address(), *options], check=True,
                              capture_output=True, text=True).stdout.strip()

    def start_proxy(self, decide=lambda request: None, seed=0):
        self.proxy = Proxy("127.0.0.1:0", [self.address(i) for i in range(len(self.replicas))], decide, seed)
        self.url = f"http://{self.proxy.listen}"

    def worker(self, name, arguments=(), disk=False, **settings):
        """A new worker, not started yet."""
        if disk:
            self.disks.append(TmpDisk(self.folder / "spool" / name))
        environment = {"ASSAY_API_URL": self.url, "ASSAY_API_KEY_FILE": self.folder / "keys" / "worker",
                       "ASSAY_WORKER_NAME": name, "ASSAY_SPOOL_FOLDER": self.folder / "spool" / name,
                       "ASSAY_WORKER_DRAIN_GRACE": "5s", "ASSAY_LOG_LEVEL": "debug", "TMPDIR": self.tmp,
                       **{f"ASSAY_{k.upper()}": v for k, v in settings.items()}}
        self.workers[name] = Node(name, [*arguments, BIN / "assayd"], environment, self.folder / "logs")
        return self.workers[name]

    # The API, straight at a replica.

    def call(self, method, path, body=None, key=None, headers=None, replica=0, patience=30):
        """One request; (status, text)."""
        connection = Connection(self.address(replica), patience)
        headers = {"Authorization": f"Bearer {key or self.admin}", **(headers or {})}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def healthy(self, replica):
        try:
            return self.call("GET", "/healthz", replica=replica)[0] == 200
        except OSError:
            return False

    def ok(self, method, path, body=None, text=False, seconds=60, **keywords):
        """One request, to whichever replica answers, for as long as it takes."""
        end = time.monotonic() + seconds
        for turn in range(10**9):
            status, answer = 0, "no answer"
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, answer = self.call(method, path, body, replica=turn % len(self.replicas), **keywords)
            if status in (200, 201):
                return answer if text else json.loads(answer)
            if status not in (0, 429, 500, 502, 503) or time.monotonic() > end:
                raise AssertionError(f"{method} {path}: {status} {answer}")
            time.sleep(0.1)

    def run(self, run):
        return self.ok("GET", f"/v1/evaluation/runs/{run}")

    def results(self, run):
        """As text, one a line."""
        return self.ok("GET", f"/v1/evaluation/runs/{run}/results", text=True, headers={"Accept": "application/jsonl"})

    def finished(self, run, seconds=120):
        return wait_until(lambda: (lambda r: r if r["status"] in ("completed", "error", "cancelled") else None)(self.run(run)),
                          f"run {run} ends", seconds)

    # What is there, and what is left.

    def reap(self):
        """Orphans are ours (adopt_orphans): unreaped, they would keep their ids."""
        known = {node.process.pid for node in [*self.workers.values(), *self.replicas] if node.process}
        known.add(self.database.server.pid)
        for path in PROC.glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                state, parent = path.read_text().rsplit(")", 1)[1].split()[:2]
                if state == "Z" and int(parent) == os.getpid() and int(path.parent.name) not in known:
                    os.waitpid(int(path.parent.name), os.WNOHANG)

    def look_for_spawners(self):
        self.reap()
        for worker in self.workers.values():
            if worker.up:
                self.spawners |= {pid for pid, name in family(worker.process.pid).items() if name == "assay-spawner"}

    def left_over(self):
        """What our programs left on this machine, once all have ended; each a sentence."""
        found = [f"process {pid} {name}" for pid, name in family(os.getpid()).items() if pid != os.getpid()]
        found += [f"file {path}" for path in self.tmp.iterdir()]
        mounts = pathlib.Path("/proc/self/mountinfo").read_text()
        own = {str(disk.path) for disk in self.disks if disk.mounted}
        found += [f"mount {line.split()[4]}" for line in mounts.splitlines()
                  if str(self.folder) in line and line.split()[4] not in own]
        for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
            for pid in self.spawners:
                found += [f"control group {path}" for path in pathlib.Path("/sys/fs/cgroup").glob(
                    f"{line.split(':')[1] or '.'}/{line.split(':', 2)[2].strip('/')}/assay.{pid}")]
        return found

    def spool_files(self):
        return [str(path) for path in (self.folder / "spool").rglob("*") if path.is_file() and path.name not in ("lock", "filler")]

    def close(self, keep_logs=False):
        for node in [*self.workers.values(), *self.replicas]:
            node.signal_family(signal.SIGCONT)
            node.power_off()
        if self.proxy:
            self.proxy.stop()
        if self.database:
            self.database.stop()
        for disk in self.disks:
            disk.remove()
        if not keep_logs:
            shutil.rmtree(self.folder, ignore_errors=True)
