"""A file through wsgi.file_wrapper; on servers without it, block by block, as frameworks do there."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, BinaryIO

PATH = os.environ["BENCH_FILE"]
BLOCK = 65536


class Blocks:
    """The file as an iterator with close(), as PEP 3333 shows it."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size

    def __iter__(self) -> Blocks:
        return self

    def __next__(self) -> bytes:
        block = self._file.read(self._size)
        if not block:
            raise StopIteration
        return block

    def close(self) -> None:
        self._file.close()


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    file = open(PATH, "rb")  # noqa: SIM115 (the server closes it)
    size = os.fstat(file.fileno()).st_size
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(size))])
    body: Iterable[bytes] = environ.get("wsgi.file_wrapper", Blocks)(file, BLOCK)
    return body
