"""WebSockets in WSGI apps: flask-sock and Flask-SocketIO, unchanged, each WebSocket in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import socketio
from websockets.sync.client import connect

from tests.integration.frameworks.conftest import Client
from tests.integration.helpers import Server


@pytest.fixture(scope="module")
def site(server_of: Callable[..., Server]) -> Server:
    return server_of("flask_sockets", "--access-log", "-")


def test_flask_sock(site: Server, client: Client) -> None:
    url = site.url("/echo").replace("http:", "ws:")
    with connect(url) as one, connect(url) as two:
        for text in ("a", "ü" * 70_000):
            for socket in (one, two):
                socket.send(text)
                assert socket.recv(timeout=10) == f"{text}!"
        assert client(site).get("/").text == "hello"
        one.send("end")
        two.close()
    site.wait_log(r'"GET /echo HTTP/1.1" 101', count=2)
    assert "ERROR" not in site.log


def test_a_handshake_that_the_app_does_not_want(server_of: Callable[..., Server]) -> None:
    """The socket is the server's until the app uses it."""
    with server_of("flask_app").connect() as connection:
        fields = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        for _ in range(2):
            assert connection.request(b"GET /release HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n").status in (200, 400)


@pytest.mark.parametrize("transports", [["websocket"], ["polling", "websocket"]])
def test_flask_socketio(site: Server, transports: list[str]) -> None:
    async def talk() -> None:
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(site.url("/"), transports=transports)
            assert await client.call("shout", "hello") == 5
            assert await client.receive(timeout=10) == ["heard", "HELLO"]

    asyncio.run(talk())
