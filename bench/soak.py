"""./dev bench soak: very many items, one in a hundred hostile, and what is left of them: nothing may grow."""
import json
import os
import pathlib
import subprocess
import sys
import time

PROGRAM = pathlib.Path(__file__).resolve().parent.parent / "build/release/bin/assay-bench-soak"
PROC = pathlib.Path("/proc")
SETTLE_SECONDS = 20
# By how much each count may be larger at the end than after the warm-up. Which hosts happen to stand by differs a
# little: a jail that waits for the next item is two processes, six namespaces and a few descriptors of the daemon.
BOUNDS = {
    "mounts": 4, "spawner_mounts": 4,  # the whole machine's: others may mount something meanwhile
    "processes": 6, "namespaces": 18,
    "cgroups": 4,
    "descriptors": 16, "spawner_descriptors": 8,
    "rss_mb": 8, "spawner_rss_mb": 1,
    # Of the whole machine, as the kernel counts its objects; it frees them late.
    "kernel_pid_namespaces": 200, "kernel_net_namespaces": 200, "kernel_mounts": 4000,
}
SLABS = {"mnt_cache": "kernel_mounts", "pid_namespace": "kernel_pid_namespaces", "net_namespace": "kernel_net_namespaces"}


def family(pid):
    """The process and all that descend from it, parents first."""
    parents = {}
    for path in PROC.glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    members = [pid]
    for member in members:
        members += [child for child, parent in parents.items() if parent == member]
    return members


def lines_of(path):
    try:
        return len(path.read_text().splitlines())
    except OSError:
        return 0


def namespaces_of(pids):
    found = set()
    for pid in pids:
        for path in (PROC / str(pid) / "ns").glob("*"):
            try:
                found.add(os.readlink(path))
            except OSError:
                continue
    return len(found)


def resident_mb(pid):
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0


def slabs():
    try:
        rows = [line.split() for line in (PROC / "slabinfo").read_text().splitlines()]
    except OSError:
        return {}  # only root may look
    return {SLABS[row[0]]: int(row[1]) for row in rows if row[0] in SLABS}


def sample(pid):
    members = family(pid)
    spawner = members[1]
    return {
        "mounts": lines_of(PROC / str(pid) / "mountinfo"), "spawner_mounts": lines_of(PROC / str(spawner) / "mountinfo"),
        "processes": len(members), "namespaces": namespaces_of(members),
        "cgroups": sum(1 for path, _, _ in os.walk("/sys/fs/cgroup") if "assay" in path),
        "descriptors": len(os.listdir(PROC / str(pid) / "fd")),
        "spawner_descriptors": len(os.listdir(PROC / str(spawner) / "fd")),
        "rss_mb": resident_mb(pid), "spawner_rss_mb": resident_mb(spawner),
        **slabs()}


def settled(pid):
    """A sample of a moment at which nothing ends any more."""
    deadline = time.monotonic() + SETTLE_SECONDS
    last = sample(pid)
    while time.monotonic() < deadline:
        time.sleep(0.5)
        now = sample(pid)
        if now == last:
            break
        last = now
    return last


def phase(process):
    line = process.stdout.readline()
    if not line:
        sys.exit(f"the soak ended early ({process.wait()})")
    counts = settled(process.pid)
    process.stdin.write("\n")
    process.stdin.flush()
    return json.loads(line), counts


def measure(lua, python, shell):
    began = time.monotonic()
    with subprocess.Popen([PROGRAM, str(lua), str(python), str(shell)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:
        _, before = phase(process)
        report, after = phase(process)
    grown = [name for name, bound in BOUNDS.items() if after.get(name, 0) > before.get(name, 0) + bound]
    return {"mode": report["mode"], "seconds": round(time.monotonic() - began), "ran": report["ran"],
            "counts": {name: {"warm": before[name], "end": after[name], "may_grow_by": BOUNDS[name]} for name in before},
            "grown": grown, "good": not grown and process.returncode == 0}


def show(result):
    print(f"mode {result['mode']}, {result['seconds']} s")
    for language, ran in result["ran"].items():
        print(f"{language}: {ran['items']:,} items, {ran['per_second']:,.0f}/s, {ran['wrong']} ended as they must not")
        for kind, endings in ran["endings"].items():
            print(f"  {kind:12} " + ", ".join(f"{count:,} {ending}" for ending, count in endings.items()))
    print(f"{'':26} {'warm':>9} {'end':>9}  may grow by")
    for name, row in result["counts"].items():
        verdict = "GREW" if name in result["grown"] else "held"
        print(f"{name.replace('_', ' '):26} {row['warm']:>9} {row['end']:>9}  {row['may_grow_by']:<11} {verdict}")
