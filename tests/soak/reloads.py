"""Reloads under load: `python -m tests.soak.reloads [RELOADS] [--max-requests N]`.

Two workers run a Django application whose import takes a second. 64 clients keep their connections and ask about 20
times a second each, and a new connection comes each 5 ms. No request may fail, whichever of both it is. Printed are the
99th percentiles of the response times while nothing happens and while workers are replaced.

A connection that closes between two requests is no failure, if the last answer had said so; anything else is.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path

from tests.integration.helpers import Serve, Server

KEPT = 64
PAUSE = 0.05  # between two requests of a kept connection
EACH = 0.005  # from one new connection to the next
STEADY = 10.0  # seconds of load before the first reload
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
PAGE = """
    import time

    import django
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse
    from django.urls import path

    COMMON = "django.middleware.common.CommonMiddleware"
    time.sleep(1)
    settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="soak", MIDDLEWARE=[COMMON])
    django.setup()
    urlpatterns = [path("", lambda request: HttpResponse("version VERSION"))]
    application = get_wsgi_application()
"""


class Load:
    """All clients, in one event loop."""

    def __init__(self, port: int) -> None:
        self.host, self.port = "127.0.0.1", port
        self.times: list[tuple[float, float]] = []  # when it was asked, how long it took
        self.failures: list[str] = []
        self.is_over = False

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bool:
        """One request; True: the connection stays."""
        started = time.monotonic()
        writer.write(request)
        async with asyncio.timeout(20):
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                raise ValueError(head.partition(b"\r\n")[0].decode())
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
        self.times.append((started, time.monotonic() - started))
        return b"\r\nconnection: close\r\n" not in head.lower()

    async def visit(self, request: bytes, pause: float) -> None:
        """One connection, until one side wants to close it."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            while await self.ask(reader, writer, request) and not self.is_over:
                await asyncio.sleep(pause)
        finally:
            writer.close()

    async def kept(self) -> None:
        while not self.is_over:
            await self.watched(self.visit(REQUEST, PAUSE))

    async def watched(self, visit: Awaitable[None]) -> None:
        """Whatever goes wrong is a failure."""
        try:
            await visit
        except Exception as error:
            self.failures.append(repr(error))

    def start(self) -> list[asyncio.Task[None]]:
        """Begin; ends when `is_over`."""
        visits = [self.newcomers(), *(self.kept() for _ in range(KEPT))]
        return [asyncio.create_task(visit) for visit in visits]

    def percentiles(self, began: float) -> tuple[float, float]:
        """The 99th of the response times before that moment, and from it on, in seconds."""
        steady = [took for asked, took in self.times if asked + took < began]
        return percentile(steady), percentile([took for asked, took in self.times if asked >= began])

    async def newcomers(self) -> None:
        visits: set[asyncio.Task[None]] = set()
        while not self.is_over:
            task = asyncio.create_task(self.watched(self.visit(LAST, 0.0)))
            visits.add(task)
            task.add_done_callback(visits.discard)
            await asyncio.sleep(EACH)
        await asyncio.gather(*visits)


def percentile(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)] if times else 0.0


async def run(serve: Serve, server: Server, reloads: int, seconds: float) -> int:
    load = Load(server.port)
    clients = load.start()
    await asyncio.sleep(STEADY)
    began = time.monotonic()
    for number in range(1, reloads + 1):
        serve.source(PAGE.replace("VERSION", str(number)))
        command = [sys.executable, "-m", "hostler", "reload", "--pid", str(server.pid)]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
        if await process.wait() != 0:
            load.failures.append(f"reload {number} failed")
        if number % 10 == 0:
            print(f"{number} reloads, {len(load.times)} answered, {len(load.failures)} failed", flush=True)
    await asyncio.sleep(seconds)
    load.is_over = True
    await asyncio.gather(*clients)
    steady, during = load.percentiles(began)
    for failure in load.failures[:10]:
        print(f"  {failure}")
    if not steady:
        print("nothing was answered before the first reload")
        return 1
    replaced = server.log.count("worker ready ")
    print(f"{len(load.times)} answered, {len(load.failures)} failed, {replaced} workers replaced")
    print(f"p99 {steady * 1000:.1f} ms before, {during * 1000:.1f} ms meanwhile ({during / steady:.2f}x)")
    return 1 if load.failures else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reloads", type=int, nargs="?", default=100)
    parser.add_argument("--max-requests", type=int, default=0, help="let the workers replace themselves")
    parser.add_argument("--seconds", type=float, default=1.0, help="of load after the last reload")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        serve = Serve(Path(directory))
        server = serve(serve.source(PAGE), "--workers", "2", "--max-requests", str(options.max_requests))
        try:
            return asyncio.run(run(serve, server, options.reloads, options.seconds))
        finally:
            server.end()


if __name__ == "__main__":
    sys.exit(main())
