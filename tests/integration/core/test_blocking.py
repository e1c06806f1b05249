"""One blocked thread blocks nothing else: accepting, reading, time-outs, refusals, other requests."""

from __future__ import annotations

import contextlib
import time

from tests.integration.helpers import Serve
from tests.integration.helpers.apps import HOLD

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HELD = b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n"
SELF = """
    import urllib.request

    def application(environ, start_response):
        depth = int(environ["QUERY_STRING"] or 0)
        url = f"http://127.0.0.1:{environ['SERVER_PORT']}/?{depth - 1}"
        inner = urllib.request.urlopen(url, timeout=10).read() if depth else b""
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"." + inner]
"""


def test_the_only_thread_is_blocked_and_the_rest_goes_on(serve: Serve) -> None:
    server = serve(serve.source(HOLD), "--threads", "1", "--header-timeout", "0.5", "--queue-size", "1")
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(server.connect())
        held.send(HELD)
        server.wait_for(lambda: (serve.directory / "held").exists(), "the held request")
        waiting = stack.enter_context(server.connect())
        waiting.send(GET)
        half = stack.enter_context(server.connect())
        assert half.request(GET[:10]).status == 408, "accepted, read and timed out"
        bad = stack.enter_context(server.connect())
        assert bad.request(b"nonsense\r\n\r\n").status == 400
        more = stack.enter_context(server.connect())
        assert more.request(GET).status == 503, "the queue holds one"
        (serve.directory / "go").touch()
        assert (held.response().status, waiting.response().status) == (200, 200)


def test_seven_of_eight_threads_are_blocked_and_the_eighth_is_quick(serve: Serve) -> None:
    server = serve(serve.source(HOLD), "--threads", "8")
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(server.connect()) for _ in range(7)]
        for count, connection in enumerate(held, 1):
            connection.send(HELD)
            marks = serve.directory / "held"
            server.wait_for(lambda: marks.exists() and marks.stat().st_size >= count, f"{count} held")  # noqa: B023
        free = stack.enter_context(server.connect())
        began = time.monotonic()
        for _ in range(200):
            assert free.request(GET).status == 200
        assert time.monotonic() - began < 2, "a request needs no time slice of the blocked ones"
        (serve.directory / "go").touch()
        assert {connection.response().status for connection in held} == {200}


def test_an_app_that_calls_its_own_server(serve: Serve) -> None:
    server = serve(serve.source(SELF), "--threads", "8")
    with server.connect() as connection:
        assert connection.request(b"GET /?7 HTTP/1.1\r\nHost: x\r\n\r\n").body == b"." * 8


def test_a_request_in_a_batch_does_not_wait_for_the_blocked_one_before_it(serve: Serve) -> None:
    server = serve(serve.source(HOLD), "--threads", "4")
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(20)]
        connections[0].send(HELD)
        for connection in connections[1:]:
            connection.send(GET)
        assert {connection.response().status for connection in connections[1:]} == {200}
        (serve.directory / "go").touch()
        assert connections[0].response().status == 200
