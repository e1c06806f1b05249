"""The connection scope (ASGI HTTP & WebSocket specification 2.5, "HTTP Connection Scope")."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.asgi.conftest import ServerOf, ask, get
from tests.integration.helpers import Server


def scope(server: Server, target: str, *fields: str, version: str = "1.1") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(get(server, target, *fields, version=version).body)
    return found


def test_every_key_of_the_specification_and_no_other(server: Server) -> None:
    """HTTP Connection Scope."""
    found = scope(server, "/scope?a=%20b")
    assert found["asgi"] == {"version": "3.0", "spec_version": "2.3"}
    assert (found["type"], found["http_version"], found["method"], found["scheme"]) == ("http", "1.1", "GET", "http")
    assert (found["path"], found["raw_path"], found["query_string"]) == ("/scope", "/scope", "a=%20b")
    assert (found["root_path"], found["state"]["count"]) == ("", 0)
    assert set(found["extensions"]) == {"http.response.trailers", "http.response.early_hint"}
    assert set(found) == {
        "type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "query_string", "root_path",
        "headers", "client", "server", "state", "extensions",
    }  # fmt: skip


def test_ports_are_numbers(server: Server) -> None:
    """HTTP Connection Scope: client and server are [str, int]."""
    found = scope(server, "/scope")
    host, port = found["server"]["tuple"]
    assert (host, port) == ("127.0.0.1", server.port)
    host, port = found["client"]["tuple"]
    assert host == "127.0.0.1"
    assert isinstance(port, int)


@pytest.mark.parametrize(
    ("target", "path", "raw_path"),
    [
        ("/a%20b/%C3%BC?x", "/a b/ü", "/a%20b/%C3%BC"),
        ("/%FF", "/�", "/%FF"),
        ("/100%", "/100%", "/100%"),
        # A raw byte beyond ASCII means what its escape means, and reaches the app.
        ("/\xc3\xbc/%C3%BC", "/ü/ü", "/\xc3\xbc/%C3%BC"),
        ("/caf\xe9", "/caf�", "/caf\xe9"),
        ("http://other/\xff", "/�", "/\xff"),
        ("/a//b/../c", "/a//b/../c", "/a//b/../c"),
        ("http://other:81/p?q", "/p", "/p"),
    ],
)
def test_paths(server: Server, target: str, path: str, raw_path: str) -> None:
    """HTTP Connection Scope: path is decoded UTF-8, raw_path the bytes without the query."""
    found = scope(server, target)
    assert (found["path"], found["raw_path"]) == (path, raw_path)


def test_a_raw_byte_of_the_query_string_is_passed_on(server: Server) -> None:
    """HTTP Connection Scope, query_string."""
    assert scope(server, "/scope?q=\xe9%E9")["query_string"] == "q=\xe9%E9"


def test_headers_keep_order_and_repetition_in_lower_case(server: Server) -> None:
    """HTTP Connection Scope, headers."""
    headers = scope(server, "/scope", "X-B: 1", "X-a: 2", "X-B: \xfc")["headers"]
    assert [pair["tuple"] for pair in headers] == [["host", "x"], ["x-b", "1"], ["x-a", "2"], ["x-b", "\xfc"]]


def test_the_authority_of_an_absolute_target_is_the_host(server: Server) -> None:
    """RFC 9112 3.2.2."""
    headers = scope(server, "http://other:81/scope")["headers"]
    assert [pair["tuple"] for pair in headers] == [["host", "other:81"]]


def test_http_1_0_has_no_extensions(server: Server) -> None:
    """Trailers and interim responses are none of HTTP/1.0."""
    found = scope(server, "/scope", version="1.0")
    assert (found["http_version"], found["extensions"]) == ("1.0", {})


@pytest.mark.parametrize("method", ["PrOp", "-X", "!", "get", "M" * 32])
def test_methods_are_as_sent(server: Server, method: str) -> None:
    """HTTP Connection Scope: method; methods have a case, and any token is one (RFC 9110 9.1)."""
    found = json.loads(get(server, "/scope", method=method).body)
    assert found["method"] == method


def test_a_later_minor_version_is_served_as_http_1_1(server: Server) -> None:
    """RFC 9110 2.5."""
    assert scope(server, "/scope", version="1.2")["http_version"] == "1.1"


def test_root_path_stands_in_front(asgi_server: ServerOf) -> None:
    """HTTP Connection Scope, root_path: path includes it (asgiref 424)."""
    found = scope(asgi_server("requests", "--root-path", "/api"), "/scope/%41")
    assert (found["root_path"], found["path"], found["raw_path"]) == ("/api", "/api/scope/A", "/api/scope/%41")


def test_dicts_belong_to_one_request(server: Server) -> None:
    """Middleware may change a scope: the next one must not see it."""
    with server.connect() as connection:
        first = json.loads(connection.request(ask("/state")).body)
        second = json.loads(connection.request(ask("/state")).body)
    assert (first["count"], second["count"]) == (1, 1)
    assert len(second["shared"]) == len(first["shared"]) + 1, "the copy is shallow"


HOST = ["X-Forwarded-Host: shop.example", "X-Forwarded-Port: 8443"]


@pytest.mark.parametrize(
    ("option", "fields", "client", "scheme", "host", "port"),
    [
        ("on", ["X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https"], "192.0.2.7", "https", "x", None),
        ("on", ["X-Forwarded-For: 6.6.6.6, 192.0.2.7"], "192.0.2.7", "http", "x", None),
        ("on", ["X-Forwarded-For: 192.0.2.7", "Forwarded: for=6.6.6.6;proto=https"], "192.0.2.7", "http", "x", None),
        ("on", HOST, None, "http", "x", None),
        ("all", HOST, None, "http", "shop.example", 8443),
        ("forwarded", ["Forwarded: for=192.0.2.7;proto=https;host=a.example"], "192.0.2.7", "https", "a.example", None),
        ("forwarded", ["X-Forwarded-For: 6.6.6.6", *HOST], None, "http", "x", None),
    ],
)
def test_trusted_proxies_are_heard(
    asgi_server: ServerOf,
    option: str,
    fields: list[str],
    client: str | None,
    scheme: str,
    host: str,
    port: int | None,
) -> None:
    """RFC 7239, and the X-Forwarded fields before it: one family, since a proxy passes the other on."""
    server = asgi_server("requests", "--proxy-headers", option)
    found = scope(server, "/scope", *fields)
    assert found["client"]["tuple"][0] == (client or "127.0.0.1")
    assert found["scheme"] == scheme
    assert found["headers"][0]["tuple"] == ["host", host]
    assert found["server"]["tuple"][1] == (port or server.port)


@pytest.mark.parametrize("options", [["--no-proxy-headers"], ["--forwarded-allow-ips", "10.0.0.0/8"]])
def test_others_are_not(asgi_server: ServerOf, options: list[str]) -> None:
    found = scope(asgi_server("requests", *options), "/scope", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https")
    assert (found["client"]["tuple"][0], found["scheme"]) == ("127.0.0.1", "http")
