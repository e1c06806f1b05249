"""What waits in a leaving worker goes to one that stays, or is refused at once; nothing ends without a word."""

from __future__ import annotations

import signal
import time

import pytest

from tests.integration.helpers import Connection, Serve, Server, crowd
from tests.integration.helpers.apps import HOLD

# /block stands still for 30 s, in a thread or on the loop; everything else says which worker ran it.
ASGI = """
    import os
    import time

    async def application(scope, receive, send):
        if scope["type"] != "http":
            return
        if scope["path"] == "/block":
            open("held", "a").write("x")
            while not os.path.exists("go"):
                time.sleep(0.005)
        body, more = b"", True
        while more:
            event = await receive()
            body, more = body + event.get("body", b""), event.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d %d" % (os.getpid(), len(body))})
"""
KINDS = {
    "GET": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "close": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "chunked": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "long": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n" + b"x" * 400_000,
    "Expect": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
}


def hold(serve: Serve, server: Server, connection: Connection, path: bytes = b"/hold") -> None:
    """Have the only thread stand still."""
    connection.send(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path)
    server.wait_for((serve.directory / "held").exists, "a request that holds its thread")


def run_by(connection: Connection) -> int:
    """The worker that has run the request; sends the body when that is asked for."""
    response = connection.response()
    if response.status == 100:
        connection.send(b"hi")
        response = connection.response()
    assert response.status == 200, response
    return int(response.body.split()[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["reload", "request_timeout", "max_requests"])
def test_queue_of_a_replaced_worker_goes_to_its_successor(serve: Serve, kind: str, how: str) -> None:
    options = ["--threads", "1", "--graceful-timeout", "20s"]
    options += {
        "reload": [],
        "request_timeout": ["--request-timeout", "500ms"],
        "max_requests": ["--max-requests", "1"],
    }[how]
    server = serve(serve.source(HOLD), *options)
    [old] = server.children()
    with crowd(server, 6) as waiting, server.connect() as blocked:
        if how == "max_requests":
            assert blocked.request(KINDS["GET"]).status == 200
            server.wait_log("max_requests=")
        hold(serve, server, blocked)
        began = time.monotonic()
        for connection in waiting:
            connection.send(KINDS[kind])
        if how == "reload":
            server.kill(signal.SIGHUP)
        try:
            assert old not in [run_by(connection) for connection in waiting]
        finally:
            (serve.directory / "go").touch()
        assert time.monotonic() - began < 10, "long before the old worker's end"
    assert "503 to" not in server.log


@pytest.mark.parametrize("kind", KINDS)
def test_queue_behind_a_blocked_event_loop_goes_to_the_successor(serve: Serve, kind: str) -> None:
    server = serve(serve.source(ASGI), "--graceful-timeout", "20s", "--loop-lag", "0")
    [old] = server.children()
    with crowd(server, 6) as waiting, server.connect() as blocked:
        hold(serve, server, blocked, b"/block")
        for connection in waiting:
            connection.send(KINDS[kind])
        server.kill(signal.SIGHUP)
        try:
            assert old not in [run_by(connection) for connection in waiting]
        finally:
            (serve.directory / "go").touch()


def test_request_that_cannot_go_is_refused_at_once_and_said(serve: Serve) -> None:
    """A chunked body that is half here cannot be read on elsewhere; the loop that has it does not come back."""
    server = serve(serve.source(ASGI), "--graceful-timeout", "20s", "--loop-lag", "0", "--queue-timeout", "20s")
    with server.connect() as asking, server.connect() as blocked:
        hold(serve, server, blocked, b"/block")
        asking.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        began = time.monotonic()
        server.kill(signal.SIGHUP)
        response = asking.response()
        assert (response.status, response.header("Connection")) == (503, "close")
        assert time.monotonic() - began < 10
        server.wait_log("503 to .*: this worker is replaced")
        (serve.directory / "go").touch()


@pytest.mark.parametrize("app", ["threads", "asyncio"])
def test_requests_that_a_stop_leaves_are_refused_and_said(serve: Serve, app: str) -> None:
    """Nobody is there to take them: at the end of graceful_timeout each gets its 503, also one that is half sent."""
    source, path = {"threads": (HOLD, b"/hold"), "asyncio": (ASGI, b"/block")}[app]
    server = serve(serve.source(source), "--threads", "1", "--graceful-timeout", "1s", "--loop-lag", "0")
    with crowd(server, 3) as waiting, server.connect() as half, server.connect() as blocked:
        hold(serve, server, blocked, path)
        for connection in waiting:
            connection.send(KINDS["GET"])
        half.send(b"GET / HTTP/1.1\r\nHo")
        server.kill(signal.SIGTERM)
        answers = [connection.response() for connection in [*waiting, half]]
        assert [answer.status for answer in answers] == [503] * 4
        assert all(answer.header("Retry-After") for answer in answers)
        assert server.wait() == 0
    assert server.log.count("503 to") == 4
    assert f'request cut request="GET {path.decode()}"' in server.log


def test_successors_queue_is_bounded(serve: Serve) -> None:
    """What was accepted is not dropped on the way: the successor refuses in its own words what is too much for it."""
    server = serve(serve.source(HOLD), "--threads", "1", "--queue-size", "8", "--graceful-timeout", "20s")
    with crowd(server, 8) as waiting, server.connect() as blocked:
        hold(serve, server, blocked)
        for connection in waiting:
            connection.send(KINDS["GET"])
        server.kill(signal.SIGHUP)
        assert [connection.response().status for connection in waiting] == [200] * 8
        (serve.directory / "go").touch()
