"""What an ASGI app holds for a client is let go of when the client has left, without the garbage collector."""

from __future__ import annotations

import pytest
from websockets.sync.client import connect

from tests.integration.helpers import Serve

APP = """
    import asyncio, gc, os

    gc.disable()

    async def parts():
        try:
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0.01)
        finally:
            os.write(1, b"the generator has ended\\n")

    async def stream(send, message):
        source = parts()
        try:
            async for part in source:
                await send(message(part))
        except OSError as error:
            kept = error  # in a circle with its own frame, as in __aexit__ of anyio and contextlib
            try:
                raise LookupError("no client") from kept
            except LookupError as chained:
                again = chained
                raise

    async def application(scope, receive, send):
        if scope["type"] == "lifespan":
            raise NotImplementedError
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            await stream(send, lambda part: {"type": "websocket.send", "bytes": part})
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await stream(send, lambda part: {"type": "http.response.body", "body": part, "more_body": True})
"""


LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


@LOOPS
def test_generator_of_a_stream_ends_with_its_client(serve: Serve, loop: str) -> None:
    server = serve(serve.source(APP), "--loop", loop)
    with server.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.read_until(b"xxx")
    server.wait_log("the generator has ended")
    assert "Traceback" not in server.log


@LOOPS
def test_generator_of_a_websocket_ends_with_its_client(serve: Serve, loop: str) -> None:
    server = serve(serve.source(APP), "--loop", loop)
    with connect(server.url("/").replace("http:", "ws:")) as websocket:
        websocket.recv(timeout=10)
    server.wait_log("the generator has ended")
    assert "Traceback" not in server.log
