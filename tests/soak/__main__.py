"""Load of every kind for a while: `python -m tests.soak SECONDS`.

Right answers are compared byte by byte, and memory and descriptors must stay where they were once the server
was warm. Clients that behave badly (leaving, dripping, resetting) run beside the others all the time.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.integration.helpers import Connection, Serve, Server

CLIENTS = 12
REPORT_EVERY = 10.0  # seconds
WARM_AFTER = 0.25  # of the whole run
MOST_GROWTH = 1.10  # of memory, from then to the end
PAUSE_AT_END = 1.0  # for clients that were cut to be noticed

APP = """
    import time

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/echo":
            body = environ["wsgi.input"].read()
            start_response("200 OK", [("Content-Type", "application/octet-stream")])
            return [body]
        if path == "/big":
            start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3000000")])
            return [b"x" * 3_000_000]
        if path == "/stream":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return (b"%d\\n" % n for n in range(50))
        if path == "/file":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return environ["wsgi.file_wrapper"](open(__file__, "rb"))
        if path == "/wait":
            time.sleep(0.05)
        if path == "/fail":
            raise RuntimeError("meant")
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
        return [b"hello"]
"""


def get(path: str) -> bytes:
    """The bytes of a request."""
    return f"GET {path} HTTP/1.1\r\nHost: soak\r\n\r\n".encode()


def hello(connection: Connection) -> None:
    """The usual."""
    assert connection.request(get("/")).body == b"hello"


def pipeline(connection: Connection) -> None:
    """Several requests at once, answered in their order."""
    connection.send(get("/") * 5 + get("/stream"))
    assert [connection.response().body for _ in range(5)] == [b"hello"] * 5
    assert connection.response().body == b"".join(b"%d\n" % n for n in range(50))


def upload(connection: Connection) -> None:
    """Counted bodies, below and above what is kept in memory."""
    body = os.urandom(random.choice((1, 5_000, 400_000)))
    head = b"POST /echo HTTP/1.1\r\nHost: soak\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert connection.request(head + body).body == body


def chunks(connection: Connection) -> None:
    """A chunked body."""
    parts = [os.urandom(random.randrange(1, 9_000)) for _ in range(20)]
    framed = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    head = b"POST /echo HTTP/1.1\r\nHost: soak\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert connection.request(head + framed + b"0\r\n\r\n").body == b"".join(parts)


def file(connection: Connection) -> None:
    """A file, sent by the kernel."""
    assert b"application" in connection.request(get("/file")).body


def big(connection: Connection) -> None:
    """More than the server buffers for a client, read with a pause."""
    connection.send(get("/big"))
    time.sleep(random.random() / 10)
    assert len(connection.response().body) == 3_000_000


def wait(connection: Connection) -> None:
    """A request that holds its thread."""
    assert connection.request(get("/wait")).body == b"hello"


def fail(connection: Connection) -> None:
    """An error of the app; the server goes on."""
    assert connection.request(get("/fail")).status == 500


def leave(connection: Connection) -> None:
    """Goes in the middle of an answer."""
    connection.send(get("/big"))
    time.sleep(random.random() / 50)
    connection.reset()


def half(connection: Connection) -> None:
    """Goes in the middle of a request."""
    connection.send(b"POST /echo HTTP/1.1\r\nHost: soak\r\nContent-Length: 500000\r\n\r\n" + b"x" * 300_000)
    connection.close()


def drip(connection: Connection) -> None:
    """A head that comes in pieces."""
    for piece in (b"GET / HT", b"TP/1.1\r\nHo", b"st: soak\r", b"\n\r\n"):
        connection.send(piece)
        time.sleep(0.02)
    assert connection.response().body == b"hello"


def nonsense(connection: Connection) -> None:
    """What is refused."""
    assert connection.request(b"GET / HTTP/1.1\r\nHost: soak\r\nContent-Length: 1, 2\r\n\r\n").status == 400


KINDS: list[Callable[[Connection], None]] = [
    *(hello, hello, hello, hello, pipeline, upload, chunks, file, big, wait, drip, fail, leave, half, nonsense)
]
ENDING = {fail, leave, half, nonsense}  # the connection is of no use after these


class Run:
    """The load and what came of it."""

    def __init__(self, server: Server, seconds: float) -> None:
        self.server = server
        self.began = time.monotonic()
        self.end = self.began + seconds
        self.done: Counter[str] = Counter()
        self.failures: list[str] = []

    def client(self) -> None:
        """One client: takes up one kind of behaviour after the other."""
        connection = self.server.connect()
        while time.monotonic() < self.end and not self.failures:
            kind = random.choice(KINDS)
            try:
                kind(connection)
            except Exception as error:  # any at all is the finding
                self.failures.append(f"{kind.__name__}: {error!r}")
            self.done[kind.__name__] += 1
            if kind in ENDING:
                connection.close()
                connection = self.server.connect()
        connection.close()

    def measure(self) -> tuple[int, int]:
        """Memory (PSS, KB) and open descriptors of the whole tree."""
        pids = [self.server.pid, *self.server.children()]
        memory = sum(
            int(line.split()[1])
            for pid in pids
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            if line.startswith("Pss:")
        )
        return memory, sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)

    def watch(self) -> int:
        """Report while the clients run; returns what memory was when the server was warm."""
        warm = 0
        while (now := time.monotonic()) < self.end and not self.failures:
            memory, files = self.measure()
            if not warm and now - self.began > (self.end - self.began) * WARM_AFTER:
                warm = memory
            print(f"{now - self.began:6.0f} s  {self.done.total():8} requests  {memory:8} KB  {files:4} files")
            time.sleep(min(REPORT_EVERY, max(0.0, self.end - now)))
        return warm

    def verdict(self, warm: int, idle_files: int) -> list[str]:
        """What is wrong at the end."""
        found = list(self.failures)
        time.sleep(PAUSE_AT_END)
        memory, files = self.measure()
        if warm and memory > warm * MOST_GROWTH:
            found.append(f"memory grew from {warm} to {memory} KB")
        if files > idle_files:
            found.append(f"open files grew from {idle_files} to {files}")
        return found


def main(seconds: float) -> int:
    """Run, report, and return the exit code."""
    with tempfile.TemporaryDirectory() as directory:
        serve = Serve(Path(directory))
        server = serve(serve.source(APP), "--workers", "2", "--access-log", str(Path(directory) / "access.log"))
        server.wait_children(2)
        try:
            with server.connect() as connection:
                hello(connection)
            time.sleep(PAUSE_AT_END)
            run = Run(server, seconds)
            _, idle_files = run.measure()
            clients = [threading.Thread(target=run.client) for _ in range(CLIENTS)]
            for client in clients:
                client.start()
            warm = run.watch()
            for client in clients:
                client.join()
            found = run.verdict(warm, idle_files)
        finally:
            server.end()
    print(dict(run.done))
    print("\n".join(found) or f"{run.done.total()} requests, every answer right, nothing grew")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60))
