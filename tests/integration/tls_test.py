"""The API over TLS, with certificates of an authority made here: who is let in, and what ends in time."""
import contextlib
import http.client
import json
import re
import signal
import socket
import ssl
import subprocess
import time
import warnings

from harness import BIN, Case, main, wait_until

EVALUATION = """
name = "over tls"
[sample]
type = "dataset"
file = "rows.jsonl"
columns = { input = "input", output = "output" }
[ground_truth]
type = "dataset"
file = "rows.jsonl"
columns = { input = "input", output = "output" }
[[evaluator]]
name = "same"
type = "code"
language = "lua"
file = "same.lua"
pass_threshold = 1.0
"""


class Tls(Case):
    def openssl(self, *arguments):
        subprocess.run(["openssl", *[str(a) for a in arguments]], check=True, capture_output=True, timeout=60)

    def authority(self, name):
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2,
                     "-keyout", self.folder / f"{name}.key", "-out", self.folder / f"{name}.pem", "-subj", f"/CN={name}")
        return self.folder / f"{name}.pem"

    def certificate(self, name, authority, subject="DNS:localhost,IP:127.0.0.1", days=2):
        """Makes NAME.pem and NAME.key."""
        request, extensions = self.folder / f"{name}.csr", self.write(f"{name}.ext", f"subjectAltName={subject}\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-out", request,
                     "-keyout", self.folder / f"{name}.key", "-subj", f"/CN={name}")
        self.openssl("x509", "-req", "-in", request, "-CA", self.folder / f"{authority}.pem",
                     "-CAkey", self.folder / f"{authority}.key", "-CAcreateserial", "-days", days,
                     "-extfile", extensions, "-out", self.folder / f"{name}.pem")
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def serve_tls(self, certificate, key):
        """A server on a port of its own: (program, port)."""
        server = self.start(BIN / "assay", "serve", "--listen", "127.0.0.1:0", "--store", self.folder / "assay.db",
                            "--tls-cert", certificate, "--tls-key", key)
        found = wait_until(lambda: re.search(r"serving address=127\.0\.0\.1:(\d+) scheme=https", server.output())
                           or server.process.poll() is not None, "the API listens")
        self.assertIsNot(found, True, server.output())
        return server, int(found.group(1))

    def context(self, authority="ca", protocols=("http/1.1",)):
        context = ssl.create_default_context(cafile=self.folder / f"{authority}.pem")
        context.set_alpn_protocols(list(protocols))
        return context

    def connect(self, port, **keywords):
        raw = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.addCleanup(raw.close)
        wrapped = self.context(**keywords).wrap_socket(raw, server_hostname="localhost")
        self.addCleanup(wrapped.close)
        return wrapped

    def ask(self, connection, close=False):
        """One request on an open connection: its status."""
        end = "Connection: close\r\n" if close else ""
        connection.sendall(f"GET /healthz HTTP/1.1\r\nHost: localhost\r\n{end}\r\n".encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        answer.read()
        return answer.status

    def evaluation(self):
        rows = "".join(json.dumps({"input": str(i), "output": "same " * 100}) + "\n" for i in range(400))
        self.write("rows.jsonl", rows)
        self.write("same.lua", "function run_evaluation(item)\n"
                               "  return {score = item.sample.text == item.ground_truth.text and 1 or 0}\nend\n")
        return self.write("evaluation.toml", EVALUATION)

    def test_worker_and_command_line_work_over_https(self):
        authority = self.authority("ca")
        _, port = self.serve_tls(*self.certificate("server", "ca"))
        self.write("me.key", self.key("submit", "read"))
        self.write("worker.key", self.key("worker"))
        env = {"ASSAY_API_URL": f"https://localhost:{port}", "ASSAY_API_KEY_FILE": str(self.folder / "worker.key"),
               "ASSAY_API_CA_FILE": str(authority), "ASSAY_WORKER_NAME": "w"}
        worker = self.start(BIN / "assayd", env=env)
        out, _ = self.assay("submit", self.evaluation(), "--api", f"https://127.0.0.1:{port}", "--ca-file", authority,
                            "--key-file", self.folder / "me.key", "--json")
        summary = json.loads(out)
        self.assertIn("same", out)
        self.assertEqual((summary["run"]["status"], summary["run"]["progress"]["errors"]), ("completed", 0), out)
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0, worker.output())

    def test_http_where_https_is_spoken_and_the_reverse_name_the_remedy(self):
        self.authority("ca")
        server, port = self.serve_tls(*self.certificate("server", "ca"))
        self.write("me.key", self.key("read"))
        listing = ["runs", "list", "--key-file", self.folder / "me.key", "--ca-file", self.folder / "ca.pem"]

        def told(url):
            program = self.start(BIN / "assay", *listing, "--api", url)
            wait_until(lambda: "trying again" in program.output(), "it says what is wrong before it gives up", 20)
            return program.output()
        self.assertIn("use https://", told(f"http://localhost:{port}"))
        server.signal(signal.SIGTERM)
        server.wait()
        plain = self.start(BIN / "assay", "serve", "--listen", "127.0.0.1:0", "--store", self.folder / "assay.db")
        found = wait_until(lambda: re.search(r"address=127\.0\.0\.1:(\d+) scheme=http ", plain.output()), "the API listens")
        self.assertIn("does this port speak plain http?", told(f"https://localhost:{found[1]}"))

    def test_a_certificate_of_another_authority_or_name_is_refused(self):
        self.authority("ca")
        other = self.authority("other")
        _, port = self.serve_tls(*self.certificate("server", "ca"))
        self.write("me.key", self.key("submit", "read"))
        submit = ["submit", self.evaluation(), "--key-file", self.folder / "me.key"]
        _, error = self.assay(*submit, "--api", f"https://localhost:{port}", "--ca-file", other, code=3)
        self.assertIn("certificate is not trusted", error)
        self.assertIn("CA file (--ca-file, api.ca_file", error)
        _, error = self.assay(*submit, "--api", f"https://localhost:{port}", code=3)  # the system's authorities
        self.assertIn("certificate is not trusted", error)
        _, error = self.assay(*submit, "--api", f"https://localhost:{port}", "--ca-file", self.folder / "no.pem", code=2)
        self.assertIn("no.pem", error)
        _, error = self.assay(*submit, "--api", f"https://localhost:{port}", "--ca-file", self.folder / "rows.jsonl",
                              code=2)
        self.assertIn("holds no PEM certificate", error)
        env = {"ASSAY_API_URL": f"https://localhost:{port}", "ASSAY_API_KEY_FILE": str(self.folder / "me.key"),
               "ASSAY_API_CA_FILE": str(other)}
        worker = self.start(BIN / "assayd", env=env)
        wait_until(lambda: "certificate is not trusted" in worker.output(), "the worker says what is wrong")
        _, port = self.serve_named("DNS:elsewhere.example")
        _, error = self.assay(*submit, "--api", f"https://localhost:{port}", "--ca-file", self.folder / "ca.pem", code=3)
        self.assertIn("'localhost'", error)

    def serve_named(self, subject):
        certificate, key = self.certificate("named", "ca", subject=subject)
        server = self.start(BIN / "assay", "serve", "--listen", "127.0.0.1:0", "--store", self.folder / "named.db",
                            "--tls-cert", certificate, "--tls-key", key)
        found = wait_until(lambda: re.search(r"serving address=127\.0\.0\.1:(\d+)", server.output()), "it listens")
        return server, int(found.group(1))

    def test_it_says_which_file_is_wrong_and_how(self):
        self.authority("ca")
        certificate, key = self.certificate("server", "ca")
        _, other_key = self.certificate("second", "ca")
        encrypted = self.folder / "encrypted.key"
        self.openssl("ec", "-in", key, "-aes256", "-passout", "pass:secret", "-out", encrypted)
        text = self.write("text.pem", "no certificate\n")
        for arguments, expected in [
                (["--tls-cert", certificate], "TLS needs both files"),
                (["--tls-key", key], "TLS needs both files"),
                (["--tls-cert", self.folder / "no.pem", "--tls-key", key], "no.pem"),
                (["--tls-cert", certificate, "--tls-key", self.folder / "no.key"], "no.key"),
                (["--tls-cert", self.folder, "--tls-key", key], "is a directory"),
                (["--tls-cert", text, "--tls-key", key], "text.pem cannot be used"),
                (["--tls-cert", certificate, "--tls-key", text], "text.pem cannot be used"),
                (["--tls-cert", certificate, "--tls-key", other_key], "is not that of the certificate"),
                (["--tls-cert", certificate, "--tls-key", encrypted], "without a passphrase")]:
            with self.subTest(expected):
                _, error = self.assay("serve", "--listen", "127.0.0.1:0", "--store", self.folder / "assay.db", *arguments,
                                      code=2, stdin=subprocess.DEVNULL)
                self.assertIn(expected, error)
        expired = self.certificate("expired", "ca", days=-1)
        server, _ = self.serve_tls(*expired)
        self.assertIn("the TLS certificate has expired", server.output())

    def test_a_renewed_certificate_is_used_without_a_restart(self):
        self.authority("ca")
        certificate, key = self.certificate("server", "ca")
        server, port = self.serve_tls(certificate, key)
        old = self.connect(port)
        before = old.getpeercert(binary_form=True)
        self.assertEqual(self.ask(old), 200)
        new_certificate, new_key = self.certificate("renewed", "ca")
        new_certificate.rename(certificate)
        new_key.rename(key)
        server.signal(signal.SIGHUP)
        wait_until(lambda: "reloaded" in server.output(), "the certificate is read again")
        after = self.connect(port).getpeercert(binary_form=True)
        self.assertNotEqual(after, before)
        self.assertEqual(self.ask(old), 200)  # nobody was cut off
        key.write_text("broken")
        server.signal(signal.SIGHUP)
        wait_until(lambda: "was not read again" in server.output(), "the fault is told")
        still = self.connect(port)
        self.assertEqual(still.getpeercert(binary_form=True), after)
        self.assertEqual(self.ask(still, close=True), 200)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0)

    def test_the_protocol_is_http_1_1_over_tls_1_2_or_newer(self):
        self.authority("ca")
        _, port = self.serve_tls(*self.certificate("server", "ca"))
        both = self.connect(port, protocols=("h2", "http/1.1"))
        self.assertEqual(both.selected_alpn_protocol(), "http/1.1")
        self.assertIn(both.version(), ("TLSv1.2", "TLSv1.3"))
        self.assertEqual(self.ask(both), 200)
        with self.assertRaises(ssl.SSLError):
            self.connect(port, protocols=("h2",))
        old = self.context()
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            old.minimum_version = ssl.TLSVersion.TLSv1
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection(("127.0.0.1", port), timeout=60) as raw, self.assertRaises(OSError):
            old.wrap_socket(raw, server_hostname="localhost")

    def test_clients_that_do_not_finish_are_let_go(self):
        self.authority("ca")
        server, port = self.serve_tls(*self.certificate("server", "ca"))
        plain = socket.create_connection(("127.0.0.1", port), timeout=60)
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = self.read_all(plain)
        self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)
        self.assertTrue(answer.endswith(b"\r\n\r\nThis port speaks HTTPS: use https://\n"), answer)
        # Handshakes that stop: before they began, in the middle, and with something else.
        silent = socket.create_connection(("127.0.0.1", port), timeout=60)
        half = socket.create_connection(("127.0.0.1", port), timeout=60)
        half.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        noise = socket.create_connection(("127.0.0.1", port), timeout=60)
        noise.sendall(b"\x00\x01\x02\x03 what is this \xff\xfe\r\n\r\n")
        began = time.monotonic()
        # A request that stops: the transport is half closed, without a word of TLS.
        cut = self.connect(port)
        cut.sendall(b"GET /heal")
        socket.socket.shutdown(cut, socket.SHUT_WR)
        with contextlib.suppress(OSError):
            self.read_all(cut)
        self.assertLess(time.monotonic() - began, 8, "a half-closed connection is seen at once")
        for connection in (noise, half, silent):
            with contextlib.suppress(ConnectionResetError):
                self.read_all(connection)
            connection.close()
        self.assertLess(time.monotonic() - began, 30)
        plain.close()
        self.assertEqual(self.ask(self.connect(port)), 200)
        self.assertNotIn("bug", server.output())

    def read_all(self, connection):
        text = b""
        while piece := connection.recv(65536):
            text += piece
        return text


if __name__ == "__main__":
    main()
