"""falcon's own behaviours: it reads `wsgi.input` through a bound of its own, and streams by `wsgi.file_wrapper`."""

from __future__ import annotations

import os
from collections.abc import Callable

import httpx
import pytest

from tests.integration.frameworks.conftest import APPS, Client
from tests.integration.helpers import Server

SOURCE = (APPS / "falcon_app.py").read_bytes()


@pytest.fixture(scope="module")
def site(server_of: Callable[..., Server]) -> Server:
    return server_of("falcon_app")


@pytest.fixture
def browser(site: Server, client: Client) -> httpx.Client:
    return client(site)


def test_media(browser: httpx.Client) -> None:
    found = browser.post("/media", json={"a": ["caf\xe9", 1]}).json()
    assert found["media"] == {"a": ["caf\xe9", 1]}
    assert browser.post("/media", content=b"{").status_code == 400


@pytest.mark.parametrize("framing", ["counted", "chunked"])
@pytest.mark.parametrize("size", [0, 10, 1_000_000])
def test_bodies(browser: httpx.Client, framing: str, size: int) -> None:
    data = os.urandom(size)
    assert browser.put("/media", content=data if framing == "counted" else iter([data])).content == data


def test_forms(browser: httpx.Client) -> None:
    files = {"small": ("s", b"abc"), "large": ("l", b"x" * 700_000)}
    assert browser.post("/form", files=files).json() == {"small": 3, "large": 700_000}


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_streams_of_a_known_length(browser: httpx.Client, kind: str) -> None:
    response = browser.get(f"/stream/{kind}")
    assert (response.content, response.headers["Content-Length"]) == (SOURCE, str(len(SOURCE)))
    assert browser.head(f"/stream/{kind}").content == b""


def test_generators(browser: httpx.Client) -> None:
    assert browser.get("/stream/whole").content == b"as far as here"
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        browser.get("/stream/broken")


def test_errors(site: Server, browser: httpx.Client) -> None:
    assert browser.get("/fail", params={"kind": "gone"}).json() == {"title": "No more"}
    assert browser.get("/fail").status_code == 500
    assert browser.get("/nowhere").status_code == 404
    site.wait_log("RuntimeError: on purpose")
