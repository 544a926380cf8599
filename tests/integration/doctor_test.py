"""`assay doctor`, and what refuses to start: on this machine as it is, and with layers really taken away."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

from harness import BIN, DEADLINE, Case, main, wait_until

ROOT = os.geteuid() == 0
NOBODY = 65534
LANGUAGES = ["lua", "python", "node", "shell", "command"]
DOUBLE = "function run_evaluation(item) return 1 end"
MAX_USER_NAMESPACES = "/proc/sys/user/max_user_namespaces"

# Takes Landlock away by a seccomp filter that answers ENOSYS, as an old kernel does, then runs the arguments.
WITHOUT_LANDLOCK = """
import ctypes, os, struct, sys
code = [(0x20, 0, 0, 0), (0x35, 0, 2, 444), (0x25, 1, 0, 446), (0x06, 0, 0, 0x00050026), (0x06, 0, 0, 0x7fff0000)]
text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
class Program(ctypes.Structure):
    _fields_ = [("size", ctypes.c_ushort), ("code", ctypes.c_void_p)]
program = Program(len(code), ctypes.addressof(text))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(program)) == 0, ctypes.get_errno()
os.execv(sys.argv[1], sys.argv[1:])
"""


def need(program):
    if shutil.which(program) is None:
        raise unittest.SkipTest(f"{program} is not installed")


class Doctor(Case):
    def run_doctor(self, *arguments, prefix=(), code=0, env=None, programs=BIN):
        done = subprocess.run([*prefix, str(programs / "assay"), "doctor", *arguments], capture_output=True, text=True,
                              timeout=DEADLINE, cwd="/", env={**os.environ, **(env or {})})
        self.assertEqual(done.returncode, code, f"{arguments}\n{done.stdout}\n{done.stderr}")
        return done.stdout, done.stderr

    def document(self, *arguments, **keywords):
        out, _ = self.run_doctor("--json", *arguments, **keywords)
        return json.loads(out)

    def modes(self, document):
        return {mode["mode"]: mode for mode in document["modes"]}

    def about(self, document):
        return {entry["about"]: " ".join(entry["remedy"]) for entry in document["what_to_do"]}

    def as_nobody(self):
        """What runs a program as a user without rights, and a copy of the programs that it can read."""
        if not ROOT:
            raise unittest.SkipTest("needs root to become another user")
        need("setpriv")
        self.folder.chmod(0o755)
        copy = self.folder / "bin"
        if not copy.exists():
            copy.mkdir()
            for name in ("assay", "assayd", "assay-spawner", "assay-lua-host", "assay-plugin-host", "assay-process-host",
                         "libassay-lock.so"):
                shutil.copy2(BIN / name, copy)
        return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"], copy

    # This machine as it is.

    def test_the_best_mode_of_this_machine_works(self):
        document = self.document()
        self.assertTrue(document["ok"])
        self.assertEqual(document["missing"], [])
        modes = self.modes(document)
        self.assertEqual(list(modes), ["full", "userns", "nons"])
        best = next(name for name, mode in modes.items() if mode["lua"])
        self.assertEqual(document["mode"], best)
        if ROOT:
            self.assertEqual(best, "full")
        self.assertEqual(document["machine"]["kernel"], os.uname().release)
        self.assertEqual(document["machine"]["root"], ROOT)
        for layer in ("seccomp", "no_new_privs"):
            self.assertTrue(document[layer]["ok"], document[layer])
        self.assertGreater(document["landlock"]["abi"], 0)

        languages = {language["language"]: language for language in document["languages"]}
        self.assertEqual(list(languages), LANGUAGES)
        self.assertRegex(languages["lua"]["version"], r"^Lua 5\.4")
        for name, path, version in (("python", "/usr/bin/python3", r"^Python 3\.\d+"),
                                    ("node", "/usr/bin/node", r"^Node v\d+")):
            if os.access(path, os.X_OK):
                self.assertTrue(languages[name]["ok"], languages[name])
                self.assertRegex(languages[name]["version"], version)
        self.assertTrue(document["deadline"]["ok"])
        self.assertGreaterEqual(document["deadline"]["took_us"], 1000 * document["deadline"]["limit_ms"])

    def test_the_limits_of_control_groups_hold(self):
        groups = self.document()["cgroups"]
        if groups["kind"] == "none":
            self.assertTrue(groups["obstacle"])
            self.skipTest("no control groups here: " + groups["obstacle"])
        for limit in ("memory", "processes"):
            self.assertTrue(groups[limit]["ok"], groups)
        self.assertIn("oom_kill", groups["memory"]["seen"])
        if groups["kind"] == "cgroup2":
            self.assertTrue(groups["kill"]["ok"], groups)
        else:
            self.assertIsNone(groups["kill"])
            self.assertTrue(groups["obstacle"], "why not cgroup2")

    def test_nothing_is_left_of_its_groups(self):
        """Run in a group of its own, below which its groups are."""
        if self.document()["cgroups"]["kind"] != "cgroup1":
            self.skipTest("needs control groups of version 1")
        line = next(x for x in pathlib.Path("/proc/self/cgroup").read_text().splitlines() if ":memory:" in x)
        group = pathlib.Path("/sys/fs/cgroup/memory") / line.split(":")[2].lstrip("/") / f"assay-test-{os.getpid()}"
        group.mkdir()
        self.addCleanup(group.rmdir)
        self.run_doctor(prefix=["sh", "-c", f'echo 0 > {group}/cgroup.procs && exec "$@"', "sh"])
        self.assertEqual([path for path in group.iterdir() if path.is_dir()], [])

    def test_people_read_aligned_lines_without_colours(self):
        out, err = self.run_doctor()
        self.assertEqual(err, "")
        self.assertNotIn("\x1b", out)
        lines = out.split("\n\n")[0].splitlines()
        names = [line[:15].rstrip() for line in lines]
        for name in ("kernel", "mode full", "mode userns", "mode nons", "mode used", "user namespaces", "no_new_privs",
                     "seccomp", "landlock", "control groups", *LANGUAGES, "time limit"):
            self.assertIn(name, names)
        for line in lines:
            self.assertRegex(line, r"^.{15}  (ok     |limited|no     )  \S")

    # Modes and layers that are demanded.

    def test_each_mode_can_be_demanded(self):
        modes = self.modes(self.document())
        for name, mode in modes.items():
            with self.subTest(mode=name):
                document = self.document("--sandbox", name, code=0 if mode["lua"] else 3)
                self.assertEqual(document["mode"], name if mode["lua"] else None)
                if not mode["lua"]:
                    self.assertEqual(document["missing"], [f"mode {name}, as demanded"])
        if modes["nons"]["ok"]:
            # Nothing could end all that they start.
            languages = {language["language"]: language for language in self.document("--sandbox", "nons")["languages"]}
            for name in ("shell", "command"):
                self.assertIn("need namespaces", languages[name]["error"])

    def test_bad_usage(self):
        bad = self.write("bad.toml", "[sandbox]\nrequire = [\"everything\"]\n")
        for arguments, env, word in [(("--sandbox", "best"), {}, "--sandbox"), (("--nonsense",), {}, "--nonsense"),
                                     (("more",), {}, "more"), (("--config", self.folder / "none.toml"), {}, "none.toml"),
                                     (("--config", bad), {}, "everything"),
                                     ((), {"ASSAY_SANDBOX_REQUIRE": "all"}, "sandbox.require"),
                                     ((), {"ASSAY_SANDBOX_MODE": "best"}, "sandbox.mode")]:
            with self.subTest(word=word):
                out, err = self.run_doctor(*arguments, env=env, code=2)
                self.assertIn(word, out + err)

    def test_what_the_settings_require(self):
        config = self.write("assayd.toml", "[api]\nurl = \"http://127.0.0.1:1\"\n[sandbox]\nrequire = [\"nons\", \"lua\"]\n")
        self.assertTrue(self.document("--config", config)["ok"])
        config.write_text("[sandbox]\nmode = \"nons\"\nrequire = [\"full\", \"shell\"]\n")
        document = self.document("--config", config, code=3)
        self.assertFalse(document["ok"])
        self.assertEqual(document["missing"], ["mode full (nons is in use)", "shell"])
        out, _ = self.run_doctor("--config", config, code=3)
        self.assertTrue(out.endswith("\nmissing: mode full (nons is in use), shell\n"), out)

    # Layers that are really taken away.

    def test_a_user_without_rights(self):
        prefix, programs = self.as_nobody()
        document = self.document(prefix=prefix, programs=programs)
        modes = self.modes(document)
        self.assertFalse(modes["full"]["ok"])
        self.assertEqual((modes["full"]["step"], modes["full"]["errno"]), ("clone3 with namespaces", "EPERM"))
        self.assertNotEqual(document["mode"], "full")
        self.assertTrue(any("root" in remedy or "SYS_ADMIN" in remedy for remedy in modes["full"]["remedy"]))
        self.assertFalse(document["machine"]["root"])
        document = self.document("--sandbox", "full", prefix=prefix, programs=programs, code=3)
        self.assertEqual((document["mode"], document["missing"]), (None, ["mode full, as demanded"]))
        self.assertEqual((document["languages"], document["deadline"]), ([], None))

    def test_no_user_namespaces(self):
        """In a user namespace of its own, whose limit of further ones is zero."""
        prefix, programs = self.as_nobody()
        need("unshare")
        inside = ["unshare", "--user", "--map-current-user"]
        if subprocess.run([*prefix, *inside, "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("no user namespaces here")
        # The limit is the namespace's own: it takes the rights of the namespace's first user to set.
        script = f'echo 0 > {MAX_USER_NAMESPACES} && exec "$@"'
        prefix = [*prefix, "unshare", "--user", "--map-root-user", "sh", "-c", script, "sh", "setpriv",
                  "--bounding-set=-all", "--inh-caps=-all"]
        document = self.document("--sandbox", "userns", prefix=prefix, programs=programs, code=3)
        userns = self.modes(document)["userns"]
        self.assertEqual((userns["ok"], userns["step"], userns["errno"]), (False, "clone3 with namespaces", "ENOSPC"))
        self.assertEqual(document["user_namespaces"]["max_user_namespaces"], 0)
        self.assertIn("user.max_user_namespaces", self.about(document)["user namespaces"])

    def test_root_without_privileges(self):
        """As in a container whose capabilities were all dropped: it cannot even become another user."""
        if not ROOT:
            self.skipTest("needs root")
        need("setpriv")
        document = self.document(prefix=["setpriv", "--bounding-set=-all"], code=3)
        self.assertEqual((document["mode"], document["missing"]), (None, ["mode nons (none works)"]))
        nons = self.modes(document)["nons"]
        self.assertEqual(nons["errno"], "EPERM")
        self.assertIn("another user than root", nons["remedy"][0])

    def test_a_covered_proc(self):
        """As Docker and Kubernetes cover it: no fresh one may be mounted in a user namespace, so jails have none."""
        prefix, programs = self.as_nobody()
        need("unshare")
        script = 'mount -t tmpfs -o ro none /proc/sys && exec "$@"'
        prefix = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", script, "sh", *prefix]
        document = self.document("--sandbox", "userns", prefix=prefix, programs=programs,
                                 env={"KUBERNETES_SERVICE_HOST": "10.0.0.1"})
        self.assertEqual(document["machine"]["container"], "kubernetes")
        self.assertTrue(self.modes(document)["userns"]["ok"])
        self.assertEqual([language["language"] for language in document["languages"] if not language["ok"]], [])
        path = self.write("proc.py", "import os\n\ndef run_evaluation(item):\n    return len(os.listdir('/proc'))\n")
        done = subprocess.run([*prefix, str(programs / "assay"), "evaluators", "test", str(path), "--sandbox", "userns",
                               "--json"], capture_output=True, text=True, timeout=DEADLINE, cwd="/", check=False)
        self.assertEqual(json.loads(done.stdout)["score"], 0, done.stderr)

    def test_no_landlock(self):
        prefix = [sys.executable, "-c", WITHOUT_LANDLOCK]
        if os.uname().machine != "x86_64":
            self.skipTest("the filter is written for x86_64")
        document = self.document("--sandbox", "nons", prefix=prefix, code=3)
        nons = self.modes(document)["nons"]
        self.assertEqual((nons["ok"], nons["errno"]), (False, "ENOSYS"))
        self.assertIn("Landlock", nons["step"])
        self.assertEqual((document["landlock"]["ok"], document["landlock"]["abi"]), (False, 0))
        self.assertIn("CONFIG_SECURITY_LANDLOCK", self.about(document)["Landlock"])
        out, _ = self.run_doctor("--sandbox", "nons", prefix=prefix, code=3)
        self.assertIn("missing: mode nons, as demanded", out)
        required = self.document(prefix=prefix, env={"ASSAY_SANDBOX_REQUIRE": "landlock"}, code=3)
        self.assertEqual(required["missing"], ["Landlock"])

    # Those that refuse to start.

    def test_evaluators_refuse_to_start(self):
        path = self.write("double.lua", DOUBLE)
        require = {"env": {**os.environ, "ASSAY_SANDBOX_MODE": "nons", "ASSAY_SANDBOX_REQUIRE": "full"}}
        _, err = self.assay("evaluators", "test", path, code=3, **require)
        self.assertIn("sandbox.require demands: mode full (nons is in use)", err)
        self.assertIn("`assay doctor`", err)
        self.assay("evaluators", "test", path, "--sandbox", "nons",
                   env={**os.environ, "ASSAY_SANDBOX_REQUIRE": "nons,landlock,lua"})
        self.write("rows.jsonl", '{"in": "1", "out": "2"}\n')
        run = self.write("run.toml", """
name = "one"
[sample]
type = "dataset"
file = "rows.jsonl"
columns = { input = "in", output = "out" }
[[evaluator]]
name = "double"
type = "code"
language = "lua"
file = "double.lua"
""")
        _, err = self.assay("run", run, "--ephemeral", code=3, **require)
        self.assertIn("mode full (nons is in use)", err)

    def test_a_worker_refuses_to_start(self):
        self.serve()
        key = self.key("worker")
        worker = self.worker("strict", key, sandbox_mode="nons", sandbox_require="userns,shell")
        self.assertEqual(worker.wait(), 3)
        self.assertIn("sandbox.require demands: mode userns (nons is in use), shell; `assay doctor`", worker.output())

    def test_a_worker_says_that_it_could_be_stronger(self):
        self.serve()
        worker = self.worker("weak", self.key("worker"), sandbox_mode="nons", log_level="warn")
        line = wait_until(lambda: next((x for x in worker.output().splitlines() if "not the strongest" in x), None),
                          "the worker warns")
        self.assertIn("mode=nons", line)
        self.assertIn("full: ", line)
        self.assertEqual(worker.output().count("not the strongest"), 1)


if __name__ == "__main__":
    main()
