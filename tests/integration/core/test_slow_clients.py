"""A thousand clients at one byte a second: others see no difference, and each of them ends by its timeout."""

from __future__ import annotations

import errno
import gc
import os
import resource
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.helpers import Serve, Server

APP = """
    LARGE = b"x" * 8_000_000

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        body = b"hello" if path == "/" else LARGE
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return environ["wsgi.file_wrapper"](open("large", "rb")) if path == "/file" else [body]
"""
HELLO = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
TIMEOUT = 3.0
CLIENTS = 1000
ENOUGH_FILES = 4096
# A dripping client has its turn once a second, so it learns of its end up to a second late, on a busy machine more. The
# kernel still takes bytes for one that sips, in steps: each step above `min_rate` is progress, and gives it another
# `write_timeout`.
MOST_DRIPPING = TIMEOUT + 5
MOST_SIPPING = 4 * TIMEOUT
PACE = 0.005  # between two requests of the client that is measured


class Habit(NamedTuple):
    """What a slow client sends at once, and whether it then drips or sips."""

    name: str
    begin: bytes
    is_reader: bool


HABITS = [
    Habit("drips its head", b"GET / HTTP/1.1\r\nHost: x\r\nX-Drip: ", is_reader=False),
    Habit("drips its body", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n", is_reader=False),
    Habit(
        "drips its chunks", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n", is_reader=False
    ),
    Habit("sips the answer", b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n", is_reader=True),
    Habit("sips a file", b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n", is_reader=True),
]


class SlowClient:
    """One connection, one byte a second."""

    def __init__(self, port: int, habit: Habit) -> None:
        self.habit = habit
        self.sock = socket.socket()
        # Before connecting: it decides the window that the server is told of.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.connect(("127.0.0.1", port))
        self.sock.send(habit.begin)
        self.sock.setblocking(False)
        self.began = time.monotonic()
        self.lasted = 0.0
        self.end = ""

    def step(self) -> None:
        """Send or read one byte, and see whether the server has had enough."""
        try:
            if self.habit.is_reader:
                self.sip()
            else:
                self.sock.send(b"x")
                self.finish(self.sock.recv(1000)[9:12].decode())
        except BlockingIOError:
            pass

    def sip(self) -> None:
        # What the kernel has for us could be read after a reset as well, for an hour at this pace.
        if self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET:
            self.finish("reset")
        else:
            self.sock.recv(1)

    def finish(self, end: str) -> None:
        self.end = end
        self.lasted = time.monotonic() - self.began
        self.sock.close()


class Swarm(threading.Thread):
    """All slow clients: each has its turn once a second, evenly spread, so that the swarm itself makes no waves."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.clients = [SlowClient(port, HABITS[number % len(HABITS)]) for number in range(CLIENTS)]
        self.cut = threading.Event()

    def run(self) -> None:
        turn = 0
        began = time.monotonic()
        while not self.cut.is_set() and self.is_busy():
            self.cut.wait(began + turn / CLIENTS - time.monotonic())
            client = self.clients[turn % CLIENTS]
            if not client.end:
                client.step()
            turn += 1

    def is_busy(self) -> bool:
        return any(not client.end for client in self.clients)

    def close(self) -> None:
        self.cut.set()
        self.join()
        for client in self.clients:
            client.sock.close()


@pytest.fixture
def _many_files() -> Iterator[None]:
    """Room for the swarm's sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(ENOUGH_FILES, hard)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def answer_times(server: Server, count: int) -> list[float]:
    """How long a usual client waits for each answer; half of them on connections of their own."""
    times = []
    with server.connect() as kept:
        for number in range(count):
            began = time.perf_counter()
            if number % 2:
                assert kept.request(HELLO).body == b"hello"
            else:
                with server.connect() as fresh:
                    assert fresh.request(HELLO).body == b"hello"
            times.append(time.perf_counter() - began)
            time.sleep(PACE)
    return times


def percentile_99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.usefixtures("_many_files")
def test_a_thousand_slow_clients(serve: Serve, tmp_path: Path) -> None:
    (serve.directory / "large").write_bytes(b"x" * 8_000_000)
    waits = [word for name in ("header", "body", "write") for word in (f"--{name}-timeout", str(TIMEOUT))]
    access = tmp_path / "access.log"
    form = ("--access-log", str(access), "--access-log-format", "%(s)s")
    server = serve(serve.source(APP), *waits, "--min-rate", "100", *form)
    [worker] = server.children()
    alone = answer_times(server, 200)
    files = len(os.listdir(f"/proc/{worker}/fd"))
    swarm = Swarm(server.port)
    swarm.start()
    gc.freeze()  # the collector would walk through everything that other tests have left, in the middle of an answer
    try:
        # Four hundred answers of 8 MB go into the kernel's buffers first; that is work, not slowness.
        server.wait_for(lambda: max(answer_times(server, 4)) < 0.05, "the burst of requests to be through")
        beside = answer_times(server, 200)
        assert swarm.is_busy(), "the measurement lay within the swarm's life"
        server.wait_for(lambda: not swarm.is_busy(), "the end of each slow client")
    finally:
        gc.unfreeze()
        swarm.close()
    assert statistics.median(beside) < 3 * statistics.median(alone) + 0.002
    assert percentile_99(beside) < 3 * percentile_99(alone) + 0.030
    for habit in HABITS:
        lasted = [client.lasted for client in swarm.clients if client.habit is habit]
        assert min(lasted) > TIMEOUT - 0.1, habit
        assert max(lasted) < (MOST_SIPPING if habit.is_reader else MOST_DRIPPING), habit
    ends = Counter((client.habit.is_reader, client.end) for client in swarm.clients)
    assert ends == {(False, "408"): 600, (True, "reset"): 400}
    server.wait_for(lambda: len(os.listdir(f"/proc/{worker}/fd")) <= files, "their descriptors' end")

    def is_logged() -> bool:
        lines = Counter(access.read_text().split())
        return lines.pop("200") >= 400 and lines == {"408": 600, "499": 400}

    server.wait_for(is_logged, "their lines")
