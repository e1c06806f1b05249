"""`hostler daphne --root-path` beside daphne itself."""

from __future__ import annotations

import time
import urllib.error
import urllib.request

import pytest

from tests.integration.helpers import Serve, free_port

PATHS = """
    async def application(scope, receive, send):
        if scope["type"] != "http":
            raise RuntimeError("only HTTP")
        body = f"{scope['root_path']} {scope['path']}".encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})
"""


def fetch(port: int, path: str) -> str:
    """The response, once the server accepts connections."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
                return str(response.read().decode())
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.mark.parametrize("tool", [("-m", "daphne"), ("-m", "hostler", "daphne")])
def test_root_path_leaves_the_path_as_daphne_leaves_it(serve: Serve, tool: tuple[str, ...]) -> None:
    serve.source(PATHS)
    port = free_port()
    line = ["-b", "127.0.0.1", "-p", str(port), "--root-path", "/shop", "app:application"]
    serve(None, *line, bind=[], python=tool, ready=False, env={"PYTHONPATH": str(serve.directory)})
    assert fetch(port, "/cart%20x") == "/shop /cart x"
    assert fetch(port, "/shop/cart") == "/shop /shop/cart"


def test_root_path_is_part_of_the_path_where_nothing_is_said(serve: Serve) -> None:
    server = serve(serve.source(PATHS), "--root-path", "/shop")
    assert fetch(server.port, "/cart") == "/shop /shop/cart"
