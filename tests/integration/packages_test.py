"""Requirements of evaluators: installed from an index of our own, once, in a jail that reaches nothing else."""
import base64
import hashlib
import http.server
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import threading
import unittest
import urllib.parse
import zipfile

from harness import BIN, DEADLINE, Case, Program, main, wait_until

PYTHON = "/usr/bin/python3"
SECRET = "a-password-of-the-index"

# Tries to get out while it is built, and packs what it found.
BACKEND = '''
import os, socket, urllib.request, zipfile
FOUND = []
def attempt(name, what):
    try:
        what()
        FOUND.append(name)
    except Exception:
        pass
def through_proxy(url):
    handler = urllib.request.ProxyHandler({"http": "http://127.0.0.1:3128"})
    urllib.request.build_opener(handler).open(url, timeout=5).read()
def build_wheel(directory, settings=None, metadata=None):
    attempt("the other server, directly", lambda: socket.create_connection(("127.0.0.1", OTHER), 5))
    attempt("the index, directly", lambda: socket.create_connection(("127.0.0.1", INDEX), 5))
    attempt("the other server, by the proxy", lambda: through_proxy("http://127.0.0.1:%d/" % OTHER))
    attempt("a file of the host", lambda: open(HOST_FILE).read())
    attempt("a datagram", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    attempt("a raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
    attempt("a server", lambda: socket.socket().bind(("127.0.0.1", 8080)))
    attempt("the machine's root", lambda: open("/usr/evil", "w"))
    name = "evil-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        wheel.writestr("evil.py", "FOUND = %r" % FOUND)
        wheel.writestr("evil-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: evil\\nVersion: 1.0\\n")
        wheel.writestr("evil-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("evil-1.0.dist-info/RECORD", "")
    return name
'''


def wheel(name, version, files, needs=()):
    """The file name and the bytes of a wheel."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(f"Requires-Dist: {n}\n" for n in needs)
    files = {**files, f"{info}/METADATA": metadata,
             f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    record = "".join(f"{path},,\n" for path in files) + f"{info}/RECORD,,\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)
    return f"{name}-{version}-py3-none-any.whl", packed.getvalue()


def tarball(files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


class Index(http.server.ThreadingHTTPServer):
    """/simple/NAME/ for pip, /npm/NAME for npm, /files/FILE for both. With `password` only for who gives it."""
    daemon_threads = True

    def __init__(self, password=None):
        self.files, self.npm, self.asked, self.password = {}, {}, [], password
        self.silent = threading.Event()  # set: nothing is answered any more
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def add(self, name, data):
        self.files[name] = data

    def add_npm(self, name, version, text):
        package = json.dumps({"name": name, "version": version, "type": "module", "exports": "./index.js"})
        data = tarball({"package/package.json": package, "package/index.js": text})
        self.add(f"{name}-{version}.tgz", data)
        self.npm[name] = {"name": name, "dist-tags": {"latest": version}, "versions": {version: {
            "name": name, "version": version, "dist": {
                "tarball": f"http://127.0.0.1:{self.port}/files/{name}-{version}.tgz",
                "integrity": "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()}}}}


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        index = self.server
        path = urllib.parse.unquote(self.path)
        index.asked.append(path)
        if index.silent.is_set():
            threading.Event().wait(DEADLINE)
        wanted = "Basic " + base64.b64encode(f"reader:{index.password}".encode()).decode()
        parts = path.strip("/").split("/")
        if index.password and self.headers["Authorization"] != wanted:
            return self.answer(401, b"", "text/plain")
        if parts[0] == "simple" and len(parts) == 2:
            names = [name for name in index.files if name.split("-")[0] == parts[1] and not name.endswith(".tgz")]
            links = "".join(f'<a href="/files/{name}">{name}</a>\n' for name in names)
            return self.answer(200 if names else 404, f"<!DOCTYPE html><body>{links}</body>".encode(), "text/html")
        if parts[0] == "npm" and parts[-1] in index.npm:
            return self.answer(200, json.dumps(index.npm[parts[-1]]).encode(), "application/json")
        if parts[0] == "files" and parts[-1] in index.files:
            return self.answer(200, index.files[parts[-1]], "application/octet-stream")
        self.answer(404, b"{}", "application/json")

    def answer(self, status, body, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="index"')
        self.end_headers()
        self.wfile.write(body)


class Packages(Case):
    def setUp(self):
        super().setUp()
        if subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True, check=False).returncode != 0:
            raise unittest.SkipTest("pip is not installed for " + PYTHON)
        self.index = Index()
        self.addCleanup(self.index.server_close)
        self.addCleanup(self.index.shutdown)
        self.cache = self.folder / "cache"
        self.index.add(*wheel("greet", "1.0", {"greet.py": "import polite\nWORD = polite.WORD + ' you'"}, ["polite"]))
        self.index.add(*wheel("polite", "2.0", {"polite.py": "WORD = 'thank'"}))
        self.index.add_npm("kind", "1.2.3", "export default (word) => word + ' you';")

    def settings(self, **more):
        return {**os.environ, "ASSAY_PACKAGES_INDEX": f"http://127.0.0.1:{self.index.port}/simple/",
                "ASSAY_PACKAGES_REGISTRY": f"http://127.0.0.1:{self.index.port}/npm/",
                "ASSAY_PACKAGES_FOLDER": str(self.cache), **{f"ASSAY_PACKAGES_{k.upper()}": v for k, v in more.items()}}

    def greeter(self):
        return self.write("greeter.py", "import greet\n\ndef run_evaluation(item):\n"
                              "    return {'score': 1, 'reason': greet.WORD}\n")

    def command(self, path, requirements, *arguments):
        required = [word for line in requirements for word in ("--requirement", line)]
        return [str(BIN / "assay"), "evaluators", "test", "--json", str(path), *required, *arguments]

    def outcome_of(self, path, requirements, *arguments, code=0, **settings):
        done = subprocess.run(self.command(path, requirements, *arguments), capture_output=True, text=True,
                              timeout=DEADLINE, env=self.settings(**settings), check=False)
        self.assertEqual(done.returncode, code, f"{done.stdout}\n{done.stderr}")
        return json.loads(done.stdout) if done.stdout else done.stderr

    def environments(self):
        return {path.name for path in self.cache.iterdir() if path.is_dir()}


class Installing(Packages):
    def test_installs_once_for_all_who_ask_at_once(self):
        command = self.command(self.greeter(), ["greet==1.0"])
        programs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=self.settings()) for _ in range(4)]
        for program in programs:
            out, _ = program.communicate(timeout=DEADLINE)
            self.assertEqual((program.returncode, json.loads(out)["reason"]), (0, "thank you"))
        files = [path for path in self.index.asked if path.startswith("/files/")]
        self.assertEqual(sorted(files), ["/files/greet-1.0-py3-none-any.whl", "/files/polite-2.0-py3-none-any.whl"])
        asked = len(self.index.asked)
        self.assertEqual(self.outcome_of(self.greeter(), ["greet==1.0"])["reason"], "thank you")
        self.assertEqual(len(self.index.asked), asked)
        self.assertEqual(len(self.environments()), 1)

    def test_what_is_installed_cannot_be_changed(self):
        path = self.write("writer.py", "import greet, os\n\ndef run_evaluation(item):\n    try:\n"
                              "        open(os.path.dirname(greet.__file__) + '/more.py', 'w')\n"
                              "    except OSError as error:\n        return {'score': 0, 'reason': error.strerror}\n"
                              "    return 1\n")
        self.assertIn(self.outcome_of(path, ["greet"])["reason"], ("Read-only file system", "Permission denied"))

    def test_installs_for_node(self):
        if shutil.which("npm", path="/usr/local/bin:/usr/bin:/bin") is None:
            raise unittest.SkipTest("npm is not installed")
        path = self.write("kind.mjs", "import kind from 'kind';\n"
                              "export const run_evaluation = () => ({ score: 1, reason: kind('thank') });\n")
        self.assertEqual(self.outcome_of(path, ["kind@1"])["reason"], "thank you")
        self.assertIn("E404", self.outcome_of(path, ["kind@1", "unkind"], code=2))

    def test_installs_in_a_user_namespace(self):
        done = self.outcome_of(self.greeter(), ["greet==1.0"], "--sandbox", "userns")
        self.assertEqual(done["reason"], "thank you")

    def test_installs_from_a_wheelhouse_without_an_index(self):
        house = self.folder / "wheels"
        house.mkdir()
        house.chmod(0o755)
        self.folder.chmod(0o755)
        for name, data in self.index.files.items():
            (house / name).write_bytes(data)
        outcome = self.outcome_of(self.greeter(), ["greet==1.0"], wheelhouse=str(house))
        self.assertEqual(outcome["reason"], "thank you")
        self.assertEqual(self.index.asked, [])

    def test_a_password_of_the_index_is_told_to_nobody(self):
        self.index.password = SECRET
        url = f"http://reader:{SECRET}@127.0.0.1:{self.index.port}/simple/"
        self.assertEqual(self.outcome_of(self.greeter(), ["greet==1.0"], index=url)["reason"], "thank you")
        message = self.outcome_of(self.greeter(), ["greet==9"], code=2, index=url)
        self.assertIn("greet==9", message)
        self.assertNotIn(SECRET, message)
        for path in self.cache.rglob("*"):
            if path.is_file():
                self.assertNotIn(SECRET.encode(), path.read_bytes(), path)


class Refusing(Packages):
    def test_says_what_the_resolver_says_before_any_item(self):
        message = self.outcome_of(self.greeter(), ["greet==1.0", "no-such-thing>=3"], code=2)
        self.assertIn("its requirements cannot be installed", message)
        self.assertIn("No matching distribution found for no-such-thing>=3", message)
        self.assertEqual(self.environments(), set())
        data = self.write("rows.jsonl", '{"output":"a"}\n')
        evaluation = self.write("evaluation.toml", "\n".join([
            'name = "x"', "[sample]", 'type = "dataset"', f'file = "{data.name}"', "[[evaluator]]", 'name = "greeter"',
            'type = "code"', 'language = "python"', f'file = "{self.greeter().name}"', 'requirements = ["greet==7"]']))
        done = subprocess.run([BIN / "assay", "run", "--ephemeral", evaluation], capture_output=True,
                              text=True, timeout=DEADLINE, env=self.settings(), check=False)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("evaluator greeter", done.stderr)
        self.assertIn("greet==7", done.stderr)

    def test_says_what_the_settings_lack(self):
        self.assertIn("packages.index", self.outcome_of(self.greeter(), ["greet"], code=2, index=""))
        path = self.write("kind.mjs", "export const run_evaluation = () => 1;")
        self.assertIn("packages.registry", self.outcome_of(path, ["kind"], code=2, registry=""))
        self.assertIn("packages.index must be a URL", self.outcome_of(path, ["kind"], code=2, index="index"))
        self.assertIn("is no folder", self.outcome_of(path, ["kind"], code=2, wheelhouse="/no/such"))
        self.assertIn("namespaces", self.outcome_of(self.greeter(), ["greet"], "--sandbox", "nons", code=2))
        for line in ("-r /etc/passwd", "--index-url=http://elsewhere", "", "a\nb"):
            self.assertIn("names no package", self.outcome_of(self.greeter(), [line], code=2))

    def test_an_index_that_does_not_answer_is_no_fault_of_the_evaluator(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % unused.getsockname()[1]
            message = self.outcome_of(self.greeter(), ["greet"], code=3, index=f"http://{address}/simple/")
        self.assertIn(f"{address} cannot be reached", message)

    def test_building_a_package_reaches_the_index_and_nothing_else(self):
        other = Index()
        self.addCleanup(other.server_close)
        self.addCleanup(other.shutdown)
        host_file = self.write("host-file", "of the host")
        host_file.chmod(0o644)
        self.folder.chmod(0o755)
        about = f"OTHER, INDEX, HOST_FILE = {other.port}, {self.index.port}, {str(host_file)!r}\n"
        self.index.add("evil-1.0.tar.gz", tarball({
            "evil-1.0/pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
            "evil-1.0/PKG-INFO": "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n",
            "evil-1.0/backend.py": about + BACKEND}))
        path = self.write("evil_user.py", "import evil\n\ndef run_evaluation(item):\n"
                              "    return {'score': 1, 'reason': repr(evil.FOUND)}\n")
        for mode in ("full", "userns"):
            shutil.rmtree(self.cache, ignore_errors=True)
            self.assertEqual(self.outcome_of(path, ["evil"], "--sandbox", mode)["reason"], "[]", mode)
        self.assertEqual(other.asked, [])

    def test_what_a_build_leaves_behind_is_measured_and_removed(self):
        """Deep folders, closed ones, and files that have no name any more."""
        for name, body, words in [
                ("deep", "for i in range(3000): os.mkdir('d'); os.chdir('d')", "deep"),
                ("many", "for i in range(2000): open('/assay/packages/%d' % i, 'w')", "packages.bytes"),
                ("hidden", "f = open('/assay/packages/f', 'wb'); os.unlink('/assay/packages/f'); f.write(bytes(50 << 20)); "
                           "f.flush(); time.sleep(60)", "packages.bytes")]:
            backend = f"import os, time\nos.chdir('/assay/packages')\n{body}\nraise SystemExit(3)\n"
            if name != "hidden":
                backend = backend.replace("raise SystemExit(3)", "time.sleep(4)")
            self.index.add(f"{name}-1.0.tar.gz", tarball({
                f"{name}-1.0/pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
                f"{name}-1.0/PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
                f"{name}-1.0/backend.py": backend}))
            with self.subTest(name):
                message = self.outcome_of(self.greeter(), [name], code=2, bytes=str(4 << 20))
                self.assertIn(words, message)
                self.assertEqual(self.environments(), set())

    def test_a_folder_of_others_is_left_alone(self):
        self.cache.mkdir(mode=0o755)
        self.cache.chmod(0o1777)
        message = self.outcome_of(self.greeter(), ["greet"], code=2)
        self.assertIn("packages.folder", message)
        self.assertEqual(self.cache.stat().st_mode & 0o7777, 0o1777)

    def test_files_elsewhere_need_to_be_allowed(self):
        files = Index()
        self.addCleanup(files.server_close)
        self.addCleanup(files.shutdown)
        name, data = wheel("remote", "1.0", {"remote.py": ""})
        files.add(name, data)
        self.index.add("remote-1.0-py3-none-any.whl", b"")
        links = f'<a href="http://127.0.0.1:{files.port}/files/{name}">{name}</a>'
        self.index.add("remote", links)
        Handler_answer, index = Handler.answer, self.index

        def answer(handler, status, body, kind):
            if handler.server is index and handler.path.startswith("/simple/remote"):
                body = links.encode()
            Handler_answer(handler, status, body, kind)
        Handler.answer = answer
        self.addCleanup(setattr, Handler, "answer", Handler_answer)
        path = self.write("remote_user.py", "import remote\n\ndef run_evaluation(item):\n    return 1\n")
        message = self.outcome_of(path, ["remote"], code=2)
        self.assertIn(f"127.0.0.1:{files.port}, which is not among packages.hosts", message)
        self.assertEqual(files.asked, [])
        self.assertEqual(self.outcome_of(path, ["remote"], hosts=f"127.0.0.1:{files.port}")["score"], 1)


class Keeping(Packages):
    def add_large(self, name, kilobytes):
        self.index.add(*wheel(name, "1.0", {f"{name}.py": "", f"{name}.dat": os.urandom(kilobytes << 10)}))

    def run_with(self, requirement, **settings):
        path = self.write("user.py", f"import {requirement}\n\ndef run_evaluation(item):\n    return 1\n")
        return self.outcome_of(path, [requirement], **settings)

    def test_what_was_not_used_for_longest_makes_room(self):
        for name in ("aa", "bb", "cc"):
            self.add_large(name, 450)
        limit = {"bytes": str(1 << 20)}
        self.run_with("aa", **limit)
        first = self.environments()
        self.run_with("bb", **limit)
        second = self.environments() - first
        self.run_with("aa", **limit)  # now bb is the older
        self.run_with("cc", **limit)
        left = self.environments()
        self.assertTrue(first <= left and not second & left, f"{first} {second} {left}")
        self.assertEqual(len(left), 2)
        self.run_with("bb", **limit)  # installed anew
        self.assertEqual(self.index.asked.count("/files/bb-1.0-py3-none-any.whl"), 2)

    def test_one_that_is_larger_than_all_may_be_is_refused(self):
        self.add_large("huge", 1500)
        self.assertIn("packages.bytes", self.run_with("huge", bytes=str(1 << 20), code=2))
        self.assertEqual(self.environments(), set())

    def test_a_program_that_dies_while_it_installs_leaves_the_place_to_the_next(self):
        self.index.silent.set()
        program = Program(*self.command(self.greeter(), ["greet==1.0"]), env=self.settings())
        self.addCleanup(program.end)
        wait_until(lambda: self.index.asked, "it installs")
        self.assertEqual({name.split(".")[-1] for name in self.environments()}, {"new"})
        program.signal(signal.SIGKILL)
        program.wait()
        self.index.silent.clear()
        self.assertEqual(self.outcome_of(self.greeter(), ["greet==1.0"])["reason"], "thank you")
        self.assertEqual(len(self.environments()), 1)


if __name__ == "__main__":
    main()
