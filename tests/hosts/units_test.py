"""Runs in the virtual machine: the packaged units load, and the worker evaluates under their hardening."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

SHARE = pathlib.Path("/usr/local/share/assay")
API = "http://127.0.0.1:7777"
DEADLINE = 120

EVALUATORS = {
    "lua": "function run_evaluation(item) return item.sample.text == 'a' and 1 or 0 end",
    "python": "def run_evaluation(item):\n    return 1 if item['sample']['text'] == 'a' else 0",
    "shell": "case $(cat) in *'\"text\":\"a\"'*) echo 1 ;; *) echo 0 ;; esac",
}


def call(*command, code=0, **options):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE,
                          **options)
    if done.returncode != code:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def as_service_user(*command):
    return call("setpriv", "--reuid=assay", "--regid=assay", "--clear-groups", *command)


class Units(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="assay-units-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def journal(self, unit):
        return call("journalctl", "--unit", unit, "--no-pager", "--output=cat", "--lines=60")

    def start(self, unit):
        self.addCleanup(call, "systemctl", "stop", unit)
        done = subprocess.run(["systemctl", "start", unit], capture_output=True, text=True, timeout=DEADLINE)
        self.assertEqual(done.returncode, 0, done.stderr + self.journal(unit))

    def test_systemd_has_no_complaint(self):
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", "assayd.service", "assay-api.service"],
                              capture_output=True, text=True, timeout=DEADLINE)
        self.assertEqual([line for line in done.stderr.splitlines() if "assay" in line], [])

    def test_the_api_is_started_again_for_as_long_as_its_store_is_away(self):
        shown = subprocess.run(["systemctl", "show", "assay-api.service", "--property=StartLimitIntervalUSec,Restart"],
                               capture_output=True, text=True, timeout=DEADLINE).stdout.split()
        self.assertEqual(sorted(shown), ["Restart=always", "StartLimitIntervalUSec=0"])

    def test_a_run_from_the_api_through_the_worker(self):
        call("systemd-sysusers")
        call("systemd-tmpfiles", "--create")
        call("systemctl", "daemon-reload")
        for name in ("api.toml", "assayd.toml"):
            shutil.copy(SHARE / name, "/etc/assay")
        self.start("assay-api.service")
        key = ("assay", "key", "create", "--store", "/var/lib/assay-api/assay.db")
        worker_key = pathlib.Path("/etc/assay/worker.key")
        worker_key.touch(mode=0o600)
        worker_key.write_text(as_service_user(*key, "--scope", "worker"))
        own_key = self.folder / "own.key"
        own_key.write_text(as_service_user(*key, "--scope", "submit", "--scope", "read"))
        self.start("assayd.service")

        (self.folder / "rows.jsonl").write_text("".join(json.dumps({"answer": text}) + "\n" for text in "aba"))
        side = '\n[{}]\ntype = "dataset"\nfile = "rows.jsonl"\ncolumns = {{ output = "answer" }}\n'
        text = 'name = "units"\n' + side.format("sample") + side.format("ground_truth")
        for language, source in EVALUATORS.items():
            (self.folder / language).write_text(source)
            text += f'\n[[evaluator]]\nname = "{language}"\ntype = "code"\nlanguage = "{language}"\n'
            text += f'file = "{language}"\npass_threshold = 1.0\n'
        (self.folder / "units.toml").write_text(text)
        call("assay", "submit", "units.toml", "--api", API, "--key-file", own_key, "--output", "out", cwd=self.folder)
        results = [json.loads(line) for line in (self.folder / "out/results.jsonl").read_text().splitlines()]
        self.assertEqual(len(results), 9, results)
        for result in results:
            with self.subTest(result=result):
                self.assertEqual(result["score"], (1, 0, 1)[result["index"]], self.journal("assayd.service"))

        properties = dict(line.split("=", 1) for line in call(
            "systemctl", "show", "assayd.service", "--property=Delegate,MainPID,ControlGroup").splitlines())
        self.assertEqual(os.stat(f"/proc/{properties['MainPID']}").st_uid, os.stat("/var/lib/assay").st_uid)
        if properties["Delegate"] == "yes":
            methods = {result["usage"]["method"] for result in results if result["evaluator"] == "shell"}
            self.assertEqual(methods, {"cgroup2"})
        call("systemctl", "stop", "assayd.service")
        self.assertEqual(call("systemctl", "show", "assayd.service", "--property=Result"), "Result=success",
                         self.journal("assayd.service"))
        self.assertFalse(os.path.exists(f"/sys/fs/cgroup{properties['ControlGroup']}"))


if __name__ == "__main__":
    os.umask(0o022)
    unittest.main(verbosity=2)
