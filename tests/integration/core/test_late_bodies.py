"""Bodies on demand (`Expect: 100-continue`): every state of {what has come} × {asked before} × {head out} × {client}.

The table stands in rust/native/src/core/late.rs; here each cell is reached by real bytes, with WSGI threads and ASGI.
"""

from __future__ import annotations

import socket

import pytest

from hostler.control import client as control
from tests.integration.helpers import Connection, Serve, Server

BODY = b"0123456789" * 50
HEAD = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\nExpect: 100-continue\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

# /WORDS: "out" sends the head and a part of the response first, "wait" waits for the file "go" before the first read,
# "twice" reads again behind an error. The response is what was read, or "error".
WSGI = """
    import os
    import time

    def read(environ):
        try:
            return environ["wsgi.input"].read()
        except OSError:
            return b"error"

    def application(environ, start_response):
        words = environ["PATH_INFO"][1:].split("-")
        headers = [("Content-Type", "text/plain")]
        if "counted" in words:
            headers.append(("Content-Length", "505"))
        write = start_response("200 OK", headers)
        if "out" in words:
            write(b"early")
        open("held", "w").close()
        while "wait" in words and not os.path.exists("go"):
            time.sleep(0.005)
        found = read(environ)
        if "twice" in words:
            found += read(environ)
        return [found]
"""
ASGI = """
    import asyncio
    import os

    async def read(receive):
        body, more = b"", True
        while more:
            event = await receive()
            if event["type"] == "http.disconnect":
                return b"error"
            body, more = body + event.get("body", b""), event.get("more_body", False)
        return body

    async def application(scope, receive, send):
        if scope["type"] != "http":
            return
        words = scope["path"][1:].split("-")
        headers = [(b"content-type", b"text/plain")]
        if "counted" in words:
            headers.append((b"content-length", b"505"))
        if "out" in words:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"early", "more_body": True})
        open("held", "w").close()
        while "wait" in words and not os.path.exists("go"):
            await asyncio.sleep(0.005)
        found = await read(receive)
        if "twice" in words:
            found += await read(receive)
        if "out" not in words:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": found})
"""

DRIVERS = {
    "threads": (WSGI, ("--threads", "4")),
    "auto": (WSGI, ()),
    "asyncio": (ASGI, ()),
}


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def is_asgi(driver: str) -> bool:
    return driver == "asyncio"


@pytest.fixture
def server(driver: str, serve: Serve) -> Server:
    app, options = DRIVERS[driver]
    return serve(serve.source(app), *options, "--body-timeout", "1s", "--min-rate", "1K")


def go(serve: Serve, server: Server) -> None:
    """The app runs; let it read."""
    server.wait_for((serve.directory / "held").exists, "a running request")
    (serve.directory / "go").touch()


def has_failed(data: bytes, is_asgi: bool) -> bool:
    """Whether the app could not read its body. After http.disconnect nothing that an ASGI app sends is heard."""
    return BODY not in data if is_asgi else b"error" in data


def everything(connection: Connection) -> bytes:
    try:
        return connection.read_all()
    except ConnectionResetError:
        return b"reset"


@pytest.mark.parametrize("out", [False, True])
@pytest.mark.parametrize("came", ["nothing", "part", "whole"])
@pytest.mark.parametrize("client", ["there", "half-closed"])
def test_first_read_finds_what_has_come(
    serve: Serve, server: Server, is_asgi: bool, came: str, out: bool, client: str
) -> None:
    """Before the app reads, the client has sent nothing, part of the body or all of it, and goes on sending or not."""
    path = b"/wait-out" if out else b"/wait"
    with server.connect() as connection:
        connection.send(HEAD % path)
        server.wait_for((serve.directory / "held").exists, "a running request")
        sent = {"nothing": b"", "part": BODY[:200], "whole": BODY}[came]
        connection.send(sent)
        if client == "half-closed":
            connection.sock.shutdown(socket.SHUT_WR)
        go(serve, server)
        if client == "there" and came == "part":
            connection.send(BODY[200:])
        if client == "there" and came == "nothing" and not out:
            assert connection.response().status == 100
            connection.send(BODY)
        data = everything(connection) if client == "half-closed" or out else b""
        if data or client == "half-closed" or out:
            is_whole = came == "whole" or (came == "part" and client == "there")
            assert CONTINUE not in data, "nothing is said behind the head, nor to a client that sends already"
            assert data.count(b"HTTP/1.1 200") == (is_whole or out or not is_asgi)
            assert (BODY in data) == is_whole
            assert has_failed(data, is_asgi) == (not is_whole)
        else:
            response = connection.response()
            assert (response.status, response.body) == (200, BODY)


@pytest.mark.parametrize("came", [0, 200, 500])
def test_client_that_is_gone_before_the_first_read_costs_no_fault(serve: Serve, server: Server, came: int) -> None:
    with server.connect() as connection:
        connection.send(HEAD % b"/wait")
        server.wait_for((serve.directory / "held").exists, "a running request")
        connection.send(BODY[:came])
        connection.reset()
    go(serve, server)
    with server.connect() as connection:
        assert connection.request(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi").body == b"hi"
    assert "fault of hostler" not in server.log


@pytest.mark.parametrize("malformed", [b"", b"zz"])
@pytest.mark.parametrize("out", [False, True])
def test_read_that_failed_fails_again(serve: Serve, server: Server, is_asgi: bool, malformed: bytes, out: bool) -> None:
    """The body stops in the middle; what is read afterwards is the same error, not the rest."""
    with server.connect() as connection:
        connection.send(HEAD % (b"/twice-out" if out else b"/twice"))
        server.wait_for((serve.directory / "held").exists, "a running request")
        if not out:
            assert connection.response().status == 100
        connection.send(BODY[:100] + malformed)
        connection.sock.shutdown(socket.SHUT_WR)
        data = everything(connection)
    assert has_failed(data, is_asgi)
    assert is_asgi or b"errorerror" in data
    assert CONTINUE not in data


def test_counted_response_holds_no_interim_head(serve: Serve, server: Server) -> None:
    """Within Content-Length "100 Continue" would be taken for a part of the body."""
    with server.connect() as connection:
        connection.send(HEAD % b"/out-counted")
        connection.send(BODY)
        response = connection.response()
    assert (response.status, response.body) == (200, b"early" + BODY)


def test_body_that_comes_before_it_is_asked_for_keeps_the_connection(serve: Serve, server: Server) -> None:
    """curl sends its body a second after the head when no 100 comes."""
    with server.connect() as connection:
        connection.send(HEAD % b"/wait")
        server.wait_for((serve.directory / "held").exists, "a running request")
        connection.send(BODY)
        go(serve, server)
        first = connection.response()
        assert (first.status, first.body) == (200, BODY)
        assert connection.request(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi").body == b"hi"


def test_body_on_demand_waits_in_the_queue_behind_a_slow_request(serve: Serve) -> None:
    """A queue that is long enough for the client to send unasked."""
    server = serve(serve.source(WSGI), "--threads", "2", "--queue-timeout", "20s")
    with server.connect() as first, server.connect() as second, server.connect() as third:
        for slow in (first, second):
            slow.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_for((serve.directory / "held").exists, "a running request")
        third.send(HEAD % b"/")
        third.send(BODY)
        go(serve, server)
        assert third.response().body == BODY
        assert (first.response().status, second.response().status) == (200, 200)


def test_few_threads_wait_for_bodies_however_many_clients_are_slow(serve: Serve) -> None:
    """Beyond four the client is told to send at once, and the body is read before a thread is given to it."""
    server = serve(serve.source(WSGI), "--threads", "16", "--read-timeout", "20s", "--body-timeout", "20s")
    connections = [server.connect() for _ in range(40)]
    try:
        for connection in connections:
            connection.send(HEAD % b"/")
            assert connection.response().status == 100
            connection.send(BODY[:10])
        with server.connect() as asking:
            assert asking.request(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").status == 200

        def is_small() -> bool:
            """The request that was just answered counts for a moment still."""
            [worker] = control.ask(control.find(None, server.pid), "status")["workers"]
            return bool(worker["in_flight"] <= 4)

        server.wait_for(is_small, "at most four requests in threads")
        for connection in connections:
            connection.send(BODY[10:])
        assert all(connection.response().body == BODY for connection in connections)
    finally:
        for connection in connections:
            connection.close()
