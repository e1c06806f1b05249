"""Idle connections are opened for real, from several addresses, and their end is noticed."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator

import pytest

from bench import crowd
from bench.crowd import IdleConnections
from bench.load import LoadFailed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="measuring is done on Linux")

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Host:
    """Answers each connection once and keeps it."""

    def __init__(self, answer: bytes) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.clients: list[socket.socket] = []
        self._answer = answer
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            client.recv(1024)
            self.clients.append(client)
            client.sendall(self._answer)
            if b"close" in self._answer:
                client.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for client in self.clients:
            client.close()


@pytest.fixture
def host() -> Iterator[Host]:
    it = Host(ANSWER)
    yield it
    it.close()


def test_the_crowd_comes_from_several_addresses(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "PER_SOURCE", 2)
    idle = IdleConnections(host.port, 5, b"hi")
    sources = {client.getpeername()[0] for client in host.clients}
    assert sources == {"127.0.0.2", "127.0.0.3", "127.0.0.4"}
    assert idle.still_open() == 5
    idle.close()
    assert idle.still_open() == 0


def test_a_closed_connection_is_counted(host: Host) -> None:
    idle = IdleConnections(host.port, 3, b"hi")
    host.clients[1].shutdown(socket.SHUT_RDWR)
    assert idle.still_open() == 2
    idle.close()


def test_a_server_that_does_not_answer_rightly_is_named() -> None:
    host = Host(b"HTTP/1.1 503 close\r\n\r\n")
    with pytest.raises(LoadFailed, match=r"connection 1 was closed after b'HTTP/1.1 503"):
        IdleConnections(host.port, 3, b"hi")
    host.close()
