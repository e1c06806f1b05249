"""Thousands of clients that asked once and only keep their connection."""

from __future__ import annotations

import resource
import socket
import struct
import time

from bench.load import HOST, LoadFailed

PER_SOURCE = 5_000
"""Connections from one source address: far fewer than the kernel has ephemeral ports (28,232 by default)."""
CROWD_PATIENCE = 60.0
AT_ONCE_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER's value that ends a connection without TIME_WAIT: the next server's crowd needs the ports."""


class IdleConnections:
    """Clients that asked once and then keep their connection."""

    REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def __init__(self, port: int, count: int, expect: bytes) -> None:
        self._port = port
        self._expect = expect
        self._sockets: list[socket.socket] = []
        deadline = time.monotonic() + CROWD_PATIENCE
        try:
            for number in range(count):
                if time.monotonic() > deadline:
                    raise LoadFailed(f"only {number} of {count} connections after {CROWD_PATIENCE:.0f} s")
                self._open(f"127.0.0.{2 + number // PER_SOURCE}")
        except (OSError, LoadFailed):
            self.close()
            raise

    def _open(self, source: str) -> None:
        client = socket.socket()
        self._sockets.append(client)
        client.settimeout(10)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE_RESET)
        client.bind((source, 0))
        client.connect((HOST, self._port))
        client.sendall(self.REQUEST)
        received = b""
        while not received.endswith(self._expect):
            part = client.recv(4096)
            if not part:
                raise LoadFailed(f"connection {len(self._sockets)} was closed after {received[:60]!r}")
            received += part
        client.setblocking(False)

    def still_open(self) -> int:
        """How many the server has not closed."""
        return sum(not _closed(client) for client in self._sockets)

    def close(self) -> None:
        """Close all of them."""
        while self._sockets:
            self._sockets.pop().close()


class IdleSockets(IdleConnections):
    """WebSockets that say nothing; `expect` is the end of the handshake's answer."""

    REQUEST = (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )


def _closed(client: socket.socket) -> bool:
    try:
        return client.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def raise_descriptor_limit(wanted: int) -> int:
    """Allow this process and its children `wanted` open files, or as many as the system allows; say how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(wanted, hard), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, limit), limit))
            break
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
