#!/usr/bin/env python3
"""Runs the sandbox's test programs on a host unlike the build machine: systemd as process 1, a delegated cgroup v2
tree with every controller, Debian's own kernel. A virtual machine without KVM, so about ten times slower."""
import argparse
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

from image import USER, Skip, prepared
from machine import Failed, Machine

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("ASSAY_BUILD") or SOURCE / "build/dev").resolve()
BOOT_SECONDS = 180
ALL_SECONDS = 900
LINES = 300  # of a failing program's output
# How much longer the limits of time must be that honest work keeps (tests/unit/sandbox/pool_fixture.hpp).
SLOWNESS = 8


@dataclass
class Program:
    """A program that exits with 0 if its tests passed, and which users are to run it."""
    name: str
    command: tuple
    users: tuple = ("root", USER)
    environment: tuple = ()
    seconds: int = 400


PROGRAMS = (
    # What a host could change; the emulation is too slow for all tests.
    Program("sandbox", ("/assay/bin/assay_sandbox_tests", "[host]")),
    Program("attack", ("/assay/bin/assay_attack_tests", "[host]"),
            environment=("ASSAY_ATTACKS=^(python|command|shell): (1|2|3|4|5|10|41|49) ",)),
    Program("units", ("python3", "/assay/units_test.py"), users=("root",), seconds=200),
)

# What a test may say that it cannot try: jails of the mode "full" are for root. All else there is on this host.
UNTRIED = {"root": None, USER: re.compile(r"\bfull\b")}


def make_disk(folder):
    """The file system of what is tested: programs without their debug information, the data of tests, our side."""
    tree = folder / "assay"
    (tree / "bin").mkdir(parents=True)
    for program in sorted((BUILD / "bin").iterdir()):
        if os.access(program, os.X_OK):
            subprocess.run(["llvm-strip-19", "--strip-debug", "-o", tree / "bin" / program.name, program], check=True)
    shutil.copytree(SOURCE / "tests", tree / "source/tests", ignore=shutil.ignore_patterns("__pycache__"))
    for script in ("guest.py", "units_test.py"):
        shutil.copy(SOURCE / "tests/hosts" / script, tree)
    subprocess.run(["cmake", "--install", BUILD, "--strip"], env={**os.environ, "DESTDIR": str(tree / "root")},
                   check=True, stdout=subprocess.DEVNULL)
    disk = folder / "disk"
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-d", tree, disk, "512M"], check=True,
                   stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    return disk


def built_from():
    """The folder of sources that tests look for their data in."""
    cache = (BUILD / "CMakeCache.txt").read_text()
    return pathlib.Path(re.search(r"^CMAKE_HOME_DIRECTORY:\w+=(.*)$", cache, re.MULTILINE)[1])


def set_up(machine):
    """Puts the sources where the programs were built from, and what `cmake --install` made where it belongs."""
    source = built_from()
    code, output = machine.run(["sh", "-ec", f"""
        mkdir -p '{source.parent}'
        ln -s /assay/source '{source}'
        for folder in {' '.join(f"'{parent}'" for parent in source.parents)}; do chmod a+x "$folder"; done
        cp -a /assay/root/. /
        if ldd /assay/bin/* | grep 'not found'; then echo 'its package belongs into PACKAGES of image.py'; exit 1; fi
        """], 120)
    if code:
        raise Failed(f"cannot set up the machine:\n{output}")


def service(command, user, seconds, unit, environment=()):
    """`command` as a service to which systemd delegates a cgroup tree, as assayd.service has one."""
    return ["systemd-run", "--quiet", "--wait", "--pipe", "--collect", f"--unit={unit}", "--service-type=exec",
            f"--uid={user}", "--property=Delegate=yes", "--property=OOMPolicy=continue",
            f"--property=RuntimeMaxSec={seconds}", f"--setenv=ASSAY_TEST_SLOWNESS={SLOWNESS}",
            *(f"--setenv={variable}" for variable in environment), *command]


def untried(output):
    """What tests say that this host cannot do, as Catch2 prints warnings."""
    return {" ".join(text.split()) for text in re.findall(r"warning:\n((?:  .*\n)+)", output)}


def faults(machine, program, user, unit, output):
    """What is wrong although the program passed."""
    allowed = UNTRIED[user]
    found = [f"not tried: {text}" for text in sorted(untried(output)) if not (allowed and allowed.search(text))]
    journal = machine.run(["journalctl", "--quiet", "--output=cat", f"--unit={unit}.service"], 60)[1]
    found += [line for line in journal.splitlines() if "Killing process" in line or "left-over process" in line]
    return found


def run_program(machine, program, user, seconds):
    """True if it passed."""
    print(f"{program.name} as {user}: ", end="", flush=True)
    started = time.monotonic()
    unit = f"{program.name}-{user}"
    code, output = machine.run(service(program.command, user, seconds, unit, program.environment), seconds + 30)
    took = time.monotonic() - started
    lines = output.strip().splitlines() or ["(no output)"]
    if code == 0:
        wrong = faults(machine, program, user, unit, output)
    else:
        wrong = [f"still running after {seconds} s" if took >= seconds else f"exit code {code}", *lines[-LINES:]]
    if wrong:
        print(f"FAILED ({took:.0f} s)", *wrong, sep="\n  ", flush=True)
    else:
        print(f"passed ({took:.0f} s): {lines[-1]}", flush=True)
    return not wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", nargs="*", help=f"of {', '.join(p.name for p in PROGRAMS)}; default: all")
    parser.add_argument("--run", metavar="COMMAND", help="only run this shell command in the machine")
    parser.add_argument("--user", default="root", help=f"who runs COMMAND: root or {USER}")
    parser.add_argument("--seconds", type=int, default=ALL_SECONDS, help="the deadline of everything (%(default)s)")
    arguments = parser.parse_args()
    unknown = set(arguments.program) - {p.name for p in PROGRAMS}
    if unknown:
        parser.error(f"no such program: {', '.join(unknown)}")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(3))  # so that everything is put away
    os.umask(0o022)
    try:
        image = prepared()
    except Skip as why:
        print(f"skipped: {why}")
        return 0
    with tempfile.TemporaryDirectory(prefix="assay-hosts-") as name:
        folder = pathlib.Path(name)
        started = time.monotonic()
        disk = make_disk(folder)
        print(f"disk made in {time.monotonic() - started:.0f} s", flush=True)
        with Machine(image, disk, folder) as machine:
            try:
                return run(machine, arguments)
            except Failed as why:
                print(f"FAILED: {why}\nthe console's end:\n{machine.tail()}")
                return 1


def run(machine, arguments):
    end = time.monotonic() + arguments.seconds
    started = time.monotonic()
    machine.boot(BOOT_SECONDS)
    print(f"booted in {time.monotonic() - started:.0f} s", flush=True)
    set_up(machine)
    if arguments.run:
        command = service(["sh", "-c", arguments.run], arguments.user, arguments.seconds, "command")
        return machine.run(command, arguments.seconds + 30, lambda text: print(text, end="", flush=True))[0]
    failed = 0
    for program in PROGRAMS:
        if arguments.program and program.name not in arguments.program:
            continue
        for user in program.users:
            seconds = min(program.seconds, int(end - time.monotonic()))
            if seconds <= 0:
                raise Failed(f"no time left for {program.name} as {user} of {arguments.seconds} s")
            failed += not run_program(machine, program, user, seconds)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
