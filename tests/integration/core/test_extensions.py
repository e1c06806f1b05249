"""Extensions that are announced to every application, and the one that has to be asked for."""

from __future__ import annotations

import pytest

from tests.integration.helpers import Serve

# As many middlewares for compression do, this one knows start and body, and drops the rest.
APP = """
    import gzip
    from starlette.responses import FileResponse

    async def files(scope, receive, send):
        if scope["type"] == "http":
            await FileResponse(__file__)(scope, receive, send)

    async def application(scope, receive, send):
        start = None
        async def compress(message):
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
            elif message["type"] == "http.response.body":
                start["headers"] = [pair for pair in start["headers"] if pair[0] != b"content-length"]
                start["headers"].append((b"content-encoding", b"gzip"))
                await send(start)
                await send({"type": "http.response.body", "body": gzip.compress(message["body"])})
        await files(scope, receive, compress)
"""


def test_file_behind_a_middleware_that_knows_no_extension_arrives(serve: Serve) -> None:
    server = serve(serve.source(APP))
    with server.connect() as connection:
        response = connection.request(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (response.status, response.header("Content-Encoding")) == (200, "gzip")


@pytest.mark.parametrize("option", ["on", "off"])
def test_lost_response_names_the_extension_that_was_announced(serve: Serve, option: str) -> None:
    text = APP if option == "on" else "async def application(scope, receive, send):\n        return\n"
    server = serve(serve.source(text), f"--pathsend={option}")
    with server.connect() as connection:
        assert connection.request(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").status == 500
    server.wait_log("the app returned without sending a response")
    assert ("set pathsend = off" in server.log) is (option == "on")
