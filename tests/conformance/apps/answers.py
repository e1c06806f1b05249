"""Answers of every shape PEP 3333 allows, and of many that it forbids; the path chooses."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Environ = dict[str, Any]
Start = Callable[..., Callable[[bytes], None]]

PLAIN = [("Content-Type", "text/plain")]
closed: list[str] = []  # the paths whose iterable was closed, in order


class Body:
    """An iterable that remembers its close()."""

    def __init__(self, path: str, parts: Iterable[bytes], fail_after: int | None = None) -> None:
        self._path = path
        self._parts = iter(parts)
        self._left = fail_after

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._left is not None:
            if self._left == 0:
                raise RuntimeError("the body broke")
            self._left -= 1
        return next(self._parts)

    def close(self) -> None:
        closed.append(self._path)


def tell_closed(environ: Environ, start: Start) -> list[bytes]:
    start("200 OK", PLAIN)
    return [" ".join(path for path in closed if path == environ["QUERY_STRING"]).encode()]


def written(environ: Environ, start: Start) -> list[bytes]:
    write = start("200 OK", PLAIN)
    write(b"one ")
    write(b"two ")
    return [b"three"]


def late(environ: Environ, start: Start) -> Iterator[bytes]:
    yield b""
    start("200 OK", PLAIN)
    yield b"late"


def twice(environ: Environ, start: Start) -> list[bytes]:
    start("200 OK", PLAIN)
    start("200 OK", PLAIN)
    return [b"never"]


def never(environ: Environ, start: Start) -> list[bytes]:
    return [b"never"]


def never_empty(environ: Environ, start: Start) -> list[bytes]:
    return []


def replaced(environ: Environ, start: Start) -> list[bytes]:
    start("200 OK", [("X-First", "1")])
    try:
        raise ValueError("found out late")
    except ValueError:
        start("503 Sorry", [("X-Second", "2")], sys.exc_info())
    return [b"sorry"]


def replaced_by_name(environ: Environ, start: Start) -> list[bytes]:
    """PEP 3333 wants positional arguments; wsgiref and gunicorn take these names too."""
    start("200 OK", headers=PLAIN)
    try:
        raise ValueError("found out late")
    except ValueError:
        start(status="503 Sorry", headers=PLAIN, exc_info=sys.exc_info())
    return [b"sorry"]


def too_late(environ: Environ, start: Start) -> Iterator[bytes]:
    start("200 OK", PLAIN)
    yield b"first"
    try:
        raise ValueError("too late to replace")
    except ValueError:
        start("503 Sorry", PLAIN, sys.exc_info())
    yield b"never"


def raises(environ: Environ, start: Start) -> list[bytes]:
    raise LookupError("raised on purpose")


def raises_after_start(environ: Environ, start: Start) -> list[bytes]:
    start("200 OK", PLAIN)
    raise LookupError("raised on purpose")


def exits(environ: Environ, start: Start) -> list[bytes]:
    sys.exit(7)


def closing(environ: Environ, start: Start) -> Body:
    start("200 OK", PLAIN)
    return Body("/closing", [b"a", b"b"])


def closing_empty(environ: Environ, start: Start) -> Body:
    start("200 OK", PLAIN)
    return Body("/closing-empty", [])


def closing_broken(environ: Environ, start: Start) -> Body:
    start("200 OK", PLAIN)
    return Body("/closing-broken", [b"a", b"b", b"c"], fail_after=2)


def closing_counted(environ: Environ, start: Start) -> Body:
    start("200 OK", [*PLAIN, ("Content-Length", "10")])
    return Body("/closing-counted", [b"a", b"b"], fail_after=2)


def closing_endless(environ: Environ, start: Start) -> Body:
    start("200 OK", PLAIN)
    return Body("/closing-endless", iter(lambda: b"x" * 65536, b""))


noted: list[str] = []  # what some apps have seen: the path, and what happened


def endless(part: bytes, path: str) -> Iterator[bytes]:
    while True:
        noted.append(f"{path}=asked")
        yield part


def past_length(environ: Environ, start: Start) -> Body:
    """Has no end; ?length,part."""
    length, part = environ["QUERY_STRING"].split(",")
    start("200 OK", [*PLAIN, ("Content-Length", length)])
    return Body("/past-length", endless(part.encode(), "/past-length"))


def past_status(environ: Environ, start: Start) -> Body:
    """Has no end; ?status."""
    start(environ["QUERY_STRING"].replace("+", " "), PLAIN)
    return Body("/past-status", endless(b"part", "/past-status"))


def written_whole(environ: Environ, start: Start) -> Body:
    """What write() has completed is not asked of the iterable, which has no end."""
    start("200 OK", [*PLAIN, ("Content-Length", "4")])(b"abcd")
    return Body("/written-whole", endless(b"x", "/written-whole"))


def writes_for_ever(environ: Environ, start: Start) -> list[bytes]:
    """?length of the answer, or none; write() is called until it raises."""
    length = environ["QUERY_STRING"]
    write = start("200 OK", [*PLAIN, *([("Content-Length", length)] if length else [])])
    part = b"ab" if length else b"x" * 65536
    try:
        while True:
            write(part)
            write(b"")
    except Exception as error:
        noted.append(f"/writes-for-ever={type(error).__name__}")
        raise


def tell_noted(environ: Environ, start: Start) -> list[bytes]:
    start("200 OK", PLAIN)
    return [" ".join(note for note in noted if note.partition("=")[0] == environ["QUERY_STRING"]).encode()]


def short(environ: Environ, start: Start) -> list[bytes]:
    start("200 OK", [*PLAIN, ("Content-Length", "10")])
    return [b"short"]


def long(environ: Environ, start: Start) -> list[bytes]:
    start("200 OK", [*PLAIN, ("Content-Length", "4")])
    return [b"longer than that"]


def several(environ: Environ, start: Start) -> list[bytes]:
    start("200 OK", PLAIN)
    return [b"a", b"", b"bc", b"def"]


def generator(environ: Environ, start: Start) -> Iterator[bytes]:
    start("200 OK", PLAIN)
    yield from (b"a", b"", b"bc")


def empty(environ: Environ, start: Start) -> list[bytes]:
    start("200 OK", PLAIN)
    return []


def status(environ: Environ, start: Start) -> list[bytes]:
    start(environ["QUERY_STRING"].replace("+", " "), PLAIN)
    return [b"a body"]


def fields(environ: Environ, start: Start) -> list[bytes]:
    start("200 OK", FIELDS[environ["QUERY_STRING"]])
    return [b"ok"]


FIELDS: dict[str, Any] = {
    "crlf": [("X-A", "b\r\nX-Evil: 1")],
    "lf": [("X-A", "b\nX-Evil: 1")],
    "nul": [("X-A", "b\0")],
    "name": [("X A", "b")],
    "colon": [("X-A:", "b")],
    "empty-name": [("", "b")],
    "wide": [("X-A", "\u20ac")],
    "bytes": [(b"X-A", b"b")],
    "int": [("X-A", 1)],
    "three": [("X-A", "b", "c")],
    "length": [("Content-Length", "1x")],
    "lengths": [("Content-Length", "2"), ("Content-Length", "3")],
    "list": [["X-A", "b"]],
    "latin": [("X-A", "caf\xe9")],
    "hop": [("Connection", "keep-alive"), ("Keep-Alive", "5"), ("Transfer-Encoding", "gzip"), ("X-A", "b")],
    "close": [("Connection", "close")],
    "own": [("Date", "today"), ("Server", "mine")],
    "cookies": [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")],
    "tuple": (("X-A", "b"),),
}


def text(environ: Environ, start: Start) -> list[Any]:
    start("200 OK", PLAIN)
    return ["text"]


def file(environ: Environ, start: Start) -> Iterable[bytes]:
    """?offset,declared: a file of 100,000 bytes from there."""
    offset, declared = environ["QUERY_STRING"].split(",")
    opened = tempfile.TemporaryFile()  # noqa: SIM115 (the server closes it)
    opened.write(bytes(range(250)) * 400)
    opened.seek(int(offset))
    start("200 OK", [*PLAIN, *([("Content-Length", declared)] if declared else [])])
    response: Iterable[bytes] = environ["wsgi.file_wrapper"](Tracked(opened), 8192)
    return response


class Tracked:
    """A file that remembers its close()."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened
        self.fileno = opened.fileno
        self.tell = opened.tell
        self.read = opened.read

    def close(self) -> None:
        closed.append("/file")
        self._opened.close()


class Reader:
    """File-like, and no file."""

    def __init__(self) -> None:
        self._parts = iter([b"read ", b"in ", b"blocks", b""])

    def read(self, size: int) -> bytes:
        return next(self._parts)

    def close(self) -> None:
        closed.append("/reader")


def reader(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](Reader())  # type: ignore[no-any-return]


def pid(environ: Environ, start: Start) -> list[bytes]:
    start("200 OK", PLAIN)
    return [str(os.getpid()).encode()]


def application(environ: Environ, start: Start) -> Iterable[bytes]:
    name = environ["PATH_INFO"].lstrip("/").replace("-", "_")
    return globals()[name](environ, start)  # type: ignore[no-any-return]
