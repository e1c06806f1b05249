"""Tells the length of the body it was sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def application(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    length = str(len(environ["wsgi.input"].read()))
    method = environ["REQUEST_METHOD"]
    start("200 OK", [("Content-Type", "text/plain"), ("X-Length", length), ("X-Method", method)])
    return [b"body"]
