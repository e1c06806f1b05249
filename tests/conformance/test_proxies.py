"""What a trusted proxy says, in the environ: REMOTE_ADDR, wsgi.url_scheme, HTTP_HOST and SERVER_PORT."""

from __future__ import annotations

import pytest

from tests.integration.helpers import Serve

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
