"""A bad network between workers and the API's replicas: an HTTP proxy that loses, delays, repeats and spoils what passes.

What becomes of a request is decided by `decide(request)`, which names one of KINDS or None; `Plan` decides by a seed."""
import asyncio
import collections
import contextlib
import random
import threading

# drop      the request never arrives, and the connection ends, at once or after a while
# lose      the request is done, its answer never arrives
# delay     the request or its answer comes up to 3 s late
# double    the request is done twice at once, by two replicas if there are two
# replay    the request is done, and done again up to 8 s later
# status    502 or 503 instead of doing it
# garbage   200 with a page that is not the API's, instead of doing it
# truncate  done, and answered with a part of the answer that claims to be whole
# cut       done, and the connection ends within the answer
# trickle   done, and answered a byte at a time
KINDS = ("drop", "lose", "delay", "double", "replay", "status", "garbage", "truncate", "cut", "trickle")
PAGE = b"<html><h1>Welcome to the hotel's network</h1></html>"


class Plan:
    """Spoils a part of the requests, by a seed. Safe to change while the proxy runs."""

    def __init__(self, seed, rate):
        self.random = random.Random(seed)
        self.rate = rate

    def __call__(self, _request):
        return self.random.choice(KINDS) if self.random.random() < self.rate else None


class Message:
    """A request or an answer: its first line, its headers as they came, its body without chunks."""

    def __init__(self, start, headers, body):
        self.start, self.headers, self.body = start, headers, body

    @property
    def method(self):
        return self.start.split(" ")[0]

    @property
    def path(self):
        return self.start.split(" ")[1]

    @property
    def status(self):
        return int(self.start.split(" ")[1])

    def bytes(self, connection, body=None):
        body = self.body if body is None else body
        kept = [(k, v) for k, v in self.headers if k.lower() not in ("content-length", "transfer-encoding", "connection")]
        # 204 has no length.
        length = [] if self.start.startswith("HTTP/") and self.status == 204 else [("Content-Length", str(len(body)))]
        lines = [self.start, *(f"{k}: {v}" for k, v in [*kept, *length, ("Connection", connection)])]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def read_message(reader, is_answer=False):
    """None: the other side closed before the first byte."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise
    start, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines]
    known = {k.lower(): v for k, v in headers}
    if known.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
    elif "content-length" in known:
        body = await reader.readexactly(int(known["content-length"]))
    elif is_answer and int(start.split(" ")[1]) not in (204, 304):
        body = await reader.read()
    else:
        body = b""
    return Message(start, headers, body)


class Proxy:
    """Listens on `listen` and passes requests to `replicas`, by turns; an address is unix:/PATH or HOST:PORT.
    Runs in a thread of its own from the constructor to stop()."""

    def __init__(self, listen, replicas, decide=lambda request: None, seed=0):
        self.listen, self.replicas, self.decide = listen, list(replicas), decide
        self.random = random.Random(seed)
        self.counts = collections.Counter()
        self.requests = 0
        self.turn = 0
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self.thread.start()
        if not ready.wait(30):
            raise RuntimeError(f"the proxy does not listen on {listen}")

    def stop(self):
        self.loop.call_soon_threadsafe(self.stopped.set)
        self.thread.join(30)

    def _run(self, ready):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._serve(ready))

    async def _serve(self, ready):
        self.stopped = asyncio.Event()
        self.tasks = set()
        if self.listen.startswith("unix:"):
            server = await asyncio.start_unix_server(self._accept, self.listen[5:])
        else:
            host, port = self.listen.rsplit(":", 1)
            server = await asyncio.start_server(self._accept, host, int(port))
            self.listen = f"{host}:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await self.stopped.wait()
        server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def _spawn(self, coroutine):
        task = self.loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def _accept(self, reader, writer):
        self._spawn(self._connection(reader, writer))

    async def _connection(self, reader, writer):
        # A side that goes away is what this program is about.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while request := await read_message(reader):
                self.requests += 1
                kind = self.decide(request)
                if kind:
                    self.counts[kind] += 1
                if not await self._relay(kind, request, reader, writer):
                    break
        writer.close()

    async def _relay(self, kind, request, reader, writer):
        """False: the connection ends."""
        if kind == "drop":
            await asyncio.sleep(self.random.choice((0, self.random.uniform(0, 5))))
            return False
        if kind in ("status", "garbage"):
            status = {"garbage": "200 OK", "status": self.random.choice(("502 Bad Gateway", "503 Service Unavailable"))}[kind]
            headers = [("Content-Type", "text/html"), *([("Retry-After", "1")] if status.startswith("503") else [])]
            writer.write(Message(f"HTTP/1.1 {status}", headers, PAGE).bytes("keep-alive"))
            await writer.drain()
            return True
        late = self.random.random() < 0.5
        if kind == "delay" and not late:
            await asyncio.sleep(self.random.uniform(0, 3))
            if reader.at_eof():  # its sender has gone, and the network with it
                return False
        first = self._spawn(self._ask(request))
        if kind == "double":
            self._spawn(self._ask(request))
        answer = await self._unless_gone(first, reader)
        if kind == "replay":
            self._spawn(self._ask(request, after=self.random.uniform(0, 8)))
        if answer is None or kind == "lose":
            return False
        if kind == "delay" and late:
            await asyncio.sleep(self.random.uniform(0, 3))
        body = answer.body
        if kind == "truncate":
            body = body[:self.random.randrange(len(body))] if body else body
        whole = answer.bytes("keep-alive", body)
        if kind == "cut":
            writer.write(whole[:self.random.randrange(len(whole))])
            await writer.drain()
            return False
        if kind == "trickle":
            for i in range(min(len(whole), 400)):
                writer.write(whole[i:i + 1])
                await writer.drain()
                await asyncio.sleep(0.002)
            whole = whole[400:]
        writer.write(whole)
        await writer.drain()
        return True

    async def _unless_gone(self, answer, reader):
        """The answer, or None when its asker has gone, as who asks the API must go then too."""
        while not answer.done():
            await asyncio.wait({answer}, timeout=0.2)
            if reader.at_eof():
                answer.cancel()
                return None
        return answer.result()

    async def _ask(self, request, after=0.0):
        """The answer of a replica, or None when none can be reached or the one that was failed in the middle."""
        await asyncio.sleep(after)
        self.turn += 1
        for i in range(len(self.replicas)):
            address = self.replicas[(self.turn + i) % len(self.replicas)]
            try:
                connect = asyncio.open_unix_connection(address[5:]) if address.startswith("unix:") else \
                    asyncio.open_connection(*address.rsplit(":", 1))
                reader, writer = await asyncio.wait_for(connect, 5)
            except (OSError, asyncio.TimeoutError):
                continue
            try:
                writer.write(request.bytes("close"))
                await writer.drain()
                return await read_message(reader, is_answer=True)
            except (OSError, asyncio.IncompleteReadError):
                return None
            finally:
                writer.close()
        return None
