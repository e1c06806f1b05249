"""The socket of a WSGI request, for libraries that speak WebSocket themselves (simple-websocket, flask-sock, others).

They look for `environ["gunicorn.socket"]`. It stands there in every handshake, and is taken from the server only when
the app uses it: an app that knows nothing of WebSockets answers the handshake as any other request.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hostler.native import Upgrade

__all__ = ["RawSocket"]


class RawSocket:
    """Stands for the socket until it is used."""

    def __init__(self, upgrade: Upgrade) -> None:
        self._upgrade = upgrade
        self._socket: socket.socket | None = None

    def __getattr__(self, name: str) -> Any:
        """Whatever a socket has. Raises ConnectionError when the client has left."""
        if self._socket is None:
            self._socket = socket.socket(fileno=self._upgrade.take())
        return getattr(self._socket, name)
