"""An application runs the event loop inside a step of itself, and the server serves other requests in it."""

from __future__ import annotations

import pytest

from tests.integration.helpers import Serve

APP = """
    import asyncio, sys
    import nest_asyncio

    if "{when}" == "import":
        nest_asyncio.apply()
    released = asyncio.Event()

    async def answer(send, body):
        await send({{"type": "http.response.start", "status": 200, "headers": []}})
        await send({{"type": "http.response.body", "body": body}})

    async def waits():
        await released.wait()
        return b"released"

    async def application(scope, receive, send):
        if scope["type"] == "lifespan":
            raise NotImplementedError
        loop = asyncio.get_running_loop()
        if scope["path"] == "/release":
            released.set()
            return await answer(send, b"ok")
        if scope["path"] == "/later":
            await asyncio.sleep(0.01)  # no longer the first step, which runs inside the server's callback
        nest_asyncio.apply(loop)
        print("waits", flush=True)
        await answer(send, loop.run_until_complete(waits()))
"""


@pytest.mark.parametrize("when", ["import", "request"])
@pytest.mark.parametrize("path", ["/first", "/later"])
def test_loop_run_inside_a_request_serves_other_requests(serve: Serve, when: str, path: str) -> None:
    server = serve(serve.source(APP.format(when=when)), "--loop", "asyncio")
    with server.connect() as connection:
        connection.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        server.wait_log("^waits$")
        for _ in range(2):
            with server.connect() as other:
                assert other.request(b"GET /release HTTP/1.1\r\nHost: x\r\n\r\n").body == b"ok"
        assert connection.response().body == b"released"
    assert "Traceback" not in server.log
    assert "cannot enter context" not in server.log
