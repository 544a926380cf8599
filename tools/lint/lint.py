#!/usr/bin/env python3
"""Checks that a compiler does not make: layers, headers that must stay light, raw descriptors, file sizes."""
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAYERS = tomllib.loads((ROOT / "tools/lint/layers.toml").read_text())


def flatten(table, prefix=""):
    """Yields (folder, rule) for every rule of the table, nested tables included."""
    for name, value in table.items():
        if not isinstance(value, dict):
            continue
        folder = value.get("folder", prefix + name)
        if "may_include" in value:
            yield folder, value
        yield from flatten(value, folder + "/")


RULES = dict(flatten(LAYERS))
# Longest first: "sandbox/runtime/lua" before "sandbox/runtime".
FOLDERS = sorted(RULES, key=len, reverse=True)
RAW_CALLS = re.compile(r"(?<![\w.>])::(?:open|openat|creat|pipe2?|dup2?|socket|socketpair|accept4?)\(")
RAW_ALLOWED = {"core/fd.cpp"}
HEADER_ONLY_IN_SOURCES = ("nlohmann/json.hpp", "sqlite3.h", "curl/curl.h", "libpq-fe.h")
LONG_FILES = {}  # path: the reason it may be longer than 1,000 lines


def folder_of(path):
    return next((f for f in FOLDERS if path == f or path.startswith(f + "/")), None)


def check(path, text, fault):
    folder = folder_of(path)
    rule = RULES[folder]
    for number, line in enumerate(text.splitlines(), 1):
        own = re.match(r'\s*#include "([^"]+)"', line)
        system = re.match(r"\s*#include <([^>]+)>", line)
        if own:
            target = own.group(1)
            # cmake/Embed.cmake makes runner.hpp of runner.py
            if not any(ROOT.glob(target.removesuffix("hpp") + "*")):
                fault(path, number, f'include "{target}": spell it from the root of the repository')
            other = folder_of(target)
            if other and other != folder and other not in rule["may_include"]:
                fault(path, number, f"{folder} may not include {other} (tools/lint/layers.toml)")
        if system:
            header = system.group(1)
            if any(header.startswith(word) for word in rule.get("forbid", [])):
                fault(path, number, f"{folder} may not include <{header}>")
            if path.endswith(".hpp") and header in HEADER_ONLY_IN_SOURCES and "private to" not in text.split("#pragma")[0].lower():
                fault(path, number, f"<{header}> belongs into a source file")
            if header.startswith("spdlog/") and path != "core/log.cpp":
                fault(path, number, "log through core/log.hpp")
        code = line.split("//")[0]
        if RAW_CALLS.search(code) and path not in RAW_ALLOWED and "syscall" not in code:
            fault(path, number, "descriptors come from the factories of core/fd.hpp")
        if "asio::detached" in code:
            fault(path, number, "no detached work: spawn it in a Scope")
    lines = text.count("\n")
    if lines > 1000 and path not in LONG_FILES:
        fault(path, lines, f"{lines} lines: split it by noun")
    elif lines > 600:
        print(f"note: {path} has {lines} lines")


def main():
    faults = []
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.cpp", "*.hpp", "*.h", "*.c"], cwd=ROOT,
                            check=True, capture_output=True, text=True).stdout.split()
    for path in sorted(set(listed)):
        if folder_of(path) and (ROOT / path).exists():
            check(path, (ROOT / path).read_text(), lambda p, n, why: faults.append(f"{p}:{n}: {why}"))
    for fault in faults:
        print(fault)
    print(f"lint: {len(listed)} files, {len(faults)} faults")
    return 1 if faults else 0


sys.exit(main())
