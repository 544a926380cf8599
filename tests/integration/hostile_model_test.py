"""Endpoints of models that do everything wrong: each call ends by its deadline, as an error, and the worker goes on."""
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

from harness import Case, main

FILE = """
name = "hostile"
[sample]
type = "generate"
models = ["{slug}"]
[ground_truth]
type = "dataset"
file = "rows.jsonl"
columns = {{ input = "q", output = "a" }}
[[evaluator]]
name = "exact"
type = "code"
language = "plugin"
code = "text/exact"
"""
MODELS = """
[providers.bad]
api = "chat.completions"
base_url = "{base}"
{ca}
timeout = "2s"
give_up = "4s"
[models."bad/model"]
model = "m"
"""
ERROR = b'{"error":{"message":"no such thing","type":"server_error"}}'


def frame(kind, flags, stream, payload=b""):
    """Of HTTP/2."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def swallow(connection):
    connection.recv(65536)


def silent(connection):
    swallow(connection)
    time.sleep(60)


def dripping(connection):
    swallow(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.1)


def endless_headers(connection):
    swallow(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-More: " + b"y" * 1000 + b"\r\n")


def half_closed(connection):
    swallow(connection)
    connection.unwrap() if isinstance(connection, ssl.SSLSocket) else connection.shutdown(socket.SHUT_WR)
    time.sleep(60)


def error_with_200(connection):
    swallow(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(ERROR), ERROR))
    time.sleep(60)


def frames_of_nothing(connection):
    connection.sendall(frame(4, 0, 0))
    swallow(connection)
    connection.sendall(frame(1, 4, 1, b"\x88"))
    nothing = frame(0, 0, 1) * 500
    while True:
        connection.sendall(nothing)


class Endpoint:
    def __init__(self, manner, context=None):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.manner, self.context, self.calls = manner, context, 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
            self.calls += 1
            self.manner(connection)
        except OSError:
            pass
        finally:
            connection.close()


class HostileModel(Case):
    def setUp(self):
        super().setUp()
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # endpoints write to connections that are ended

    def certificate(self, *protocols):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                        "-keyout", str(self.folder / "key.pem"), "-out", str(self.folder / "cert.pem")],
                       check=True, capture_output=True, timeout=60)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "cert.pem", self.folder / "key.pem")
        context.set_alpn_protocols(list(protocols))
        return context

    def kinds(self, manner, context=None):
        """What became of two items whose texts are asked of such an endpoint."""
        endpoint = Endpoint(manner, context)
        self.addCleanup(endpoint.listener.close)
        ca = f'ca_file = "{self.folder}/cert.pem"' if context else ""
        models = self.write("models.toml", MODELS.format(
            base=f"{'https' if context else 'http'}://127.0.0.1:{endpoint.port}/v1", ca=ca))
        self.write("rows.jsonl", '{"q":"1?","a":"1"}\n{"q":"2?","a":"2"}\n')
        path = self.write("hostile.toml", FILE.format(slug="bad/model"))
        began = time.monotonic()
        out, _ = self.assay("run", path, "--models", models, "--json", "--ephemeral",
                            env={**os.environ, "XDG_CACHE_HOME": str(self.folder / "cache"), "HOME": str(self.folder)})
        self.assertGreater(endpoint.calls, 0)
        # 4 s are given; a stuck call would take for ever.
        self.assertLess(time.monotonic() - began, 60)
        run = json.loads(out)["run"]
        self.assertEqual(run["status"], "completed")
        cells = {cell["evaluator"]["name"]: cell for cell in run["metrics"]}
        self.assertEqual((cells["exact"]["scored"], cells["exact"]["errors"]), (0, 2))
        self.assertEqual(cells["exact"]["errors_by_kind"], cells["generation"]["errors_by_kind"])
        return set(cells["exact"]["errors_by_kind"])

    def test_sockets_that_say_nothing_or_too_much(self):
        for manner in (silent, dripping, endless_headers, half_closed, error_with_200):
            with self.subTest(manner.__name__):
                self.assertLessEqual(self.kinds(manner), {"transport", "timeout"})

    def test_tls_that_is_closed_by_half(self):
        self.assertLessEqual(self.kinds(half_closed, self.certificate("http/1.1")), {"transport", "timeout"})

    def test_http2_whose_frames_carry_nothing_without_end(self):
        self.assertLessEqual(self.kinds(frames_of_nothing, self.certificate("h2")), {"transport", "timeout"})


if __name__ == "__main__":
    main()
