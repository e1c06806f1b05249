"""WebSockets whose ends are slow: what waits in memory has a bound in bytes, in both directions."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import pytest
from websockets.sync.client import connect

from tests.conformance.asgi.frames import BINARY, FIN, PING, RSV1, TEXT, Client
from tests.integration.helpers import Serve, Server, processes

# /rest accepts and reads nothing until the file "go"; then it counts what comes. /echo gives back. /count tells.
APP = """
    import asyncio
    import os

    messages = size = 0

    async def application(scope, receive, send):
        global messages, size
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"%d %d" % (messages, size)})
            return
        if scope["type"] != "websocket":
            return
        await receive()
        await send({"type": "websocket.accept"})
        while scope["path"] == "/rest" and not os.path.exists("go"):
            await asyncio.sleep(0.02)
        while True:
            event = await receive()
            if event["type"] == "websocket.disconnect":
                return
            body = event.get("bytes") or (event.get("text") or "").encode()
            messages, size = messages + 1, size + len(body)
            if scope["path"] == "/echo":
                await send({"type": "websocket.send", "bytes": body})
"""
# Takes one of four messages, which fill its inbox, and the rest when a ping and its timeout have passed.
SLOW = """
    import asyncio

    async def application(scope, receive, send):
        if scope["type"] != "websocket":
            return
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.sleep(0.3)
        await receive()
        await asyncio.sleep(3.5)
        for _ in range(3):
            assert (await receive())["type"] == "websocket.receive"
        await send({"type": "websocket.send", "text": "all"})
        await receive()
"""
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
MB = 1_000_000


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Sockets that a test left open are closed with it."""
    yield
    while Client.opened:
        Client.opened.pop().close()


def growth(server: Server, before: int) -> int:
    """Bytes of memory that the only worker has gained; it has had time to read all that it will."""
    with server.connect() as asking:
        for _ in range(50):
            assert asking.request(GET).status == 200
    return processes.rss(server.children()[0]) - before


def counts(server: Server) -> tuple[int, int]:
    """How many messages the app has had, and their bytes."""
    with server.connect() as asking:
        messages, size = asking.request(GET).body.split()
    return int(messages), int(size)


def packed(data: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=-15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def flood(client: Client, frame: tuple[int, bytes], most: int, patience: float = 1.0) -> int:
    """Send a frame until the server takes none for so many seconds, at most so many times; returns how often."""
    client.connection.sock.settimeout(patience)
    for sent in range(most):
        try:
            client.send(*frame)
        except TimeoutError:
            return sent
    return most


@pytest.mark.slow
def test_pings_whose_pongs_nobody_reads_use_no_memory_and_the_latest_is_answered(serve: Serve) -> None:
    """RFC 6455 5.5.3: of several pings the last one may be answered alone."""
    # A unix socket holds a few hundred pongs; TCP may take all of them, or lose what comes in between.
    server = serve(serve.source(APP), "--write-timeout", "60s", bind=f"unix:{serve.directory}/s")
    client = Client(server, "/echo").open()
    before = processes.rss(server.children()[0])
    sent = flood(client, (FIN | PING, b"x" * 125), 80_000, patience=20)
    assert sent == 80_000, "the server reads on: a pong that waits costs nothing"
    assert growth(server, before) < 5 * MB, "half of the pongs"
    client.send(FIN | PING, b"last")
    client.connection.sock.settimeout(40)
    pongs = 0
    while client.read().payload != b"last":
        pongs += 1
    assert 0 < pongs < 80_000


@pytest.mark.parametrize("size", [200_000, 16 * MB])
def test_messages_that_the_app_does_not_read_are_bounded_in_bytes(serve: Serve, size: int) -> None:
    """A compressed message of 16 MB is 16 KB on the wire: a count of messages is no bound."""
    server = serve(serve.source(APP), "--ws-per-message-deflate", "on", "--ws-max-queue", "32")
    client = Client(server, "/rest", "Sec-WebSocket-Extensions: permessage-deflate").open()
    before = processes.rss(server.children()[0])
    frame = packed(b"z" * size)
    sent = flood(client, (FIN | RSV1 | BINARY, frame), 64)
    assert growth(server, before) < 60 * MB
    (serve.directory / "go").touch()
    server.wait_for(lambda: counts(server) == (sent, sent * size), "every message")


def test_plain_messages_that_the_app_does_not_read_wait_in_the_sockets(serve: Serve) -> None:
    server = serve(serve.source(APP))
    client = Client(server, "/rest").open()
    before = processes.rss(server.children()[0])
    sent = flood(client, (FIN | TEXT, b"t" * 100_000), 1000)
    assert sent < 1000
    assert growth(server, before) < 20 * MB
    (serve.directory / "go").touch()


def test_paused_client_is_not_given_up_for_pongs_that_are_not_read(serve: Serve) -> None:
    """While the app is busy the client's pongs wait behind its messages: that is not the client's silence."""
    server = serve(serve.source(APP), "--ws-ping-interval", "1s", "--ws-ping-timeout", "1s", "--header-timeout", "4s")
    client = Client(server, "/rest").open()
    sent = flood(client, (FIN | TEXT, b"t" * 100_000), 1000)
    with server.connect() as asking:  # a later deadline than the WebSocket would have had
        asking.send(b"GET / HTTP/1.1\r\nHo")
        assert asking.response().status == 408
    (serve.directory / "go").touch()
    server.wait_for(lambda: counts(server)[0] >= sent, "every message")


def test_message_that_stops_in_the_middle_is_given_up(serve: Serve) -> None:
    server = serve(serve.source(APP), "--read-timeout", "1s", "--ws-ping-interval", "0")
    client = Client(server, "/echo").open()
    client.send(TEXT, b"half a message")  # no FIN
    assert client.read().close == (1008, "a message stopped in the middle")
    server.wait_log("closed with 1008: nothing of a message came for read_timeout")


def test_idle_websocket_between_messages_is_left_alone(serve: Serve) -> None:
    server = serve(serve.source(APP), "--read-timeout", "500ms", "--ws-ping-interval", "0")
    client = Client(server, "/echo").open()
    client.text("one")
    assert client.read().payload == b"one"
    with server.connect() as asking:  # a later deadline than the WebSocket would have had
        asking.send(b"GET / HTTP/1.1\r\nHo")
        assert asking.response().status == 408
    client.text("two")
    assert client.read().payload == b"two"


def test_pong_that_waits_behind_a_full_inbox_is_not_missed(serve: Serve) -> None:
    options = ("--ws-max-queue", "4", "--ws-ping-interval", "1s", "--ws-ping-timeout", "1s")
    server = serve(serve.source(SLOW), *options, "--log-level", "debug")
    with connect(server.url("/").replace("http", "ws")) as socket:
        for number in range(4):
            socket.send(str(number))
        assert socket.recv(10) == "all"
    assert "no answer to a ping" not in server.log
