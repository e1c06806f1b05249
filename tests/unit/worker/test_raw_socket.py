"""Sockets that WSGI apps take for WebSockets, and how a drain ends them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest

from hostler.worker.raw_socket import RawSockets


class Upgrade:
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def take(self) -> int:
        return self._sock.detach()


def offer(sockets: RawSockets, sock: socket.socket) -> Any:
    return sockets.offer(cast(Any, Upgrade(sock)))


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(5)
    with ours, theirs:
        yield ours, theirs


def test_socket_is_the_servers_until_it_is_used(pair: tuple[socket.socket, socket.socket]) -> None:
    sockets = RawSockets()
    offer(sockets, pair[0])
    sockets.end_reading()
    pair[1].send(b"x")
    assert pair[0].recv(1) == b"x"


def test_used_socket_reads_its_end_and_still_sends(pair: tuple[socket.socket, socket.socket]) -> None:
    sockets = RawSockets()
    raw = offer(sockets, pair[0])
    raw.settimeout(5)
    sockets.end_reading()
    assert raw.recv(1) == b""
    raw.sendall(b"good-bye")
    raw.close()
    assert pair[1].recv(100) == b"good-bye"
    sockets.end_reading()  # one that is closed changes nothing


def test_socket_that_is_taken_after_the_end_reads_it_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    sockets = RawSockets()
    sockets.end_reading()
    raw = offer(sockets, pair[0])
    raw.settimeout(5)
    assert raw.recv(1) == b""
    raw.close()
