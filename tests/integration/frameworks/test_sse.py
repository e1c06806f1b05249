"""sse-starlette: streams that end in order when the server reloads or stops, and when their client leaves."""

from __future__ import annotations

import signal

import pytest

from tests.integration.frameworks.conftest import APPS, Client, stop_in_order
from tests.integration.helpers import Connection, Serve, Server
from tests.integration.helpers.chromium import Chromium, needs_chromium

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


def listen(server: Server, path: str) -> Connection:
    """A client that has had the first event."""
    connection = server.connect()
    connection.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n".encode())
    connection.read_until(b"data: ")
    return connection


@LOOPS
def test_finite_event_stream_is_answered_whole_by_any_method(serve: Serve, client: Client, loop: str) -> None:
    server = serve("sse_app:application", "--loop", loop, cwd=APPS)
    browser = client(server)
    for method in ("GET", "POST"):
        response = browser.request(method, "/finite")
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert response.text == "data: 0\r\n\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n"
    assert browser.head("/finite").status_code == 200
    stop_in_order(server)


@needs_chromium
def test_browser_misses_no_event_through_a_reload(serve: Serve, chromium: Chromium) -> None:
    server = serve("sse_app:application", "--stream-drain", "300ms", cwd=APPS)
    chromium.open(server.url("/"))
    chromium.wait("seen.length > 5")
    server.kill(signal.SIGHUP)
    chromium.wait("workers.length == 2 && seen.length > 30")
    seen = chromium.evaluate("seen.join()")
    assert seen == ",".join(map(str, range(1, seen.count(",") + 2)))
    server.wait_log("reloaded workers=")
    server.wait_log("the lifespan has ended")
    stop_in_order(server)
    assert server.log.count("numbers have ended") == 2
    assert server.log.count("the lifespan has ended") == 2


@LOOPS
@pytest.mark.parametrize("path", ["/numbers", "/silent", "/silent?ping=0"])
def test_open_stream_ends_whole_and_before_the_lifespan_at_a_stop(serve: Serve, loop: str, path: str) -> None:
    server = serve("sse_app:application", "--loop", loop, "--stream-drain", "100ms", cwd=APPS)
    with listen(server, path) as connection:
        server.kill(signal.SIGTERM)
        assert connection.read_all().endswith(b"\r\n0\r\n\r\n")
    stop_in_order(server, is_told=True)
    ends = [line for line in server.log.splitlines() if line.endswith(("have ended", "has ended"))]
    assert ends[1:] == ["the lifespan has ended"]
    assert len(ends) == 2


@LOOPS
@pytest.mark.parametrize("path", ["/numbers", "/silent", "/silent?ping=0"])
def test_stream_ends_when_its_client_leaves(serve: Serve, loop: str, path: str) -> None:
    server = serve("sse_app:application", "--loop", loop, cwd=APPS)
    with listen(server, path):
        pass
    with listen(server, path) as connection:
        connection.reset()
    server.wait_log("have ended|silence has ended", count=2)
    stop_in_order(server)
