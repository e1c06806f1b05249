"""One MB from memory: bytes in a list, as a rendered report or an image from a cache."""

from __future__ import annotations

from typing import Any

BODY = b"x" * 1_048_576


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))])
    return [BODY]
