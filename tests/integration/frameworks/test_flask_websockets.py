"""WebSockets in WSGI apps: flask-sock and Flask-SocketIO, unchanged, each WebSocket in a thread of its own."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import aiohttp
import pytest
import socketio
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.integration.frameworks.conftest import APPS, Client, stop_in_order
from tests.integration.helpers import Serve, Server


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


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_drain_ends_websockets_of_flask_sock(serve: Serve, number: signal.Signals) -> None:
    server = serve("flask_sockets:application", cwd=APPS)
    with connect(server.url("/echo").replace("http:", "ws:")) as websocket:
        websocket.send("a")
        assert websocket.recv(timeout=10) == "a!"
        server.kill(number)
        with pytest.raises(ConnectionClosed):
            websocket.recv(timeout=20)
    if number == signal.SIGHUP:
        server.wait_log("reloaded workers=")
        server.kill(signal.SIGTERM)
    stop_in_order(server, is_told=True)


def test_a_handshake_that_the_app_does_not_want(server_of: Callable[..., Server]) -> None:
    """The socket is the server's until the app uses it."""
    with server_of("flask_app").connect() as connection:
        fields = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        for _ in range(2):
            assert connection.request(b"GET /release HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n").status in (200, 400)


TRANSPORTS = pytest.mark.parametrize("transports", [["polling"], ["websocket"], ["polling", "websocket"]], ids=" ".join)


@TRANSPORTS
def test_flask_socketio(site: Server, transports: list[str]) -> None:
    async def talk() -> None:
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(site.url("/"), transports=transports)
            assert await client.call("shout", "hello") == 5
            assert await client.receive(timeout=10) == ["heard", "HELLO"]

    asyncio.run(talk())


@TRANSPORTS
def test_flask_socketio_client_comes_back_through_a_reload(serve: Serve, transports: list[str]) -> None:
    server = serve("flask_sockets:application", cwd=APPS, env={"PING_INTERVAL": "1"})
    heard: list[str] = []

    async def talk() -> None:
        # The client loses the session that it makes itself when it connects again.
        async with aiohttp.ClientSession() as session:
            await through_a_reload(session)

    async def through_a_reload(session: aiohttp.ClientSession) -> None:
        client = socketio.AsyncClient(reconnection_delay=0.05, reconnection_delay_max=0.1, http_session=session)
        connected = asyncio.Event()
        client.on("connect", connected.set)
        client.on("heard", heard.append)
        await client.connect(server.url("/"), transports=transports)
        before = await client.call("pid")
        connected.clear()
        server.kill(signal.SIGHUP)
        await asyncio.wait_for(connected.wait(), 20)
        assert await client.call("pid") != before
        assert await client.call("shout", "hello") == 5
        await client.disconnect()

    asyncio.run(talk())
    assert heard == ["HELLO"]
    server.wait_log("reloaded workers=")
    stop_in_order(server)


@TRANSPORTS
def test_stop_does_not_wait_for_connected_flask_socketio_clients(serve: Serve, transports: list[str]) -> None:
    server = serve("flask_sockets:application", cwd=APPS, env={"PING_INTERVAL": "1"})

    async def talk() -> None:
        client = socketio.AsyncClient(reconnection=False)
        gone = asyncio.Event()
        client.on("disconnect", lambda *reason: gone.set())
        await client.connect(server.url("/"), transports=transports)
        assert await client.call("shout", "hello") == 5
        await asyncio.to_thread(stop_in_order, server)
        await asyncio.wait_for(gone.wait(), 20)

    asyncio.run(talk())
