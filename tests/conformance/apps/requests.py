"""Tells what reached the app: the environ, and the body as it was read. `?ops=` is a script of reads."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.validate import validator


def environ_of(environ: dict[str, Any]) -> dict[str, Any]:
    return {key: value if isinstance(value, (str, bool, int)) else repr(type(value)) for key, value in environ.items()}


def perform(stream: Any, ops: str) -> list[Any]:
    """`r` read(), `r5` read(5), `l` readline(), `l5`, `L` readlines(), `L5`, `i` iteration, `n` one next()."""
    results: list[Any] = []
    for op in ops.split(","):
        size = [int(op[1:])] if len(op) > 1 else []
        if op[0] == "r":
            results.append(stream.read(*size))
        elif op[0] == "l":
            results.append(stream.readline(*size))
        elif op[0] == "L":
            results.append(stream.readlines(*size))
        elif op[0] == "i":
            results.append(list(stream))
        else:
            results.append(next(stream, b""))
    return results


def show(results: list[Any]) -> str:
    return repr(results)


def reading(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    ops = environ["QUERY_STRING"]
    found = perform(environ["wsgi.input"], ops)
    body = show(found).encode()
    start("200 OK", [("Content-Type", "text/plain")])
    return [body]


def expected(body: bytes, ops: str) -> bytes:
    """What io.BytesIO would have given."""
    return show(perform(io.BytesIO(body), ops)).encode()


def unread(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    start("401 Unauthorized", [("Content-Type", "text/plain")])
    return [b"no"]


def telling(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    body = json.dumps(environ_of(environ)).encode()
    start("200 OK", [("Content-Type", "application/json")])
    return [body]


def plain(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    environ["wsgi.input"].read(3)
    environ["wsgi.errors"].write("a line for the error log\n")
    environ["wsgi.errors"].flush()
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"valid"]


def streamed(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    return iter([b"va", b"lid"])


def pushed(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])(b"val")
    return [b"id"]


VALID = {"plain": validator(plain), "streamed": validator(streamed), "pushed": validator(pushed)}


def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path.startswith("/valid/"):
        return VALID[path[7:]](environ, start)
    if path == "/read":
        return reading(environ, start)
    if path == "/unread":
        return unread(environ, start)
    return telling(environ, start)
