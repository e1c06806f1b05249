"""Flask's own behaviours, through a real server: JSON, streams, uploads, files, errors."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

import httpx
import pytest

from tests.integration.frameworks.conftest import APPS, Client
from tests.integration.helpers import Server

SOURCE = (APPS / "flask_app.py").read_bytes()


@pytest.fixture(scope="module")
def site(server_of: Callable[..., Server]) -> Server:
    return server_of("flask_app")


@pytest.fixture
def browser(site: Server, client: Client) -> httpx.Client:
    return client(site)


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_requests_arrive_whole(site: Server, browser: httpx.Client, method: str) -> None:
    json = None if method == "GET" else {"name": "caf\xe9"}
    found = browser.request(method, "/json/a%20b/\u20ac", params={"q": "\u20ac"}, json=json).json()
    assert (found["method"], found["path"], found["args"]) == (method, "a b/\u20ac", {"q": "\u20ac"})
    assert (found["json"], found["client"]) == (json, "127.0.0.1")
    assert found["url"] == site.url("/json/a%20b/\u20ac?q=\u20ac")


def test_a_stream_arrives_as_it_is_made(site: Server, browser: httpx.Client) -> None:
    with site.connect() as connection:
        connection.send(get("/stream?last=second"))
        received = b""
        while b"first\r\n" not in received:
            received += connection.sock.recv(1000)
        assert b"second" not in received
        browser.get("/release")
        while not received.endswith(b"0\r\n\r\n"):
            received += connection.sock.recv(1000)
    assert b"6\r\nsecond\r\n" in received


def test_a_stream_is_closed_when_its_client_leaves(site: Server, browser: httpx.Client) -> None:
    with site.connect() as connection:
        connection.send(get("/endless"))
        assert connection.sock.recv(50_000)
    site.wait_for(lambda: browser.get("/ended").json(), "the end of the stream")
    assert browser.get("/ended").json() == ["endless"]


def test_a_broken_stream_looks_broken(site: Server) -> None:
    with site.connect() as connection:
        connection.send(get("/broken"))
        assert connection.read_all().endswith(b"\r\nas far as here\r\n"), "no last chunk"
    site.wait_log("RuntimeError: the stream broke")


@pytest.mark.parametrize("size", [0, 5, 600_000, 1_900_000])
def test_uploads(browser: httpx.Client, size: int) -> None:
    data = os.urandom(size)
    files = {"one": ("1.bin", data), "two": ("2.bin", b"second")}
    response = browser.post("/upload", files=files, data={"title": "caf\xe9"})
    digests = {"one": hashlib.sha256(data).hexdigest(), "two": hashlib.sha256(b"second").hexdigest()}
    assert response.json() == {"fields": {"title": "caf\xe9"}, "files": digests}


@pytest.mark.parametrize("framing", ["counted", "chunked"])
def test_a_body_goes_out_while_it_is_read(browser: httpx.Client, framing: str) -> None:
    data = os.urandom(1_000_000)
    content = data if framing == "counted" else iter([data[:10], data[10:600_000], data[600_000:]])
    assert browser.post("/echo", content=content).content == data


@pytest.mark.parametrize("framing", ["counted", "chunked"])
def test_a_body_that_flask_finds_too_large(browser: httpx.Client, framing: str) -> None:
    data = b"x" * 2_000_001
    assert browser.post("/upload", content=data if framing == "counted" else iter([data])).status_code == 413
    assert browser.get("/json/x").status_code == 200


def test_sessions(browser: httpx.Client) -> None:
    assert [browser.get("/count").text for _ in range(3)] == ["1", "2", "3"]


def test_files_and_ranges(browser: httpx.Client) -> None:
    whole = browser.get("/file")
    assert (whole.content, whole.headers["Content-Length"]) == (SOURCE, str(len(SOURCE)))
    part = browser.get("/file", headers={"Range": "bytes=100-299"})
    assert (part.status_code, part.content) == (206, SOURCE[100:300])
    assert browser.get("/file", headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    assert browser.head("/file").headers["Content-Length"] == str(len(SOURCE))
    assert browser.get("/empty").status_code == 204
    assert browser.get("/file").content == SOURCE, "nothing of a body was left behind"


def test_errors(site: Server, browser: httpx.Client) -> None:
    assert "Internal Server Error" in browser.get("/fail").text
    assert browser.get("/teapot").status_code == 418
    assert browser.get("/nowhere").status_code == 404
    assert browser.post("/file").status_code == 405
    site.wait_log("RuntimeError: on purpose")
