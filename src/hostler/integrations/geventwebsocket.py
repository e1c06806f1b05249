"""gevent-websocket's WebSockets, for applications that run under its worker class by `hostler gunicorn`.

They read `environ["wsgi.websocket"]`. As there, a handshake is answered before the application is called, and what the
application returns for it is not sent.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

__all__ = ["around"]

_VERSIONS = ("13", "8", "7")
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3


def around(app: Callable[..., Any]) -> Callable[..., Any]:
    """The WSGI application with `wsgi.websocket` in handshakes; itself where gevent-websocket is not installed."""
    try:
        from geventwebsocket import websocket
    except ImportError:
        return app
    server = SimpleNamespace(application=app, clients={})

    def called(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("HTTP_SEC_WEBSOCKET_VERSION") not in _VERSIONS or "gunicorn.socket" not in environ:
            answer: Iterable[bytes] = app(environ, start_response)
            return answer
        handler = _Handler(environ, server)
        found = websocket.WebSocket(environ, websocket.Stream(handler), handler)
        environ["wsgi.websocket"], environ["wsgi.websocket_version"] = found, environ["HTTP_SEC_WEBSOCKET_VERSION"]
        handler.run(found)
        return []

    return called


class _Handler:
    """What gevent-websocket's objects and its applications ask of gevent's request handler."""

    logger = logging.getLogger("geventwebsocket")

    def __init__(self, environ: dict[str, Any], server: Any) -> None:
        self.environ = environ
        self.server = server
        self.client_address = (environ["REMOTE_ADDR"], environ["REMOTE_PORT"])
        self.socket = environ["gunicorn.socket"]
        self.socket.sendall(self._answer())  # ConnectionError when the client has left
        self.rfile = self.socket.makefile("rb")
        self.active_client: Any = None

    def run(self, websocket: Any) -> None:
        """Call the application, and close what it leaves open."""
        self.active_client = SimpleNamespace(address=self.client_address, ws=websocket)
        self.server.clients[self.client_address] = self.active_client
        try:
            list(self.server.application(self.environ, lambda status, headers, exc_info=None: []) or ())
        finally:
            self.server.clients.pop(self.client_address, None)
            if not websocket.closed:
                websocket.close()
            self.environ.pop("wsgi.websocket", None)
            self.rfile.close()
            self.socket.close()

    def _answer(self) -> bytes:
        key = f"{self.environ['HTTP_SEC_WEBSOCKET_KEY'].strip()}{_GUID}".encode("latin-1")
        accept = base64.b64encode(hashlib.sha1(key, usedforsecurity=False).digest()).decode("ascii")
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        lines.append(f"Sec-WebSocket-Accept: {accept}")
        if protocol := self._protocol():
            lines.append(f"Sec-WebSocket-Protocol: {protocol}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _protocol(self) -> str:
        """The subprotocol that the application has for the path, if the client offers it."""
        find = getattr(self.server.application, "app_protocol", None)
        offered = [each.strip() for each in self.environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "").split(",")]
        allowed = find(self.environ["PATH_INFO"]) if find is not None else ""
        return allowed if allowed in offered else ""
