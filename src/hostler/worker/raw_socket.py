"""The sockets of WSGI requests, for libraries that speak WebSocket themselves (simple-websocket, flask-sock, others).

They look for `environ["gunicorn.socket"]`. It stands there in every handshake, and is taken from the server only when
the app uses it: an app that knows nothing of WebSockets answers the handshake as any other request.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any
from weakref import ref

if TYPE_CHECKING:
    from hostler.native import Upgrade

__all__ = ["RawSocket", "RawSockets"]


class RawSockets:
    """All of a worker: which are in use."""

    def __init__(self) -> None:
        self._in_use: set[ref[socket.socket]] = set()
        self._ended = False

    def offer(self, upgrade: Upgrade) -> RawSocket:
        """What stands in the environ of a handshake."""
        return RawSocket(upgrade, self)

    def use(self, sock: socket.socket) -> None:
        """The app has taken it."""
        self._in_use.add(ref(sock, self._in_use.discard))
        if self._ended:
            _end_reading(sock)

    def end_reading(self) -> None:
        """Have each WebSocket read its end, as if the client had left; also those that are taken later.

        A close frame would be better, but only the library knows where a frame of its own ends.
        """
        self._ended = True
        for each in tuple(self._in_use):  # in one step: threads add and discard meanwhile
            sock = each()
            if sock is not None:
                _end_reading(sock)


class RawSocket:
    """Stands for the socket until it is used."""

    def __init__(self, upgrade: Upgrade, sockets: RawSockets) -> None:
        self._upgrade = upgrade
        self._sockets = sockets
        self._socket: socket.socket | None = None

    def __getattr__(self, name: str) -> Any:
        """Whatever a socket has. Raises ConnectionError when the client has left."""
        if self._socket is None:
            self._socket = socket.socket(fileno=self._upgrade.take())
            self._sockets.use(self._socket)
        return getattr(self._socket, name)


def _end_reading(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RD)
    except OSError:
        pass  # closed meanwhile, by the app or by its client
