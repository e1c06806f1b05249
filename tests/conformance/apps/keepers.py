"""Apps that keep what belongs to a request, and use it from other threads or afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

Environ = dict[str, Any]
Start = Callable[..., Any]

PLAIN = [("Content-Type", "text/plain")]
kept: list[Any] = []
said: list[str] = []


def attempt(act: Callable[[], Any]) -> None:
    """Do it, and remember what came of it."""
    try:
        said.append(repr(act()))
    except Exception as error:
        said.append(repr(error))


def reads_beside(environ: Environ, start: Start) -> list[bytes]:
    """A thread of its own reads the body; the answer does not wait for it."""
    reader = threading.Thread(target=attempt, args=(environ["wsgi.input"].read,), daemon=True)
    reader.start()
    reader.join(0.1)
    start("200 OK", PLAIN)
    return [b"not waited"]


def keeps_input(environ: Environ, start: Start) -> list[bytes]:
    kept.append(environ["wsgi.input"])
    start("200 OK", PLAIN)
    return [b"kept"]


def reads_kept(environ: Environ, start: Start) -> list[bytes]:
    start("200 OK", PLAIN)
    return [b" ".join(stream.read() for stream in kept)]


def keeps_start(environ: Environ, start: Start) -> list[bytes]:
    kept[:] = [start, start("200 OK", PLAIN)]
    return [b"kept"]


def uses_start(environ: Environ, start: Start) -> list[bytes]:
    """What an earlier request was given must not reach this one's client."""
    attempt(lambda: kept[0]("500 Wrong", [("X-Wrong", "1")]))
    attempt(lambda: kept[1](b"wrong"))
    start("200 OK", PLAIN)
    return [b"right"]


def writes_beside(environ: Environ, start: Start) -> list[bytes]:
    """A thread of its own pushes parts of the body, as the one of the request goes on."""
    write = start("200 OK", PLAIN)
    threads = [threading.Thread(target=write, args=(b"%d " % number,)) for number in range(10)]
    for thread in threads:
        thread.start()
        thread.join()
    return [b"end"]


def tells(environ: Environ, start: Start) -> list[bytes]:
    start("200 OK", PLAIN)
    told = "\n".join(said)
    return [told.encode()]


def application(environ: Environ, start: Start) -> list[bytes]:
    answer: list[bytes] = globals()[environ["PATH_INFO"][1:]](environ, start)
    return answer
