# ruff: noqa: SIM115 (the server closes what it is given)
"""Everything that one may hand to `wsgi.file_wrapper`; the path chooses, `?declared` is its Content-Length."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tempfile
from collections.abc import Callable, Iterable
from typing import Any

CONTENT = bytes(range(256)) * 1000
closed: list[str] = []


class Counted:
    """A proxy for a file that counts its close(), as wrappers of frameworks do: `read` is the inner one's."""

    def __init__(self, file: Any, name: str) -> None:
        self.file = file
        self.name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def close(self) -> None:
        closed.append(self.name)
        self.file.close()


class Upper(io.FileIO):
    """A file that reads differently from what lies on the disk."""

    def read(self, size: int | None = -1, /) -> bytes:
        return (super().read(size) or b"").replace(b"a", b"A")


class Reader:
    """Only what PEP 3333 asks for: read(size). No close()."""

    def __init__(self) -> None:
        self._inner = io.BytesIO(CONTENT)

    def read(self, size: int) -> bytes:
        return self._inner.read(size)


class Lying(Reader):
    """Has a fileno() that cannot be used."""

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")


class Broken(Reader):
    """Fails after the first block."""

    def read(self, size: int) -> bytes:
        if self._inner.tell():
            raise OSError("the disk broke")
        return super().read(size)


def on_disk() -> str:
    with open("content", "wb") as file:
        file.write(CONTENT)
    return "content"


def compressed(opener: Callable[..., Any]) -> Any:
    with opener("compressed", "wb") as file:
        file.write(CONTENT)
    return opener("compressed", "rb")


def written(file: Any, *, at: int = 0) -> Any:
    file.write(CONTENT)
    file.seek(at)
    return file


def read_some(file: Any) -> Any:
    file.read(1000)
    return file


def read_byte(file: Any) -> Any:
    file.read(1)
    return file


def piped() -> Any:
    """A descriptor that is no regular file."""
    reading, writing = os.pipe()
    os.write(writing, CONTENT[:5000])
    os.close(writing)
    return os.fdopen(reading, "rb")


KINDS: dict[str, Callable[[], Any]] = {
    "buffered": lambda: open(on_disk(), "rb"),
    "raw": lambda: open(on_disk(), "rb", buffering=0),
    "raw-sought": lambda: read_some(open(on_disk(), "rb", buffering=0)),
    "read-before": lambda: read_some(open(on_disk(), "rb")),
    "random": lambda: open(on_disk(), "r+b"),
    "unnamed": lambda: written(tempfile.TemporaryFile()),
    "named": lambda: written(tempfile.NamedTemporaryFile()),
    "spooled": lambda: written(tempfile.SpooledTemporaryFile()),
    "spooled-over": lambda: written(tempfile.SpooledTemporaryFile(max_size=1000)),
    "at-its-end": lambda: written(tempfile.TemporaryFile(), at=len(CONTENT)),
    "beyond-its-end": lambda: written(tempfile.TemporaryFile(), at=len(CONTENT) + 5),
    "memory": lambda: written(io.BytesIO()),
    "gzip": lambda: compressed(gzip.open),
    "gzip-buffered": lambda: io.BufferedReader(compressed(gzip.open)),
    "bz2": lambda: compressed(bz2.open),
    "lzma": lambda: compressed(lzma.open),
    "changing": lambda: Upper(on_disk()),
    "pipe": piped,
    "reader": Reader,
    "lying": Lying,
    "broken": Broken,
    "text": lambda: open(__file__),
}


# The kernel makes these when they are read; stat() says 0 bytes, or a page.
MADE = {
    "status": "/proc/self/status",
    "cpuinfo": "/proc/cpuinfo",
    "online": "/sys/devices/system/cpu/online",
}


def changing_size(change: str) -> Any:
    """?change: what happens to a large file once its answer has begun; the client says when, by another request."""
    path = f"size-{change}"
    with open(path, "wb") as file:
        file.write(LARGE)
    return open(path, "rb")


LARGE = bytes(range(250)) * 80_000


def change_size(change: str) -> None:
    if change == "shrinks":
        os.truncate("size-shrinks", len(LARGE) - 1)
    else:
        with open("size-grows", "ab") as file:
            file.write(b"more")


def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    name, declared = environ["PATH_INFO"][1:], environ["QUERY_STRING"]
    if name == "closed":
        start("200 OK", [("Content-Type", "text/plain")])
        return [" ".join(closed).encode()]
    if name == "change":
        change_size(declared)
        start("200 OK", [("Content-Type", "text/plain")])
        return [b"changed"]
    if name in MADE:
        start("200 OK", [("Content-Type", "text/plain")])
        made = open(MADE[name], "rb", buffering=0 if declared == "raw" else -1)
        skipped: Iterable[bytes] = environ["wsgi.file_wrapper"](read_byte(made) if declared == "read" else made)
        return skipped
    if name == "size":
        start("200 OK", [("Content-Type", "text/plain")])
        sized: Iterable[bytes] = environ["wsgi.file_wrapper"](changing_size(declared))
        return sized
    file = KINDS[name]()
    if hasattr(file, "close"):
        file = Counted(file, name)
    start("200 OK", [("Content-Type", "text/plain"), *([("Content-Length", declared)] if declared else [])])
    wrapper: Iterable[bytes] = environ["wsgi.file_wrapper"](file, 4000)
    return wrapper
