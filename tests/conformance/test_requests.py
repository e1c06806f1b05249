"""What a client sends, and what reaches the app: environ and `wsgi.input` (PEP 3333)."""

from __future__ import annotations

import json
import random
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.apps.requests import expected
from tests.conformance.conftest import ServerOf
from tests.integration.helpers import Serve, Server

BODY_MEMORY = 1000


@pytest.fixture(scope="module")
def server(server_of: ServerOf) -> Server:
    return server_of("requests", "--body-memory", str(BODY_MEMORY))


def environ(server: Server, request: bytes) -> dict[str, Any]:
    with server.connect() as connection:
        response = connection.request(request)
    assert response.status == 200, response
    return dict(json.loads(response.body))


def request(target: str, *lines: str, version: str = "1.1", host: str = "x") -> bytes:
    return "\r\n".join([f"GET {target} HTTP/{version}", f"Host: {host}", *lines, "", ""]).encode("latin-1")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["plain", "streamed", "pushed"])
def test_wsgiref_finds_nothing_to_complain_of(server: Server, path: str, method: str, version: str) -> None:
    body = b"abcdef" if method in ("POST", "PUT") else b""
    head = f"{method} /valid/{path}?q HTTP/{version}\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    with server.connect() as connection:
        response = connection.request(head.encode() + body, head=method == "HEAD")
    assert (response.status, response.body) == (200, b"" if method == "HEAD" else b"valid"), server.log


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/a/b?c=d&e", "/a/b", "c=d&e"),
        ("/a%2Fb%20c", "/a/b c", ""),
        ("/%E2%82%AC", "/\xe2\x82\xac", ""),
        ("/a%zz%4", "/a%zz%4", ""),
        # A raw byte beyond ASCII means what its escape means, and reaches the app.
        ("/\xe2\x82\xac?\xe2\x82\xac", "/\xe2\x82\xac", "\xe2\x82\xac"),
        ("/caf\xe9/%E9?q=\xe9%E9", "/caf\xe9/\xe9", "q=\xe9%E9"),
        ("http://other/\xff%FF?\x80", "/\xff\xff", "\x80"),
        ("/a?b=%41", "/a", "b=%41"),
        ("//double", "//double", ""),
        ("/a;b?c?d", "/a;b", "c?d"),
        ("http://other:81/abs?q", "/abs", "q"),
        ("http://other", "/", ""),
    ],
)
def test_targets(server: Server, target: str, path: str, query: str) -> None:
    found = environ(server, request(target))
    assert (found["PATH_INFO"], found["QUERY_STRING"], found["SCRIPT_NAME"]) == (path, query, "")
    assert found["RAW_URI"] == found["REQUEST_URI"] == target
    assert found["HTTP_HOST"] == ("x" if target[0] == "/" else target.split("/")[2])


def test_options_of_the_whole_server(server: Server) -> None:
    assert environ(server, b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")["PATH_INFO"] == "*"


def test_header_lines(server: Server) -> None:
    found = environ(
        server,
        request(
            "/",
            "X-One: a",
            "x-one: b",
            "Cookie: a=1",
            "Cookie: b=2",
            "X_Forwarded_For: evil",
            "Content_Length: 5",
            "Proxy: http://evil",
            "X-Latin: caf\xe9",
            "X-Empty:",
            "X-Rare-Name-That-Nobody-Has: 1",
            "X-Rare-Name-That-Nobody-Has: 2",
            "Content-Type: text/x",
        ),
    )
    assert found["HTTP_X_ONE"] == "a,b"
    assert found["HTTP_COOKIE"] == "a=1; b=2"
    assert found["HTTP_X_LATIN"] == "caf\xe9"
    assert found["HTTP_X_EMPTY"] == ""
    assert found["HTTP_X_RARE_NAME_THAT_NOBODY_HAS"] == "1,2"
    assert found["CONTENT_TYPE"] == "text/x"
    absent = ("HTTP_X_FORWARDED_FOR", "HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH", "HTTP_PROXY", "CONTENT_LENGTH")
    assert not [key for key in absent if key in found]


def test_many_rare_names_stay_right(server: Server) -> None:
    for turn in range(3):
        lines = [f"X-Name-{turn}-{index}: {index}" for index in range(80)]
        found = environ(server, request("/", *lines))
        assert all(found[f"HTTP_X_NAME_{turn}_{index}"] == str(index) for index in range(80))


def test_who_asks_and_who_answers(server: Server) -> None:
    with server.connect() as connection:
        address, port = connection.sock.getsockname()
        connection.send(request("/"))
        found = json.loads(connection.response().body)
    assert (found["REMOTE_ADDR"], found["REMOTE_PORT"]) == (address, str(port))
    assert (found["SERVER_NAME"], found["SERVER_PORT"]) == ("127.0.0.1", str(server.port))
    assert found["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert found["wsgi.url_scheme"] == "http"
    assert found["wsgi.input_terminated"] is True
    assert found["wsgi.run_once"] is False
    assert environ(server, request("/", version="1.0"))["SERVER_PROTOCOL"] == "HTTP/1.0"


@pytest.mark.parametrize("minor", [2, 9])
def test_a_later_minor_version_is_served_as_http_1_1(server: Server, minor: int) -> None:
    with server.connect() as connection:
        for _ in range(2):
            response = connection.request(request("/", version=f"1.{minor}"))
            assert json.loads(response.body)["SERVER_PROTOCOL"] == "HTTP/1.1"
            assert response.version == "HTTP/1.1"


@pytest.mark.parametrize("method", ["-X", "!", "get", "head", "M" * 32])
def test_any_token_is_a_method_in_the_environ(server: Server, method: str) -> None:
    with server.connect() as connection:
        response = connection.request(f"{method} /a HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert json.loads(response.body)["REQUEST_METHOD"] == method


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        (("--threads", "1"), (False, False)),
        (("--threads", "2"), (True, False)),
        (("--threads", "1", "--workers", "2"), (False, True)),
    ],
)
def test_the_server_tells_the_truth_about_itself(
    server_of: ServerOf, options: tuple[str, ...], facts: tuple[bool, bool]
) -> None:
    found = environ(server_of("requests", *options), request("/"))
    assert (found["wsgi.multithread"], found["wsgi.multiprocess"]) == facts


def test_other_listeners(serve: Serve, tmp_path: Path) -> None:
    apps = Path(__file__).parent / "apps"
    path = tmp_path / "a.sock"
    server = serve("requests:application", bind=[f"unix:{path}", "[::1]:0"], cwd=apps)
    sockets = {type(address): index for index, address in enumerate(server.addresses)}
    with server.connect(sockets[str]) as connection:
        found = json.loads(connection.request(request("/")).body)
        assert found["REMOTE_ADDR"] == ""
        assert isinstance(found["SERVER_PORT"], str)
    with server.connect(sockets[tuple]) as connection:
        found = json.loads(connection.request(request("/")).body)
        assert found["REMOTE_ADDR"] == "::1"
        assert found["SERVER_NAME"] == "::1"


def counted(target: str, body: bytes, *lines: str) -> bytes:
    head = [f"POST {target} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode() + body


def chunked(target: str, body: bytes, size: int) -> bytes:
    head = f"POST {target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return head + b"".join(b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\nX-Trailer: t\r\n\r\n"


BODIES = [
    b"",
    b"one line",
    b"\n",
    b"a\nbc\r\n\n\ndef",
    bytes(range(256)) * 3,
    b"line of text\n" * 70,
    b"a longer line of text, above what is kept in memory\n" * 400,
    bytes(range(256)) * 300 + b"\n",
]


@pytest.mark.parametrize("framing", ["counted", "chunked"])
@pytest.mark.parametrize("number", range(len(BODIES)))
def test_reading_is_like_reading_a_file(server: Server, number: int, framing: str) -> None:
    rng = random.Random(number)
    body = BODIES[number]
    with server.connect() as connection:
        for _ in range(40):
            words = [rng.choice("rlLin") for _ in range(rng.randrange(1, 6))]
            sizes = ["", "0", "1", "7", "300", "9000", "-1"]
            ops = ",".join(word + (rng.choice(sizes) if word in "rlL" else "") for word in words)
            target = f"/read?{ops}"
            message = counted(target, body) if framing == "counted" else chunked(target, body, rng.randrange(1, 5000))
            response = connection.request(message)
            assert response.body == expected(body, ops), ops


def test_a_chunked_body_has_a_length_for_the_app(server: Server) -> None:
    with server.connect() as connection:
        found = json.loads(connection.request(chunked("/", b"x" * 5000, 300)).body)
    assert found["CONTENT_LENGTH"] == "5000"
    assert "HTTP_TRANSFER_ENCODING" not in found


def test_100_continue_when_the_app_reads(server: Server) -> None:
    with server.connect() as connection:
        head = b"POST /read?r HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n"
        assert connection.request(head).status == 100
        response = connection.request(b"y" * 5000)
        assert response.body == expected(b"y" * 5000, "r")
        assert connection.request(counted("/read?r", b"next")).body == expected(b"next", "r")


def test_no_100_when_the_app_does_not_read(server: Server) -> None:
    with server.connect() as connection:
        head = b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        response = connection.request(head)
        assert (response.status, response.header("Connection")) == (401, "close")
        assert connection.is_closed()


def test_no_100_when_the_body_is_there_already(server: Server) -> None:
    with server.connect() as connection:
        assert connection.request(counted("/read?r", b"here", "Expect: 100-continue")).status == 200


def test_no_100_for_http_1_0(server: Server) -> None:
    with server.connect() as connection:
        connection.send(b"POST /read?r HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert connection.request(b"ab").status == 200


def test_a_client_that_leaves_while_its_body_is_awaited(server: Server) -> None:
    with server.connect() as connection:
        head = b"POST /read?r HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n"
        assert connection.request(head).status == 100
        connection.sock.shutdown(socket.SHUT_RDWR)
    server.wait_log("the request body cannot be read: the client closed its side before it sent the body")


def test_large_bodies_go_to_a_file_that_has_no_name(serve: Serve, tmp_path: Path) -> None:
    apps = Path(__file__).parent / "apps"
    spool = tmp_path / "spool"
    spool.mkdir()
    server = serve("requests:application", "--body-memory", "1K", "--temp-dir", str(spool), cwd=apps)
    body = b"z" * 3_000_000
    with server.connect() as connection:
        message = counted("/read?r", body)
        connection.send(message[:2_000_000])
        [worker] = server.children()
        fds = Path(f"/proc/{worker}/fd")
        server.wait_for(lambda: any(str(spool) in str(fd.readlink()) for fd in fds.iterdir()), "a file in the spool")
        assert list(spool.iterdir()) == [], "no name, so nothing to clean"
        assert connection.request(message[2_000_000:]).body == expected(body, "r")
