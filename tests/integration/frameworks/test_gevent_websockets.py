"""WebSockets in WSGI applications on gevent: Flask-SocketIO with either library, and `wsgi.websocket`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import socketio
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.integration.frameworks.conftest import APPS
from tests.integration.helpers import Serve, Server
from tests.integration.helpers.commands import GUNICORN

OWN = "geventwebsocket.gunicorn.workers.GeventWebSocketWorker"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def start(serve: Serve, kind: str, app: str = "socketio_gevent", **env: str) -> Server:
    line = f"-k {kind} -b 127.0.0.1:0 --access-logfile - --graceful-timeout 2 {app}"
    # gevent-websocket is from 2017: its code has escapes that warn.
    env = {"PYTHONWARNINGS": "default", **env}
    server = serve(None, *line.split(), bind=[], python=GUNICORN, ready=False, cwd=APPS, env=env)
    server.wait_ready()
    return server


@pytest.fixture(params=["gevent", OWN, f"{OWN} without"])
def site(serve: Serve, request: pytest.FixtureRequest) -> Iterator[Server]:
    """With simple-websocket under gevent's class; with gevent-websocket under its own; without it under its own."""
    kind, _, without = request.param.partition(" ")
    env = {"WITHOUT_GEVENT_WEBSOCKET": "1"} if without or kind == "gevent" else {}
    server = start(serve, kind, **env)
    yield server
    assert server.stop() == 0
    assert "ERROR" not in server.log


@pytest.mark.parametrize("transports", [["websocket"], ["polling", "websocket"]])
def test_flask_socketio_on_gevent_answers_events_while_another_one_waits(site: Server, transports: list[str]) -> None:
    async def talk() -> None:
        async with socketio.AsyncSimpleClient() as client, socketio.AsyncSimpleClient() as other:
            await client.connect(site.url("/"), transports=transports)
            await other.connect(site.url("/"), transports=transports)
            waiting = asyncio.ensure_future(other.call("wait", 0.5))
            assert await client.call("shout", "hello") == 5
            assert await client.receive(timeout=10) == ["heard", "HELLO"]
            assert not waiting.done()
            assert await waiting == "waited"
            assert client.client.transport() == other.client.transport() == "websocket"

    asyncio.run(talk())
    with site.connect() as connection:
        assert connection.request(GET).body == b"hello"


def test_flask_sock_on_gevent_answers_two_clients_at_once(serve: Serve) -> None:
    site = start(serve, "gevent", "flask_sockets")
    with ws(site) as one, ws(site) as two:
        for text in ("a", "ü" * 70_000):
            for each in (one, two):
                each.send(text)
                assert each.recv(timeout=10) == f"{text}!"
        with site.connect() as connection:
            assert connection.request(GET).body == b"hello"
        one.send("end")
        two.close()
    site.wait_log(r'"GET /echo HTTP/1.1" 101', count=2)
    assert "ERROR" not in site.log


@pytest.fixture
def echo(serve: Serve) -> Server:
    return start(serve, OWN)


def ws(server: Server) -> ClientConnection:
    return connect(server.url("/echo").replace("http:", "ws:"), open_timeout=10, close_timeout=10)


def test_application_of_gevent_websocket_gets_its_websocket(echo: Server) -> None:
    with ws(echo) as one, ws(echo) as two:
        for message in ("a", "ü" * 70_000, b"\0\xff"):
            for each in (one, two):
                each.send(message)
                assert each.recv(timeout=10) == message
        one.ping().wait(10)
        one.send("end")
        two.close()
    with echo.connect() as connection:
        assert connection.request(GET).body == b"hello"
    echo.wait_log(r'"GET /echo HTTP/1.1" 101', count=2)
    assert echo.stop() == 0
    assert "ERROR" not in echo.log


def test_websocket_of_an_application_that_raises_is_closed_and_told(echo: Server) -> None:
    with ws(echo) as one:
        one.send("raise")
        with pytest.raises(ConnectionClosed):
            one.recv(timeout=10)
    echo.wait_log("RuntimeError: on purpose")


def test_server_with_an_open_websocket_stops_within_graceful_timeout(echo: Server) -> None:
    with ws(echo) as one:
        one.send("here")
        assert one.recv(timeout=10) == "here"
        assert echo.stop(within=15) == 0
