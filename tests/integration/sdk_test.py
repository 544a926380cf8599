"""The SDK as an author has it: installed by itself, found by CMake and pkg-config, without anything of Assay's."""
import ast
import ctypes
import json
import os
import shutil
import subprocess
import sys

from harness import SOURCE, Case, main


class Entry(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("abi_major", ctypes.c_uint32), ("abi_minor", ctypes.c_uint32),
                ("describe", ctypes.c_char_p), ("create", ctypes.c_void_p)]


COMPILER = shutil.which("c++") or shutil.which("clang++-19")


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


class Sdk(Case):
    def installed(self):
        prefix = self.folder / "prefix"
        run("cmake", "--install", os.environ["ASSAY_BUILD"], "--component", "sdk", "--prefix", prefix)
        return prefix

    def check(self, library):
        entry = Entry.in_dll(ctypes.CDLL(str(library)), "assay_plugin")
        self.assertEqual((entry.size, entry.abi_major), (ctypes.sizeof(Entry), 1))
        described = json.loads(entry.describe)
        self.assertEqual([one["name"] for one in described["evaluators"]], ["short", "polite"])

    def test_a_plugin_of_another_tree_is_built_with_cmake(self):
        prefix = self.installed()
        self.assertFalse((prefix / "bin").exists(), "the SDK has no programs")
        source = self.folder / "mine"
        shutil.copytree(SOURCE / "examples" / "plugin", source)
        build = self.folder / "build"
        run("cmake", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Release",
            f"-DCMAKE_CXX_COMPILER={COMPILER}")
        run("cmake", "--build", build)
        self.check(build / "words.so")
        exported = [line.split()[-1] for line in run("llvm-nm-19", "-D", "--defined-only", build / "words.so").splitlines()]
        self.assertEqual(exported, ["assay_plugin"])

    def test_and_with_one_command(self):
        if shutil.which("pkg-config") is None:
            self.skipTest("pkg-config is not installed")
        found = next(self.installed().rglob("assay-sdk.pc")).parent
        flags = run("pkg-config", "--cflags", "assay-sdk", env={**os.environ, "PKG_CONFIG_PATH": str(found)}).split()
        library = self.folder / "words.so"
        run(COMPILER, "-std=c++20", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-fvisibility=hidden", *flags,
            SOURCE / "examples/plugin/words.cpp", "-o", library)
        self.check(library)

    def test_what_evaluators_new_writes_in_cpp_is_built_against_it(self):
        prefix = self.installed()
        out, _ = self.assay("evaluators", "new", "--language", "cpp", "short-answer")
        self.assertEqual(out.split(), [f"short-answer/{name}" for name in
                                       ("short-answer.cpp", "short-answer.items.jsonl", "CMakeLists.txt")])
        build = self.folder / "build"
        run("cmake", "-S", self.folder / "short-answer", "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}",
            f"-DCMAKE_CXX_COMPILER={COMPILER}", "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror")
        run("cmake", "--build", build)
        entry = Entry.in_dll(ctypes.CDLL(str(build / "short-answer.so")), "assay_plugin")
        (described,) = json.loads(entry.describe)["evaluators"]
        self.assertEqual(described["name"], "short-answer")


class Python(Case):
    """sdk/python: what evaluators see, outside the sandbox."""
    PACKAGE = SOURCE / "sdk" / "python"

    def python(self, program):
        return run(sys.executable, "-c", program, env={**os.environ, "PYTHONPATH": f"{self.PACKAGE}:{SOURCE / 'examples/evaluators'}",
                                                       "PYTHONDONTWRITEBYTECODE": "1"})

    def test_examples_run_with_it(self):
        score = self.python("""
import assay, keywords, unit_tests
item: assay.Item = {"id": "1", "index": 0, "metadata": {}, "sample": {"input": None, "output": "Paris", "text": "Paris"},
                    "ground_truth": {"input": None, "output": "paris seine", "text": "paris seine"}}
assert keywords.run_evaluation(item)["score"] == 0.5
assay.params.update(function="add", cases=[[[1, 2], 3]])
try:
    unit_tests.run_evaluation(item)
    raise SystemExit("it ran without a sandbox")
except RuntimeError as error:
    assert "sandbox" in str(error)
def fake(**program):
    assert program["language"] == "python"
    return {"exit_code": 0, "stdout": "3\\n", "stderr": "", "wall_ms": 1, "cpu_ms": 1, "memory_bytes": 1}
assay.run_candidate = fake
print(unit_tests.run_evaluation(item)["score"])
""")
        self.assertEqual(score.strip(), "1.0")

    def test_it_has_the_signatures_of_the_sandbox(self):
        def functions(path):
            tree = ast.parse(path.read_text())
            return {node.name: [argument.arg for argument in node.args.kwonlyargs]
                    for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        ours, theirs = functions(self.PACKAGE / "assay/__init__.py"), functions(SOURCE / "sandbox/runtime/process/python_runner.py")
        for name, arguments in ours.items():
            if name in theirs:
                self.assertEqual(arguments, theirs[name], name)
        self.assertIn("run_candidate", theirs)
        self.assertTrue((self.PACKAGE / "assay/py.typed").exists())


if __name__ == "__main__":
    main()
