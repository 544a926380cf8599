"""The SDK as an author has it: installed by itself, found by CMake and pkg-config, without anything of Assay's."""
import ctypes
import json
import os
import shutil
import subprocess

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


if __name__ == "__main__":
    main()
