#!/usr/bin/env python3
"""Several machines on one: workers in network namespaces of their own, joined by a bridge to the API's; cut off and healed.

Runs itself in a new network namespace. All that it makes there goes with its last process, also when it is killed."""
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import unittest

import faults_test
from stack import Stack, wait_until

API = "10.77.0.1"


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


class Machine:
    """A network namespace with one cable to the bridge."""

    def __init__(self, number):
        self.address, self.cable = f"10.77.0.{10 + number}", f"cable{number}"
        # It ends with its input, which is ours.
        self.process = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec cat >/dev/null"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.process.stdout.readline()  # it is in its namespace
        self.inside = ["nsenter", "-t", str(self.process.pid), "-n"]
        ip("link", "add", self.cable, "type", "veth", "peer", "name", "eth0", "netns", str(self.process.pid))
        ip("link", "set", self.cable, "master", "bridge", "up")
        for command in (["addr", "add", f"{self.address}/24", "dev", "eth0"], ["link", "set", "eth0", "up"],
                        ["link", "set", "lo", "up"]):
            subprocess.run([*self.inside, "ip", *command], check=True)

    def cut(self):
        ip("link", "set", self.cable, "down")

    def heal(self):
        ip("link", "set", self.cable, "up")

    def silence(self):
        """It is heard, and hears nothing: its address belongs to nobody."""
        ip("neigh", "replace", self.address, "lladdr", "02:00:00:00:00:01", "dev", "bridge", "nud", "permanent")

    def unsilence(self):
        ip("neigh", "del", self.address, "dev", "bridge")

    def remove(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


class Machines(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        ip("link", "set", "lo", "up")
        ip("link", "add", "bridge", "type", "bridge")
        ip("addr", "add", f"{API}/24", "dev", "bridge")
        ip("link", "set", "bridge", "up")
        cls.machines = [Machine(i) for i in range(3)]
        for machine in cls.machines:
            cls.addClassCleanup(machine.remove)
        cls.stack = Stack(lease_ttl="3s", host=API)
        cls.addClassCleanup(cls.stack.close)
        faults_test.furnish(cls.stack)

    setUp = faults_test.Faults.setUp
    create = faults_test.Faults.create
    check_complete = faults_test.Faults.check_complete
    of_shards = faults_test.Faults.of_shards
    done = faults_test.Faults.done

    def tearDown(self):
        for worker in self.stack.workers.values():
            worker.power_off()
            shutil.rmtree(self.stack.folder / "spool" / worker.name, ignore_errors=True)
        self.stack.workers.clear()

    def start(self):
        """A worker on each machine, at two replicas."""
        workers = []
        for i, machine in enumerate(self.machines):
            self.stack.url = f"http://{self.stack.address(i % 2)}"
            workers.append(self.stack.worker(f"{self.environment}-{i}", machine.inside, worker_hosts=1,
                                             worker_environments=self.environment).start())
        return workers

    def leases_of(self, worker, such="true"):
        return int(self.stack.database.sql("SELECT count(*) FROM shards s JOIN workers w ON w.id = s.worker "
                                           f"WHERE s.state = 1 AND w.name = '{worker.name}' AND {such}"))

    def cut_off(self, machine, cut, heal):
        """One machine is away until others have done its work, then comes back while the run is still open."""
        run = self.create(items=1000, shard_size=100, evaluator="steady")
        holder = faults_test.Fake(self.stack, self.environment)
        held = holder.claim()[0]
        over = threading.Event()
        self.addCleanup(over.set)

        def beat():
            while not over.wait(0.5):
                holder.heartbeat(held)
        threading.Thread(target=beat, daemon=True).start()
        workers = self.start()
        away = workers[machine]
        wait_until(lambda: self.leases_of(away, "outcomes BETWEEN 1 AND 60") > 0, "it is in the middle of a shard")
        cut()
        wait_until(lambda: self.leases_of(away) == 0, "its leases run out")
        wait_until(lambda: self.done(run) == 900, "the others did its work")
        said = len(away.log())
        heal()
        # The first writer won: what it computed meanwhile arrives, and is there already.
        wait_until(lambda: re.search(r"duplicate=[1-9]", away.log()[said:]), "its outcomes arrive")
        over.set()
        holder.of(held, "release", {"reason": "drain"})
        self.check_complete(run)
        self.assertGreaterEqual(self.of_shards(run, "count(*) FILTER (WHERE attempts > 0)"), 1)
        for worker in workers:
            self.assertEqual(worker.drained(), 0, worker.log())
        self.assertEqual(self.stack.spool_files(), [])

    def test_a_machine_that_is_cut_off(self):
        self.cut_off(1, self.machines[1].cut, self.machines[1].heal)

    def test_a_machine_that_is_heard_and_hears_nothing(self):
        self.cut_off(2, self.machines[2].silence, self.machines[2].unsilence)

    def test_all_machines_cut_off_at_once(self):
        run = self.create(items=1000)
        workers = self.start()
        wait_until(lambda: self.done(run) > 200, "outcomes")
        for machine in self.machines:
            machine.cut()
        wait_until(lambda: self.of_shards(run, "count(*) FILTER (WHERE state = 1)") == 0, "all leases run out")
        for machine in self.machines:
            machine.heal()
        self.check_complete(run)
        for worker in workers:
            self.assertEqual(worker.drained(), 0, worker.log())
        self.assertEqual(self.stack.spool_files(), [])


def main():
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if sys.argv[1:2] != ["--inside"]:
        if shutil.which("ip") is None or shutil.which("nsenter") is None:
            print("skipped: the programs ip (iproute2) and nsenter (util-linux) are needed")
            return 77
        trial = subprocess.run(["unshare", "--net", "ip", "link", "add", "bridge", "type", "bridge"], capture_output=True, text=True)
        if trial.returncode != 0:
            print(f"skipped: no network namespace with a bridge can be made here: {trial.stderr.strip()}")
            return 77
        os.execvp("unshare", ["unshare", "--net", sys.executable, os.path.abspath(__file__), "--inside", *sys.argv[1:]])
    del sys.argv[1]
    unittest.main(verbosity=2)


if __name__ == "__main__":
    sys.exit(main())
