# The evaluator under which attacks in Python run: an item with a text "attack" runs that, any other is an honest one,
# which looks for all that an attack could have left behind.
import builtins
import json
import random

WATCHED = {module: dict(vars(module)) for module in (builtins, json, os, random, signal, struct, sys, threading, time)}
LONG = "long" * 65536  # more than any socket holds


def surroundings():
    mask = os.umask(0o22)
    os.umask(mask)
    return {
        "cwd": os.getcwd(),
        "umask": mask,
        "environment": dict(os.environ),
        "path": list(sys.path),
        "limits": [resource.getrlimit(limit) for limit in range(16)],
        "handlers": [signal.getsignal(number) for number in range(1, 65)],
        "mask": signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        "files": sorted(os.listdir("/tmp")) if NAMESPACES else [],
        "scratch": os.stat("/tmp").st_mode if NAMESPACES else 0,
        "name": open("/proc/self/comm").read() if NAMESPACES else "",
        "recursion": sys.getrecursionlimit(),
    }


HONEST = surroundings()


def honest(item):
    now = surroundings()
    for what in HONEST:
        assert now[what] == HONEST[what], "%s: %r" % (what, now[what])
    for module, before in WATCHED.items():
        for name, value in before.items():
            if not name.startswith("_"):
                assert getattr(module, name, None) is value, module.__name__ + "." + name
    assert [descriptor for descriptor in open_descriptors()] == [0, 1, 2, 4], open_descriptors()
    assert threading.active_count() == 1
    drawn = random.Random(int.from_bytes(b"7:honest", "little")).random()
    assert random.random() == drawn, "random"
    if NAMESPACES:
        with open("/tmp/mine", "x") as file:
            file.write("x" * 100000)
    return {"score": item["number"] * 2, "reason": LONG}


def run_evaluation(item):
    if "attack" not in item:
        return honest(item)
    scope = dict(globals())
    exec(compile(item["attack"], "attack", "exec"), scope)
    return scope["attack"](item)
