"""Makes docs/top.svg anew: `hostler top` over a real server of four workers under load. Needs hostler[top].

    .venv/bin/python scripts/screenshot_top.py [FILE]

Server and clients are its own, on a port that the kernel chooses, and end with it.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hostler.cli.asking import Wanted
from hostler.cli.top.app import Top
from hostler.cli.top.server import Server
from hostler.errors import HostlerError

APP = """
import random
import time

WAITS = {"/report": (4, 12), "/export": (2, 6), "/search": (0.02, 0.2), "/orders": (0.002, 0.02), "/": (0, 0)}

def application(environ, start_response):
    place = "/" + environ["PATH_INFO"].split("/")[1]
    low, high = WAITS.get(place, (0, 0))
    if high:
        time.sleep(random.uniform(low, high))
    sum(range(random.randrange(4000)))
    status = "404 Not Found" if place not in WAITS else "200 OK"
    if place == "/orders" and random.random() < 0.001:
        status = "500 Internal Server Error"
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
"""
SIZE = (140, 30)
SECONDS = 25  # of load before the picture: the memory of all is known, and the history is long enough
QUICK, SLOW = 24, 5  # clients
PAUSE = 0.008  # between a quick client's requests: they are not to fight with the server for the processors


def main() -> None:
    """Start a server, load it, take the picture."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent / "docs" / "top.svg")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "shop.py").write_text(APP)
        control = f"{folder}/control.sock"
        with running(folder, control), loaded(Server(Wanted(control, None))):
            target.write_text(asyncio.run(picture(control)))
    print(f"{target}: {target.stat().st_size // 1024} KB")


async def picture(control: str) -> str:
    """What the view looks like after a while."""
    view = Top(Server(Wanted(control, None)), 1.0)
    async with view.run_test(size=SIZE) as pilot:
        await asyncio.sleep(SECONDS)
        await pilot.press("down")
        drawing = view.export_screenshot(title="hostler top")
        return re.sub(r"\s*@font-face \{.*?\}", "", drawing, flags=re.DOTALL)  # the reader's own font


@contextmanager
def running(folder: str, control: str) -> Iterator[None]:
    """The server."""
    command = ["serve", "shop:application", "--bind", "127.0.0.1:0", "--workers", "4", "--threads", "8"]
    with subprocess.Popen(
        [sys.executable, "-m", "hostler", *command, "--control", control, "--log-level", "error"],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as server:
        try:
            yield
        finally:
            server.terminate()


@contextmanager
def loaded(server: Server) -> Iterator[None]:
    """Clients that ask until the end."""
    address = listening(server)
    is_over = threading.Event()
    quick = [threading.Thread(target=ask, args=(address, is_over, quick_path, PAUSE)) for _ in range(QUICK)]
    slow = [threading.Thread(target=ask, args=(address, is_over, slow_path, 0.0)) for _ in range(SLOW)]
    for thread in quick + slow:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in quick + slow:
            thread.join()


def listening(server: Server) -> str:
    """Where it listens, as soon as it does."""
    deadline = time.monotonic() + 20
    while True:
        try:
            answer = server.look()
            if answer["state"] == "serving":
                return str(answer["listening"][0]).removeprefix("http://")
        except HostlerError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def quick_path() -> str:
    """What most people want."""
    if random.random() < 0.002:
        return "/favicon.ico"
    return random.choice(
        ["/", "/", f"/orders/{random.randrange(9999)}", "/orders/new", "/orders/new", "/search?q=saddle"]
    )


def slow_path() -> str:
    """What takes long."""
    return random.choice([f"/report/2026-{random.randrange(1, 13):02}", "/export/customers.csv?all=1"])


def ask(address: str, is_over: threading.Event, path: Callable[[], str], pause: float) -> None:
    """One client; it takes a new connection now and then, as people come and go."""
    while not is_over.is_set():
        connection = http.client.HTTPConnection(address, timeout=30)
        for _ in range(random.randrange(10, 60)):
            connection.request("GET", path())
            connection.getresponse().read()
            if is_over.wait(random.uniform(0, 2 * pause)):
                break
        connection.close()


if __name__ == "__main__":
    main()
