"""A random worker is killed (-9) each second, under load: `python -m tests.soak.kills [SECONDS]`.

The application tells its process, so each connection knows whose it is. A failure is the killed worker's own when the
connection was its; a connection that was just made may have been any worker's, so its failure must come right after a
kill. Every other failure is one too many. How long the fleet takes to its full strength is measured for each kill.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.integration.helpers import Serve, Server, processes

CLIENTS = 32
WORKERS = 4
IMPORT = 0.3  # seconds
AT_ONCE = 0.5  # from a kill to the failure of a connection that had not been answered yet
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
APP = f"""
    import os
    import time

    time.sleep({IMPORT})

    def application(environ, start_response):
        time.sleep(0.005)
        body = str(os.getpid()).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
"""


class Run:
    """The load, the kills and what came of them."""

    def __init__(self, server: Server) -> None:
        [address] = server.addresses
        assert isinstance(address, tuple)
        self.server = server
        self.host, self.port = address
        self.answered = 0
        self.own = 0  # failures that belong to a killed worker
        self.foreign: list[str] = []  # those that do not
        self.killed: dict[int, float] = {}
        self.recoveries: list[float] = []
        self.is_over = False

    async def client(self) -> None:
        while not self.is_over:
            pid = 0
            try:
                reader, writer = await asyncio.open_connection(self.host, self.port)
                try:
                    while not self.is_over:
                        writer.write(REQUEST)
                        async with asyncio.timeout(10):
                            head = await reader.readuntil(b"\r\n\r\n")
                            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                            pid = int(await reader.readexactly(length))
                        self.answered += 1
                        if b"\r\nconnection: close\r\n" in head.lower():
                            break
                        await asyncio.sleep(random.random() / 50)
                finally:
                    writer.close()
            except Exception as error:  # whatever it is
                self.judge(pid, error)

    def judge(self, pid: int, error: Exception) -> None:
        now = time.monotonic()
        if pid in self.killed or (not pid and any(now - at < AT_ONCE for at in self.killed.values())):
            self.own += 1
        else:
            self.foreign.append(f"{error!r} of {pid or 'nobody yet'}")

    async def kill(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            before = time.monotonic()
            victim = random.choice(processes.children(self.server.pid))
            self.killed[victim] = before
            os.kill(victim, signal.SIGKILL)
            self.recoveries.append(await self.recovery(victim, before))
            await asyncio.sleep(max(0.0, before + 1 - time.monotonic()))

    async def recovery(self, victim: int, since: float) -> float:
        """Seconds until as many workers as before have been ready."""
        ready = self.server.log.count("worker ready ")
        while time.monotonic() < since + 20:
            await asyncio.sleep(0.02)
            if self.server.log.count("worker ready ") > ready and len(processes.children(self.server.pid)) == WORKERS:
                break
        return time.monotonic() - since


async def run(server: Server, seconds: float) -> int:
    found = Run(server)
    clients = [asyncio.create_task(found.client()) for _ in range(CLIENTS)]
    await asyncio.sleep(1)
    await found.kill(seconds)
    found.is_over = True
    await asyncio.gather(*clients)
    slow = sorted(found.recoveries)
    print(f"{len(found.killed)} kills, {found.answered} answered, {found.own} failed with their worker")
    print(f"full strength after {slow[len(slow) // 2]:.2f} s (median), {slow[-1]:.2f} s (longest); import {IMPORT} s")
    print("\n".join(found.foreign[:10]) or "no other request failed")
    return 1 if found.foreign or slow[-1] > IMPORT + 1 else 0


def main(seconds: float) -> int:
    """Run, report, and return the exit code."""
    with tempfile.TemporaryDirectory() as directory:
        serve = Serve(Path(directory))
        server = serve(serve.source(APP), "--workers", str(WORKERS))
        server.wait_children(WORKERS)
        try:
            return asyncio.run(run(server, seconds))
        finally:
            server.end()


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 300))
