"""Clients that count exactly: which worker answered each request, how long it took, and what failed.

wrk knows only totals. Here each answer names its process in X-Worker. One event loop is all clients; the time is taken
where the bytes come in, before any task is woken.
"""

from __future__ import annotations

import asyncio
import gc
import re
import time
from collections import Counter
from collections.abc import Collection, Coroutine, Sequence
from typing import Any, NamedTuple

from bench.load import HOST

PATIENCE = 30.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_WORKER = re.compile(rb"\r\nx-worker: *(\d+)", re.IGNORECASE)
_LAST = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


class Answer(NamedTuple):
    """One request that was answered."""

    asked: float  # time.monotonic()
    took: float  # seconds
    worker: int  # its pid


class Tally:
    """What became of all requests."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.failures: list[str] = []

    def between(self, begin: float, end: float) -> list[Answer]:
        """Those asked in this time."""
        return [answer for answer in self.answers if begin <= answer.asked < end]


class Failed(Exception):
    """A request that got no answer, or not the right one."""


class Client:
    """Asks one request at a time, and keeps its connection as long as the server does."""

    def __init__(self, port: int, tally: Tally, *, keeps: bool = True) -> None:
        self._port = port
        self._tally = tally
        self._rest = b" HTTP/1.1\r\nHost: localhost\r\n" + (b"\r\n" if keeps else b"Connection: close\r\n\r\n")
        self._connection: _Connection | None = None

    async def ask(self, path: str = "/") -> Answer | None:
        """One request, noted in the tally; None: it failed. A new connection's time counts too."""
        asked = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                connection = await self._connected()
                head, received = await connection.ask(b"GET " + path.encode() + self._rest)
            worker = _checked(head)
        except (OSError, TimeoutError, Failed) as error:
            self._tally.failures.append(f"{type(error).__name__}: {error}")
            self.close()
            return None
        if _LAST.search(head):
            self.close()
        answer = Answer(asked, received - asked, worker)
        self._tally.answers.append(answer)
        return answer

    async def again(self, until: float) -> None:
        """A closed loop: the next request as soon as the last is answered."""
        while time.monotonic() < until:
            if await self.ask() is None:
                await asyncio.sleep(0.05)  # a server that refuses is not to be flooded
        self.close()

    def close(self) -> None:
        """The next request comes on a new connection."""
        if self._connection:
            self._connection.close()
        self._connection = None

    async def _connected(self) -> _Connection:
        """Between two requests the server may close: that is no failure."""
        if self._connection is None or self._connection.is_closed:
            loop = asyncio.get_running_loop()
            _, self._connection = await loop.create_connection(_Connection, HOST, self._port)
        return self._connection


def _checked(head: bytes) -> int:
    """Who answered."""
    if not head.startswith(b"HTTP/1.1 200 "):
        raise Failed(head.partition(b"\r\n")[0].decode("latin-1"))
    worker = _WORKER.search(head)
    return int(worker[1]) if worker else 0


class _Connection(asyncio.Protocol):
    """One connection, at most one request on it."""

    def __init__(self) -> None:
        self.is_closed = False
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[tuple[bytes, float]] | None = None

    def ask(self, request: bytes) -> asyncio.Future[tuple[bytes, float]]:
        """The answer's head, and when all of the answer was there."""
        assert self._transport
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def close(self) -> None:
        self.is_closed = True
        if self._transport:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or (length and len(body) < int(length[1])):
            return
        self._received = b""
        if not length:
            self._end(Failed("an answer without Content-Length"))
        elif self._answer and not self._answer.done():
            self._answer.set_result((head, time.monotonic()))

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        self._end(Failed("closed before the answer" if exc is None else str(exc)))

    def _end(self, error: Failed) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(error)


def run(clients: Coroutine[Any, Any, None]) -> None:
    """Run the clients, undisturbed by our own garbage collector."""
    gc.collect()
    gc.disable()
    try:
        asyncio.run(clients)
    finally:
        gc.enable()


def per_worker(answers: Sequence[Answer], workers: Collection[int]) -> list[int]:
    """How many each worker answered, the busiest first; a worker that answered none has a 0."""
    counted = Counter(answer.worker for answer in answers)
    return sorted((counted[worker] for worker in {*workers, *counted}), reverse=True)


def spread(counts: Sequence[int]) -> float:
    """The most to the least; infinite where one has nothing."""
    return max(counts) / min(counts) if counts and min(counts) else float("inf")


def percentile(times: Sequence[float], part: float) -> float:
    """The time that this part of them does not exceed; nothing measured is 0."""
    return sorted(times)[min(int(len(times) * part), len(times) - 1)] if times else 0.0
