"""Handshakes for WebSockets in WSGI applications, which a library completes on the raw socket (RFC 6455 4.2)."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import ServerOf
from tests.integration.helpers import Server

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = (KEY, "Sec-WebSocket-Version: 13", "Upgrade: websocket", "Connection: Upgrade")


@pytest.fixture(scope="module")
def server(server_of: ServerOf) -> Server:
    return server_of("upgrades", "--access-log", "-")


def ask(path: str, *fields: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *fields, "", ""]).encode()


def test_an_app_takes_the_socket_of_a_handshake(server: Server) -> None:
    with server.connect() as connection:
        assert connection.request(ask("/take", *HANDSHAKE)).status == 101
        assert connection.read_all() == b"raw"


@pytest.mark.parametrize(
    "fields",
    [
        ("Connection: keep-alive", *HANDSHAKE),
        (*HANDSHAKE, "Connection: keep-alive", "Upgrade: h2c"),
        ("Upgrade: h2c", *HANDSHAKE),
    ],
)
def test_several_lines_of_connection_and_upgrade_make_a_handshake(server: Server, fields: tuple[str, ...]) -> None:
    """RFC 9110 5.3: they are one list."""
    with server.connect() as connection:
        assert connection.request(ask("/take", *fields)).status == 101


@pytest.mark.parametrize(
    ("fields", "behind", "fault"),
    [
        (("Content-Length: 4",), b"body", "a WebSocket handshake with a body"),
        (("Transfer-Encoding: chunked",), b"4\r\nbody\r\n0\r\n\r\n", "a WebSocket handshake with a body"),
        ((KEY,), b"", "more than one Sec-WebSocket-Key"),
        (("Sec-WebSocket-Version: 13",), b"", "more than one Sec-WebSocket-Version"),
    ],
)
@pytest.mark.parametrize("cut", [0, 5, -6, -1])
def test_an_ambiguous_handshake_is_refused_however_it_is_cut(
    server: Server, fields: tuple[str, ...], behind: bytes, fault: str, cut: int
) -> None:
    message = ask("/take", *HANDSHAKE, *fields) + behind
    before = server.log.count(fault)
    with server.connect() as connection:
        connection.send(message[:cut])
        response = connection.request(message[cut:])
        assert (response.status, response.body.decode()) == (400, f"{fault}\n")
        assert connection.is_closed()
    server.wait_for(lambda: server.log.count(fault) > before, fault)


def test_other_requests_may_have_a_body_and_repeat_what_they_like(server: Server) -> None:
    with server.connect() as connection:
        for fields in ((*HANDSHAKE[:3], KEY), (*HANDSHAKE[:2], HANDSHAKE[3], KEY)):
            message = ask("/plain", *fields, "Content-Length: 4") + b"body"
            assert connection.request(message).body == b"body"
