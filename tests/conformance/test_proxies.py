"""What a trusted proxy says, in the environ: REMOTE_ADDR, wsgi.url_scheme, HTTP_HOST and SERVER_PORT."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.integration.helpers import Connection, Serve

APP = """
    def application(environ, start_response):
        names = ("REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST", "SERVER_PORT")
        body = " ".join(environ[name] for name in names).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
"""
USUAL = "X-Forwarded-For: 6.6.6.6, 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"
MORE = "X-Forwarded-Host: shop.example\r\nX-Forwarded-Port: 8443\r\n"


@pytest.mark.parametrize(
    ("options", "fields", "seen"),
    [
        ((), USUAL + MORE, "192.0.2.7 https x PORT"),
        ((), "", "127.0.0.1 http x PORT"),
        (("--proxy-headers", "all"), USUAL + MORE, "192.0.2.7 https shop.example 8443"),
        (("--proxy-headers", "scheme"), USUAL + MORE, "127.0.0.1 https x PORT"),
        (("--proxy-headers", "off"), USUAL + MORE, "127.0.0.1 http x PORT"),
        (("--forwarded-allow-ips", "10.0.0.0/8"), USUAL + MORE, "127.0.0.1 http x PORT"),
        (
            ("--proxy-headers", "forwarded"),
            'Forwarded: for="[2001:db8::1]";proto=https\r\n',
            "2001:db8::1 https x PORT",
        ),
    ],
)
def test_wsgi_sees_the_client_behind_a_trusted_proxy(
    serve: Serve, options: tuple[str, ...], fields: str, seen: str
) -> None:
    server = serve(serve.source(APP), "--access-log", "-", *options)
    with server.connect() as connection:
        body = connection.request(f"GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode()).body.decode()
    assert body == seen.replace("PORT", str(server.port))
    server.wait_log(rf"^{seen.split()[0]} - - \[")


V1 = b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([192, 0, 2, 7, 127, 0, 0, 1, 0x12, 0x67, 0, 80])
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("mode", "header", "client"),
    [("on", V1, "192.0.2.7"), ("v1", V1, "192.0.2.7"), ("v2", V2, "192.0.2.7"), ("on", LOCAL, "127.0.0.1")],
)
def test_proxy_protocol(serve: Serve, mode: str, header: bytes, client: str) -> None:
    """The PROXY protocol, sections 2.1 and 2.2; once for each connection, in whatever pieces."""
    server = serve(serve.source(APP), "--proxy-protocol", mode, "--access-log", "-")
    with server.connect() as connection:
        for piece in (header[:5], header[5:], REQUEST[:9]):
            connection.send(piece)
        assert connection.request(REQUEST[9:]).body.decode().split()[0] == client
        assert connection.request(REQUEST).body.decode().split()[0] == client
    server.wait_log(rf"^{client} - - \[", count=2)
    with server.connect() as connection:
        assert connection.request(header + REQUEST).body.decode().split()[0] == client


@pytest.mark.parametrize(
    ("options", "sent", "status"),
    [
        (("--proxy-protocol", "on"), REQUEST, 400),
        (("--proxy-protocol", "v2"), V1 + REQUEST, 400),
        (("--proxy-protocol", "on", "--proxy-allow-ips", "10.0.0.0/8"), V1 + REQUEST, 403),
        ((), V1 + REQUEST, 400),
    ],
)
def test_proxy_protocol_is_not_guessed(serve: Serve, options: tuple[str, ...], sent: bytes, status: int) -> None:
    server = serve(serve.source(APP), *options)
    with server.connect() as connection:
        assert connection.request(sent).status == status


def test_proxy_protocol_and_probes(serve: Serve) -> None:
    server = serve(serve.source(APP), "--proxy-protocol", "on", "--admin-bind", "127.0.0.1:0")
    [said] = server.wait_log(r"probes are answered url=http://127.0.0.1:\d+")
    with server.connect() as connection:
        assert connection.request(V1 + REQUEST).status == 200
    with Connection(socket.create_connection(("127.0.0.1", int(said.rpartition(":")[2])), timeout=10)) as connection:
        assert connection.request(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").status == 200


def test_silence_after_the_proxy_header_is_timed_out(serve: Serve) -> None:
    server = serve(serve.source(APP), "--proxy-protocol", "on", "--header-timeout", "200ms")
    for sent in (V1[:12], V1, V1 + REQUEST[:5]):
        with server.connect() as connection:
            assert connection.request(sent).status == 408


FORWARDED = b"GET / HTTP/1.1\r\nHost: x\r\n" + USUAL.encode() + b"\r\n"


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "unix"])
@pytest.mark.parametrize(
    ("header", "trusted", "seen"),
    [
        (V1, "127.0.0.1", "192.0.2.7 http"),
        (V2, "127.0.0.1", "192.0.2.7 http"),
        (V1, "192.0.2.7,6.6.6.6", "6.6.6.6 https"),
        (LOCAL, "127.0.0.1,192.0.2.7", "6.6.6.6 https"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1,192.0.2.7", "6.6.6.6 https"),
    ],
)
def test_fields_behind_a_proxy_header_count_only_from_a_trusted_source(
    serve: Serve, tmp_path: Path, bind: str, header: bytes, trusted: str, seen: str
) -> None:
    """A TCP proxy passes on what its client writes: that the proxy is trusted says nothing about that."""
    address = f"unix:{tmp_path}/a.sock" if bind == "unix" else bind
    options = ("--proxy-protocol", "on", "--forwarded-allow-ips", trusted, "--access-log", "-")
    server = serve(serve.source(APP), *options, bind=address)
    with server.connect() as connection:
        for sent in (header + FORWARDED, FORWARDED):
            assert connection.request(sent).body.decode().split()[:2] == seen.split()
    server.wait_log(rf"^{seen.split()[0]} - - \[", count=2)


def test_asgi_sees_the_source_of_a_proxy_header_and_not_what_it_claims(serve: Serve) -> None:
    app = """
        async def application(scope, receive, send):
            body = f"{scope['client'][0]} {scope['scheme']}".encode()
            headers = [(b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})
    """
    server = serve(serve.source(app), "--proxy-protocol", "on", "--lifespan", "off")
    with server.connect() as connection:
        assert connection.request(V1 + FORWARDED).body == b"192.0.2.7 http"


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_answers_that_no_app_gave_are_logged_with_the_client_that_the_proxy_names(serve: Serve, kind: str) -> None:
    """Refused and timed-out requests too; the path of the latter as in any other line."""
    apps = {
        "wsgi": """
            import time
            def application(environ, start_response):
                time.sleep(2)
        """,
        "asgi": """
            import asyncio
            async def application(scope, receive, send):
                await asyncio.sleep(60)
        """,
    }
    options: tuple[str, ...] = ("--limit-request-body", "10", "--request-timeout", "300ms", "--slow-request", "100ms")
    options += ("--lifespan", "off") if kind == "asgi" else ()
    server = serve(serve.source(apps[kind]), "--access-log", "-", *options)
    for line, status in (("POST /large", 413), ("GET /caf\xe9", 504)):
        with server.connect() as connection:
            head = f"{line} HTTP/1.1\r\nHost: x\r\n{USUAL}"
            length = "Content-Length: 11\r\n" if status == 413 else ""
            assert connection.request(f"{head}{length}\r\n".encode("latin-1")).status == status
    server.wait_log(r'^192\.0\.2\.7 - - \[.*"POST /large HTTP/1\.1" 413')
    server.wait_log(r"413 to 192\.0\.2\.7:0: the body is larger")
    server.wait_log(r'^192\.0\.2\.7 - - \[.*"GET /caf\\xe9 HTTP/1\.1" 504')
    server.wait_log(r"request slow request=\"GET /caf\\\\xe9\" client=192\.0\.2\.7:0 ")
