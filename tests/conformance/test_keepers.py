"""What an app keeps of a request, or uses from another thread, does no harm to the next one."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import ServerOf
from tests.integration.helpers import Connection, Server

BODY = b"POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n%s"


@pytest.fixture
def server(server_of: ServerOf) -> Server:
    """One thread, so that each request meets what the last one left."""
    return server_of("keepers", "--threads", "1")


def ask(connection: Connection, name: str) -> bytes:
    response = connection.request(f"GET /{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert response.status == 200
    return response.body


def test_a_thread_that_awaits_the_body_outlives_its_request(server_of: ServerOf) -> None:
    server = server_of("keepers", "--threads", "2")  # Of two threads one may await a body.
    head = b"POST /reads_beside HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    with server.connect() as connection:
        assert connection.request(head).status == 100
        response = connection.response()
        assert (response.body, response.header("Connection")) == (b"not waited", "close")
        assert connection.is_closed()
    with server.connect() as other:
        server.wait_for(lambda: b"the request is over" in ask(other, "tells"), "the reading thread's end")


def test_a_kept_body_stays_what_it_was(server: Server) -> None:
    with server.connect() as connection:
        for body in (b"first", b"secon", b"third"):
            assert connection.request(BODY % (b"keeps_input", body)).body == b"kept"
        assert ask(connection, "reads_kept") == b"first secon third"


def test_a_kept_start_response_is_dead(server: Server) -> None:
    with server.connect() as connection:
        assert ask(connection, "keeps_start") == b"kept"
        assert ask(connection, "uses_start") == b"right"
        told = ask(connection, "tells")
    assert b"start_response was called after its request had ended" in told
    assert b"write was called after its request had ended" in told


def test_write_works_from_other_threads(server: Server) -> None:
    with server.connect() as connection:
        assert ask(connection, "writes_beside") == b"".join(b"%d " % number for number in range(10)) + b"end"
