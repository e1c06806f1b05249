"""The smallest WSGI app: what is measured is the server."""

from __future__ import annotations

from typing import Any

BODY = b"Hello, World!"


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [BODY]
