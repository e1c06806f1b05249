"""Werkzeug's own behaviours: stream limits, mounts, static files, and its lint middleware as a second validator."""

from __future__ import annotations

import os
from collections.abc import Callable

import httpx
import pytest

from tests.integration.frameworks.conftest import APPS, Client
from tests.integration.helpers import Server


@pytest.fixture(scope="module")
def site(server_of: Callable[..., Server]) -> Server:
    return server_of("werkzeug_app")


@pytest.fixture
def browser(site: Server, client: Client) -> httpx.Client:
    return client(site)


def test_its_test_app_knows_the_server(browser: httpx.Client) -> None:
    response = browser.get("/")
    assert response.status_code == 200
    assert "wsgi.input_terminated" in response.text


@pytest.mark.parametrize("framing", ["counted", "chunked"])
@pytest.mark.parametrize("size", [0, 10, 400_000])
def test_bodies(browser: httpx.Client, framing: str, size: int) -> None:
    data = os.urandom(size)
    assert browser.post("/echo", content=data if framing == "counted" else iter([data])).content == data


@pytest.mark.parametrize("framing", ["counted", "chunked"])
def test_its_own_limit(browser: httpx.Client, framing: str) -> None:
    data = b"x" * 500_001
    assert browser.post("/echo", content=data if framing == "counted" else iter([data])).status_code == 413
    assert browser.post("/echo", content=b"next").content == b"next"


def test_lines_become_a_stream(browser: httpx.Client) -> None:
    assert browser.post("/parts", content=b"one\ntwo\n\nthree" * 1000).content == b"ONE\nTWO\n\nTHREE" * 1000


def test_mounts(browser: httpx.Client) -> None:
    response = browser.get("/deep/mount/caf%C3%A9")
    assert response.headers["X-Mount"] == "/deep/mount"
    assert response.headers["X-Path"] == "/caf\xe9"


def test_static_files(browser: httpx.Client) -> None:
    whole = browser.get("/static/werkzeug_app.py")
    assert whole.content == (APPS / "werkzeug_app.py").read_bytes()
    assert browser.get("/static/werkzeug_app.py", headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_lint_has_nothing_to_say(site: Server, browser: httpx.Client, method: str) -> None:
    assert browser.request(method, "/lint").status_code == 200
    assert "Warning" not in site.log


def test_errors(site: Server, browser: httpx.Client) -> None:
    assert browser.get("/fail").status_code == 500
    site.wait_log(r"GET /fail(.|\n)*RuntimeError: on purpose")
    assert browser.post("/echo", content=b"next").content == b"next"
