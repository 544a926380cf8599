"""Schemathesis, the public fuzzer of APIs, against a real server: ./dev test openapi. Needs PyPI once."""
import os
import pathlib
import re
import subprocess
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "integration"))
from harness import BIN, Case, main, wait_until

VENV = pathlib.Path(os.environ["ASSAY_BUILD"]) / "openapi-venv"
VERSION = "4.32.5"
SETTINGS = pathlib.Path(__file__).with_name("schemathesis.toml")
SECONDS = int(os.environ.get("ASSAY_FUZZ_SECONDS", "300"))
# Not asked for: whether what is valid by itself is taken, because it may not fit what the server holds.
CHECKS = ("not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
          "response_schema_conformance,negative_data_rejection,missing_required_header,unsupported_method,"
          "use_after_free,ignored_auth")


def fuzzer():
    """The program, installed once, or None with the reason."""
    program = VENV / "bin" / "schemathesis"
    if program.exists():
        return program, ""
    for command in ([sys.executable, "-m", "venv", VENV], [VENV / "bin" / "pip", "install", "-q", f"schemathesis=={VERSION}"]):
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            return None, (done.stderr or done.stdout).strip().splitlines()[-1]
    return program, ""


class Schemathesis(Case):
    def test_it_finds_nothing(self):
        program, why = fuzzer()
        if program is None:
            self.skipTest(f"schemathesis cannot be installed: {why}")
        server = self.start(BIN / "assay", "serve", "--listen", "127.0.0.1:0", "--store", self.folder / "assay.db")
        address = wait_until(lambda: re.search(r"127\.0\.0\.1:\d+", server.output()), "it says where it listens")[0]
        key = self.key("admin", "submit", "read", "worker")
        done = subprocess.run(
            [str(program), "--config-file", str(SETTINGS), "run", f"http://{address}/openapi.json", "--url", f"http://{address}/v1", "--checks", CHECKS,
             "--header", f"Authorization: Bearer {key}", "--max-time", str(SECONDS), "--request-timeout", "30",
             "--continue-on-failure", "--suppress-health-check", "all", "--warnings", "off", "--seed", "1", "--no-color",
             "--exclude-path", "/evaluation/runs/{run}/events",  # it lasts as long as its run
             *os.environ.get("SCHEMATHESIS_OPTIONS", "").split()],
            cwd=self.folder, timeout=SECONDS + 600)
        self.assertEqual(done.returncode, 0, "schemathesis has found something: see above")
        self.assertIsNone(server.process.poll(), server.output())


if __name__ == "__main__":
    main()
