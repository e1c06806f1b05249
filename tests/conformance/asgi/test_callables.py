"""`receive` and `send` are what a server in Python hands out: coroutine functions."""

from __future__ import annotations

import json

import pytest

from tests.conformance.asgi.conftest import ServerOf, get
from tests.conformance.asgi.frames import Client
from tests.integration.helpers import Server

# Name, signature; coroutine functions for inspect and for asgiref; weak references work.
EXPECTED = [["receive", "()", True, True, True], ["send", "(message, /)", True, True, True]]


def test_receive_and_send_of_a_request_are_coroutine_functions(server: Server) -> None:
    """Applications: "awaitable callables"; asgiref, Channels and decorators ask which kind they are."""
    assert json.loads(get(server, "/callables").body) == EXPECTED


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_receive_and_send_of_a_websocket_are_coroutine_functions(asgi_server: ServerOf, loop: str) -> None:
    server = asgi_server("sockets", "--loop", loop, "--ws-max-size", "1M", "--ws-max-frame-size", "200K")
    client = Client(server, "/callables").open()
    assert json.loads(client.read().payload) == EXPECTED
    client.close()
