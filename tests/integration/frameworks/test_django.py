"""Django's own behaviours, through a real server: pages, streams, uploads, files, errors."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.integration.frameworks.conftest import APPS, Client
from tests.integration.helpers import Server

SOURCE = (APPS / "django_site.py").read_bytes()


@pytest.fixture(scope="module")
def site(server_of: Callable[..., Server]) -> Server:
    return server_of("django_site")


@pytest.fixture
def browser(site: Server, client: Client) -> httpx.Client:
    return client(site)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def happened(browser: httpx.Client, name: str) -> int:
    return int(browser.get("/told").json().get(name, 0))


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def test_pages(site: Server, browser: httpx.Client) -> None:
    response = browser.get("/page/caf%C3%A9%2Fau lait", params={"q": "\u20ac 5"})
    assert response.text.startswith(f"GET caf\xe9/au lait \u20ac 5 {site.url('/page/caf%C3%A9/au%20lait?q=')}")
    assert response.headers.get_list("set-cookie") == ["a=1; Path=/", "b=2; Path=/"]
    assert browser.head("/page/x").content == b""
    assert browser.get("/page/y").status_code == 200


def test_each_request_starts_and_finishes_once(browser: httpx.Client) -> None:
    started, finished = happened(browser, "started"), happened(browser, "finished")
    for path in ("/page/x", "/fail/error", "/file", "/zipped"):
        browser.get(path)
        browser.head(path)
    assert happened(browser, "started") == started + 10
    # This very request has started and not finished, as the one had that was asked first.
    assert happened(browser, "finished") == finished + 10


def test_a_stream_arrives_as_it_is_made(site: Server, browser: httpx.Client) -> None:
    with site.connect() as connection:
        connection.send(get("/stream"))
        received = b""
        while b"first\r\n" not in received:
            received += connection.sock.recv(1000)
        assert b"second" not in received
        browser.get("/release")
        while not received.endswith(b"0\r\n\r\n"):
            received += connection.sock.recv(1000)
    assert b"6\r\nsecond\r\n" in received


def test_a_stream_ends_when_its_client_leaves(site: Server, browser: httpx.Client) -> None:
    ended, finished = happened(browser, "endless ended"), happened(browser, "finished")
    with site.connect() as connection:
        connection.send(get("/endless"))
        assert connection.sock.recv(50_000)
    site.wait_for(lambda: happened(browser, "endless ended") == ended + 1, "the end of the stream")
    assert happened(browser, "finished") > finished
    assert "Traceback" not in site.log, "a client that left is not an error"


def test_a_broken_stream_looks_broken(site: Server) -> None:
    with site.connect() as connection:
        connection.send(get("/broken"))
        received = connection.read_all()
    assert received.endswith(b"\r\nas far as here\r\n"), "no last chunk"
    site.wait_log("RuntimeError: the stream broke")


@pytest.mark.parametrize("size", [0, 5, 9_000, 10_001, 3_000_000])
def test_uploads(browser: httpx.Client, size: int) -> None:
    data = os.urandom(size)
    response = browser.post("/upload", files={"file": ("name.bin", data)}, data={"title": "caf\xe9"})
    kind = "InMemoryUploadedFile" if size < 10_000 else "TemporaryUploadedFile"
    assert response.json() == {"fields": {"title": "caf\xe9"}, "files": {"file": [kind, digest(data)]}}


@pytest.mark.parametrize("size", [5, 2_000_000])
def test_an_upload_in_chunks(browser: httpx.Client, size: int) -> None:
    data = b"z" * size
    whole = b'--B\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + data + b"\r\n--B--\r\n"

    def parts() -> Iterator[bytes]:
        for start in range(0, len(whole), 7001):
            yield whole[start : start + 7001]

    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    response = browser.post("/upload", content=parts(), headers=headers)
    assert response.request.headers["Transfer-Encoding"] == "chunked"
    assert response.json()["files"]["file"][1] == digest(data)


@pytest.mark.parametrize("path", ["/body", "/pieces"])
@pytest.mark.parametrize("framing", ["counted", "chunked"])
def test_bodies(browser: httpx.Client, path: str, framing: str) -> None:
    data = os.urandom(90_000)
    content = data if framing == "counted" else iter([data[:1], data[1:50_000], data[50_000:]])
    assert browser.post(path, content=content).text == digest(data)


def test_a_body_that_django_finds_too_large(browser: httpx.Client) -> None:
    assert browser.post("/body", content=b"x" * 100_001).status_code == 400
    assert browser.post("/body", content=b"x").text == digest(b"x"), "the connection lives on"


def test_a_body_that_nobody_reads(browser: httpx.Client) -> None:
    assert browser.post("/page/x", content=b"x" * 1_000_000).status_code == 200
    assert browser.get("/page/y").text.startswith("GET y")


def test_files(browser: httpx.Client) -> None:
    plain = {"Accept-Encoding": "identity"}
    response = browser.get("/file", headers=plain)
    assert response.content == SOURCE
    assert response.headers["Content-Length"] == str(len(SOURCE))
    assert "django_site.py" in response.headers["Content-Disposition"]
    assert browser.get("/large").content == browser.get("/large", headers=plain).content == SOURCE * 200
    head = browser.head("/large", headers=plain)
    assert (head.content, head.headers["Content-Length"]) == (b"", str(len(SOURCE) * 200))


def test_middleware(browser: httpx.Client) -> None:
    first = browser.get("/zipped")
    assert first.headers["Content-Encoding"] == "gzip"
    assert first.text == "so long that it pays to compress it. " * 100
    again = browser.get("/zipped", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert browser.get("/page/z").text.startswith("GET z"), "nothing of a body was left behind"


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/fail/error", 500, "Server Error (500)"),
        ("/fail/missing", 404, "Not Found"),
        ("/fail/odd", 400, "Bad Request (400)"),
        ("/nowhere", 404, "Not Found"),
    ],
)
def test_djangos_own_error_pages(browser: httpx.Client, path: str, status: int, text: str) -> None:
    response = browser.get(path)
    assert (response.status_code, text in response.text) == (status, True)
    assert browser.get("/page/x").status_code == 200


def test_a_host_that_is_not_allowed(browser: httpx.Client) -> None:
    assert browser.get("/page/x", headers={"Host": "evil.example"}).status_code == 400
