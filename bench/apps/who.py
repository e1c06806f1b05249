"""Apps whose answers tell which process gave them, in the header X-Worker: what the tables of bench.balance ask."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

BODY = b"Hello, World!"
STUCK = 10  # seconds


def booted() -> None:
    """Leave a file named like this process, so that the harness knows which workers there are."""
    if folder := os.environ.get("BENCH_BOOTED"):
        (Path(folder) / str(os.getpid())).touch()


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [BODY]


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    if environ["PATH_INFO"] == "/stuck":
        ctypes.PyDLL(None).sleep(STUCK)  # PyDLL, unlike CDLL, keeps the interpreter's lock
    headers = [("Content-Type", "text/plain"), ("Content-Length", "13"), ("X-Worker", str(os.getpid()))]
    start_response("200 OK", headers)
    return [BODY]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"13"), (b"x-worker", b"%d" % os.getpid())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


booted()
