"""Consumers of Channels that send after their client has left: `disconnect()` runs under `hostler daphne`."""

from __future__ import annotations

import pytest
from websockets.sync.client import connect

from tests.integration.helpers import Serve, Server

CHANNELS = """
    import asyncio, threading
    from django.conf import settings

    settings.configure(
        INSTALLED_APPS=["channels"],
        CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    )
    import django
    django.setup()

    from channels.consumer import AsyncConsumer
    from channels.exceptions import StopConsumer
    from channels.generic.http import AsyncHttpConsumer
    from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
    from channels.layers import get_channel_layer
    from channels.routing import ProtocolTypeRouter, URLRouter
    from django.urls import path

    released, released_threads = asyncio.Event(), threading.Event()

    def say(*words):
        print(*words, flush=True)

    class Async(AsyncWebsocketConsumer):
        groups = ["all"]

        async def receive(self, text_data):
            await self.late(None)

        async def late(self, event):
            say("waits")
            await released.wait()
            for _ in range(3):
                await self.send("late")
            say("sent")

        async def disconnect(self, code):
            say("disconnected", code)

    class Sync(WebsocketConsumer):
        groups = ["all"]

        def receive(self, text_data):
            self.late(None)

        def late(self, event):
            say("waits")
            released_threads.wait(10)
            for _ in range(3):
                self.send("late")
            say("sent")

        def disconnect(self, code):
            say("disconnected", code)

    class Poll(AsyncHttpConsumer):
        async def http_request(self, message):
            await self.channel_layer.group_add("all", self.channel_name)
            await self.send_headers(headers=[(b"content-type", b"text/plain")])
            await self.send_body(b"begun", more_body=True)

        async def late(self, event):
            say("waits")
            await released.wait()
            for _ in range(3):
                await self.send_body(b"late", more_body=True)
            say("sent")

        async def disconnect(self):
            say("disconnected", "poll")

    class Wake(AsyncHttpConsumer):
        async def handle(self, body):
            await get_channel_layer().group_send("all", {"type": "late"})
            await self.send_response(200, b"ok")

    class Endless(AsyncConsumer):
        async def websocket_connect(self, message):
            await self.send({"type": "websocket.accept"})
            await self.go_on({"type": "websocket.send", "text": "more"})

        async def http_request(self, message):
            await self.send({"type": "http.response.start", "status": 200, "headers": []})
            await self.go_on({"type": "http.response.body", "body": b"more", "more_body": True})

        async def go_on(self, message):
            say("goes on")
            try:
                while True:
                    await self.send(message)
            except BaseException as error:
                say("ends", type(error).__name__)
                raise

    async def release(scope, receive, send):  # no consumer: these wait for the thread that a synchronous one has
        released.set()
        released_threads.set()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    application = ProtocolTypeRouter({
        "http": URLRouter([
            path("poll", Poll.as_asgi()), path("endless", Endless.as_asgi()),
            path("release", release), path("wake", Wake.as_asgi()),
        ]),
        "websocket": URLRouter([
            path("async", Async.as_asgi()), path("sync", Sync.as_asgi()), path("endless", Endless.as_asgi()),
        ]),
    })
"""


def daphne(serve: Serve, **environment: str) -> Server:
    app = serve.source(CHANNELS)
    environment["PYTHONPATH"] = str(serve.directory)
    return serve(app, "-p", "0", bind=[], python=("-m", "hostler", "daphne"), env=environment)


def ask(server: Server, path: str) -> None:
    with server.connect() as connection:
        assert connection.request(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).body == b"ok"


@pytest.mark.parametrize("wake", ["message", "layer"])
@pytest.mark.parametrize("kind", ["async", "sync"])
def test_websocket_consumer_that_sends_late_is_disconnected(serve: Serve, kind: str, wake: str) -> None:
    """The handler of a client's message, or of the layer's, sends when the client has left."""
    server = daphne(serve)
    with connect(server.url(f"/{kind}").replace("http", "ws")) as socket:
        if wake == "message":
            socket.send("x")
        else:
            ask(server, "/wake")
        server.wait_log("^waits$")
    ask(server, "/release")
    server.wait_log("^sent$")
    server.wait_log("^disconnected 1000$")
    assert "Traceback" not in server.log


def test_http_consumer_that_sends_late_is_disconnected(serve: Serve) -> None:
    """A long poll: the response has begun, and the layer's handler sends when the client has left."""
    server = daphne(serve)
    with server.connect() as connection:
        connection.send(b"GET /poll HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.read_until(b"begun")
        ask(server, "/wake")
        server.wait_log("^waits$")
        connection.reset()
    ask(server, "/release")
    server.wait_log("^sent$")
    server.wait_log("^disconnected poll$")
    assert "Traceback" not in server.log


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_consumer_that_never_receives_ends_after_disconnect_grace(serve: Serve, kind: str) -> None:
    """Ignored messages wait for nothing; the loop serves others meanwhile, and the task ends."""
    server = daphne(serve, HOSTLER_DISCONNECT_GRACE="1s")
    leave(server, kind)
    ask(server, "/release")
    assert "ends" not in server.log
    server.wait_log("^ends (CancelledError|ConnectionResetError)$")
    server.wait_log('"GET /endless HTTP/1.1" (200|101|499)')
    assert "Traceback" not in server.log


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_send_raises_at_once_where_nothing_is_said(serve: Serve, kind: str) -> None:
    server = serve(serve.source(CHANNELS), "--disconnect-grace", "0")
    leave(server, kind)
    server.wait_log("^ends ConnectionResetError$")
    assert "Traceback" not in server.log


def leave(server: Server, kind: str) -> None:
    """Ask for an endless response or WebSocket, and leave without a word."""
    fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    fields += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    with server.connect() as connection:
        connection.send(f"GET /endless HTTP/1.1\r\nHost: x\r\n{fields * (kind == 'websocket')}\r\n".encode())
        connection.read_until(b"more")
        connection.reset()
