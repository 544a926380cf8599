"""./dev bench sandbox: a fresh jail and a fresh process for every item, beside other sandboxes found on PATH."""
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

BIN = pathlib.Path(__file__).resolve().parent.parent / "build/release/bin"
PROGRAM = BIN / "assay-bench-sandbox"
PYTHON = "/usr/bin/python3"  # what the sandbox runs evaluators with
PEERS = {  # where to get each
    "bwrap": "apt-get install bubblewrap",
    "crun": "apt-get install crun",
    "nsjail": "build it from github.com/google/nsjail",
    "isolate": "build it from github.com/ioi/isolate, or its authors' Debian package",
}
LAUNCHES = 300
PYTHON_LAUNCHES = 60


def milliseconds(microseconds):
    return microseconds / 1000


class Figures:
    """Every figure of every round, by name and in the order of their coming."""

    def __init__(self):
        self.table = {}

    def add(self, name, value, unit, goal=None):
        self.table.setdefault(name, {"unit": unit, "goal": goal, "values": []})["values"].append(value)

    def summary(self):
        rows = {}
        for name, row in self.table.items():
            values, goal = row["values"], row["goal"]
            middle = statistics.median(values)
            rows[name] = {"median": round(middle, 3), "min": round(min(values), 3), "max": round(max(values), 3),
                          "unit": row["unit"]}
            if goal is not None:
                more_is_better = row["unit"] == "/s"
                rows[name] |= {"goal": goal, "met": middle >= goal if more_is_better else middle <= goal}
        return rows


def busy_part(seconds=1.0):
    """How much of the processors is taken while we do nothing."""
    def read():
        fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]
    total, idle = read()
    time.sleep(seconds)
    later, idle_later = read()
    return 1 - (idle_later - idle) / max(1, later - total)


def spawn(count, workers, command, around=()):
    """None when the command does not run here."""
    result = subprocess.run([*around, PROGRAM, "spawn", str(count), str(workers), *command], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(result.stdout) if result.returncode == 0 else None


def bare(figures):
    one, all_busy = spawn(4 * LAUNCHES, 1, ["/bin/true"]), spawn(4 * LAUNCHES, os.cpu_count(), ["/bin/true"])
    figures.add("bare /bin/true, p50", milliseconds(one["p50_us"]), "ms")
    figures.add("bare /bin/true, p99", milliseconds(one["p99_us"]), "ms")
    figures.add("bare /bin/true, one after the other", one["per_second"], "/s")
    figures.add("bare /bin/true, all processors", all_busy["per_second"], "/s")
    cold = spawn(PYTHON_LAUNCHES, 1, [PYTHON, "-c", "print(1)"])
    figures.add("bare Python, cold, p50", milliseconds(cold["p50_us"]), "ms")


def assay(figures):
    got = json.loads(subprocess.run([PROGRAM, "pool"], check=True, stdout=subprocess.PIPE).stdout)
    cores = got["processors"]

    def add_ms(name, microseconds, goal=None):
        figures.add("assay: " + name, milliseconds(microseconds), "ms", goal)

    add_ms("/bin/true in a ready jail, request to reaped, p50", got["true"]["p50_us"], 1.0)
    add_ms("/bin/true in a ready jail, request to reaped, p99", got["true"]["p99_us"])
    figures.add("assay: /bin/true, a fresh jail each, all processors", got["true"]["per_second"], "/s", 500 * cores)
    add_ms("/bin/echo 1 in a ready jail, request to reaped, p50", got["echo"]["p50_us"], 1.0)
    figures.add("assay: /bin/echo 1, a fresh jail each, all processors", got["echo"]["per_second"], "/s", 500 * cores)
    add_ms("a jail made, nothing else running, p50", got["jail"]["made"]["p50_us"])
    add_ms("/bin/true in it, request to reaped, p50", got["jail"]["outcome"]["p50_us"])
    add_ms("/bin/true in it, request to jail gone, p50", got["jail"]["gone"]["p50_us"])
    figures.add("assay: Python items, one host", got["python"]["per_second_one_host"], "/s", 800)
    figures.add("assay: Python items, all processors", got["python"]["per_second"], "/s", 800 * cores)
    add_ms("Python item, one at a time, p50", got["python"]["p50_us"])
    add_ms("Python item, one at a time, p99", got["python"]["p99_us"], 5)
    add_ms("Python evaluator opened, p50", got["open"]["p50_us"], 60)
    add_ms("Python evaluator opened, slowest", got["open"]["max_us"])
    for language in ("python", "command"):
        late = got["timeout"][language]
        add_ms(f"outcome after the deadline, {language}, p50", late["p50_us"])
        add_ms(f"outcome after the deadline, {language}, slowest", late["max_us"], 20)
    return got["mode"]


def memory_of(pid):
    """Resident and proportional megabytes of a process."""
    sizes = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return tuple(int(sizes[key].split()[0]) / 1024 for key in ("Rss", "Pss"))


def children(pid):
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(path.parent.name))
    return found


def memory(figures):
    """Of a Python evaluator that waits for work. Only root may look."""
    if os.geteuid() != 0:
        return
    pause = "import signal; print(flush=True); signal.pause()"
    with subprocess.Popen([PROGRAM, "idle"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as ours, \
            subprocess.Popen([PYTHON, "-c", pause], stdout=subprocess.PIPE) as bare_python:
        try:
            ours.stdout.readline()
            bare_python.stdout.readline()
            spawner = children(ours.pid)[0]
            hosts = children(spawner)
            runtime = hosts + [child for host in hosts for child in children(host)]
            parts = [memory_of(pid) for pid in runtime]
            bare_rss, bare_pss = memory_of(bare_python.pid)
            figures.add("assay: idle Python runtime beyond bare Python, RSS", sum(rss for rss, _ in parts) - bare_rss, "MB", 15)
            figures.add("assay: idle Python runtime beyond bare Python, PSS", sum(pss for _, pss in parts) - bare_pss, "MB", 15)
            figures.add("assay: the spawner, RSS", memory_of(spawner)[0], "MB", 3)
            figures.add("assay: the spawner, PSS", memory_of(spawner)[1], "MB")
        finally:
            bare_python.kill()
            ours.stdin.close()


def bundle_for_crun(folder):
    """What crun runs {command} from: our /usr read-only, and the namespaces that the other sandboxes have."""
    root = folder / "root"
    for name in ("usr", "proc", "dev", "tmp"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        if os.path.islink("/" + name):
            (root / name).symlink_to(os.readlink("/" + name))
    private = ["nosuid", "noexec", "nodev"]

    def write(name, command):
        bundle = folder / name
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps({
            "ociVersion": "1.0.2",
            "process": {"cwd": "/", "args": command, "user": {"uid": 0, "gid": 0}, "env": ["PATH=/usr/bin:/bin"],
                        "noNewPrivileges": True, "capabilities": {}},
            "root": {"path": str(root), "readonly": True},
            "mounts": [
                {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]},
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": private}],
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]}}))
        return bundle

    return write


class Peers:
    """Each is a function that makes the command line of its sandbox for a command."""

    def __init__(self, folder):
        self.folder = folder
        self.write_bundle = bundle_for_crun(folder)
        self.missing = {name: how for name, how in PEERS.items() if shutil.which(name) is None}
        self.commands = {name: getattr(self, name) for name in PEERS if name not in self.missing}
        self.around = {}
        if os.geteuid() == 0 and shutil.which("unshare"):
            # crun refuses a hybrid of both versions of cgroups, so it gets to see none.
            self.around["crun"] = ["unshare", "-m", "sh", "-c",
                                   'mount -t tmpfs none /sys/fs/cgroup && exec "$@"', "sh"]

    def bwrap(self, command):
        return ["bwrap", "--unshare-all", "--ro-bind", "/", "/", *command]

    def crun(self, command):
        name = "crun-" + pathlib.Path(command[0]).name
        bundle = self.folder / name
        if not bundle.exists():
            self.write_bundle(name, command)
        return ["crun", "--root", str(self.folder / "state"), "--cgroup-manager=disabled", "run", "--bundle", str(bundle),
                f"bench-{os.getpid()}-{{n}}"]

    def nsjail(self, command):
        mounts = [word for path in ("/usr", "/bin", "/lib", "/lib64") if os.path.exists(path) for word in ("-R", path)]
        return ["nsjail", "-Mo", "-Q", *mounts, "-T", "/tmp", "--", *command]

    def isolate(self, command):
        for box in range(os.cpu_count()):
            subprocess.run(["isolate", f"--box-id={box}", "--init"], check=False, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
        return ["isolate", "--box-id={w}", "--silent", "--run", "--", *command]

    def measure(self, figures):
        for name, command_of in self.commands.items():
            around = self.around.get(name, [])
            for what, command, count in (("/bin/true", ["/bin/true"], LAUNCHES),
                                         ("Python, cold", [PYTHON, "-c", "print(1)"], PYTHON_LAUNCHES)):
                words = command_of(command)
                one = spawn(count, 1, words, around)
                all_busy = spawn(2 * count, os.cpu_count(), words, around)
                if one is None or all_busy is None:
                    self.missing[name] = "found, but does not run here: " + " ".join(words)
                    break
                figures.add(f"{name}: {what}, p50", milliseconds(one["p50_us"]), "ms")
                figures.add(f"{name}: {what}, all processors", all_busy["per_second"], "/s")


def measure(rounds):
    figures, busy = Figures(), []
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
        peers = Peers(pathlib.Path(folder))
        for _ in range(rounds):
            busy.append(busy_part())
            bare(figures)
            mode = assay(figures)
            peers.measure(figures)
        memory(figures)
    return {"mode": mode, "processors": os.cpu_count(), "rounds": rounds,
            "others_busy_percent": round(100 * statistics.mean(busy)), "figures": figures.summary(),
            "peers_left_out": peers.missing}


def show(result):
    print(f"mode {result['mode']}, {result['processors']} processors, {result['rounds']} rounds; before them other programs "
          f"kept the processors {result['others_busy_percent']} % busy")
    print(f"{'':58} {'median':>10} {'min':>10} {'max':>10}")
    for name, row in result["figures"].items():
        numbers = " ".join(f"{row[key]:>10,.0f}" if row["median"] >= 100 else f"{row[key]:>10.2f}" for key in ("median", "min", "max"))
        verdict = ""
        if "goal" in row:
            relation = "at least" if row["unit"] == "/s" else "at most"
            verdict = f"  goal {relation} {row['goal']:,g}: {'met' if row['met'] else 'MISSED'}"
        print(f"{name:58} {numbers} {row['unit']:3}{verdict}")
    for name, how in result["peers_left_out"].items():
        print(f"{name}: not measured ({how})")
