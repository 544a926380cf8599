#!/usr/bin/env python3
"""A PostgreSQL server of its own for tests, from Debian's package, in a temporary folder and on a Unix socket.

As a program: `tests/postgres.py COMMAND…` runs COMMAND beside one, with its address in ASSAY_TEST_POSTGRES."""
import contextlib
import glob
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse


def programs():
    """The folder of the newest server installed, or None."""
    folders = glob.glob("/usr/lib/postgresql/*/bin") + [os.path.dirname(shutil.which("initdb") or "")]
    folders = [f for f in folders if f and os.path.exists(f"{f}/initdb") and os.path.exists(f"{f}/postgres")]
    return max(folders, default=None, key=lambda f: [int(n) for n in f.split("/") if n.isdigit()])


class Postgres:
    """Started by the constructor; stop() ends it and removes its folder."""

    def __init__(self, port=None, settings=()):
        self.bin = programs()
        if self.bin is None:
            raise FileNotFoundError("PostgreSQL's server is not installed: ./dev deps installs it")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="assay-pg-"))
        self.data = self.folder / "data"
        self.port = port  # None: the socket in its folder alone
        self.settings = settings
        self.user = None
        if os.geteuid() == 0:  # which it refuses to run as
            names = [u.pw_name for u in pwd.getpwall()]
            self.user = "postgres" if "postgres" in names else "nobody"
            shutil.chown(self.folder, self.user)
        self.server = None
        try:
            done = self._run(f"{self.bin}/initdb", "-D", self.data, "-U", "assay", "-A", "trust", "-E", "UTF8", "--locale",
                             "C.UTF-8", "--no-sync", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            text = done.communicate()[0]
            if done.returncode != 0:
                raise RuntimeError(f"initdb failed:\n{text.decode(errors='replace')}")
            self.start()
        except BaseException:
            self.stop()
            raise

    def _run(self, *arguments, **keywords):
        if self.user is not None:
            user = pwd.getpwnam(self.user)
            keywords.update(user=user.pw_uid, group=user.pw_gid, extra_groups=[])
        return subprocess.Popen([str(a) for a in arguments], cwd=self.folder, **keywords)

    def start(self):
        options = ["-c", f"unix_socket_directories={self.folder}"]
        options += ["-c", "listen_addresses=" + ("" if self.port is None else "*")]
        if self.port is not None:
            options += ["-c", f"port={self.port}"]
        for setting in self.settings:
            options += ["-c", setting]
        with open(self.folder / "log", "ab") as log:
            self.server = self._run(f"{self.bin}/postgres", "-D", self.data, *options, stdout=log, stderr=log)
        end = time.monotonic() + 60
        while subprocess.run([f"{self.bin}/pg_isready", "-q", "-h", self.folder, "-p", str(self.port or 5432)]).returncode:
            if self.server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text(errors='replace')}")
            time.sleep(0.02)

    def kill(self, number=signal.SIGKILL):
        """Ends the server as a crash would. Its children notice, and go."""
        self.server.send_signal(number)
        self.server.wait()

    def address(self, database="postgres", **parameters):
        host = urllib.parse.quote(str(self.folder), safe="")
        more = "".join(f"&{k}={urllib.parse.quote(v)}" for k, v in parameters.items())
        return f"postgresql:///{database}?host={host}&port={self.port or 5432}&user=assay{more}"

    def sql(self, text, database="postgres"):
        """What psql prints, rows by line and columns by `|`."""
        done = subprocess.run([f"{self.bin}/psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.address(database)],
                              input=text, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    def stop(self):
        if self.server is not None and self.server.poll() is None:
            self.server.send_signal(signal.SIGINT)
            try:
                self.server.wait(30)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def main():
    environment = dict(os.environ)
    server = None
    with contextlib.suppress(FileNotFoundError):
        server = Postgres(settings=["fsync=off", "max_connections=300"])
        environment["ASSAY_TEST_POSTGRES"] = server.address()
    try:
        return subprocess.run(sys.argv[1:], env=environment).returncode
    finally:
        if server is not None:
            server.stop()


if __name__ == "__main__":
    sys.exit(main())
