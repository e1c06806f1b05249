"""How open responses end: by a drain, by its deadline, and when the client has left."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.integration.helpers import Connection, Serve, Server
from tests.integration.helpers.commands import states, status

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])

APP = """
    import asyncio, os

    HEADS = {
        "/events": [(b"content-type", b"text/event-stream; charset=utf-8")],
        "/lines": [(b"content-type", b"application/x-ndjson")],
        "/counted": [(b"content-length", b"12")],
    }

    def say(*words):
        os.write(1, f"{' '.join(map(str, words))}\\n".encode())  # at once: the other worker writes there too

    async def lifespan(receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        say("lifespan.shutdown")
        await send({"type": "lifespan.shutdown.complete"})

    async def part(send, body, more=True):
        await send({"type": "http.response.body", "body": body, "more_body": more})

    async def application(scope, receive, send):
        if scope["type"] == "lifespan":
            return await lifespan(receive, send)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] != "websocket.disconnect":
                await send({"type": "websocket.send", "text": message["text"]})
            return say("websocket ended", message["code"])
        path, mode = scope["path"], scope["query_string"].decode()
        await receive()
        try:
            if mode == "fresh":
                say("waits")
                await asyncio.sleep(60)
            await send({"type": "http.response.start", "status": 200, "headers": HEADS.get(path, [])})
            await part(send, b"data\\n\\n")
            if mode == "listens":
                say((await receive())["type"])
                return
            if mode == "finishes":
                await asyncio.sleep(0.8)
                return await part(send, b"rest\\n\\n", False)
            if mode == "sends":
                for number in range(20):
                    await asyncio.sleep(0.1)
                    await part(send, b"more\\n\\n")
                say("sent all")
                return await part(send, b"", False)
            say("deaf")
            await asyncio.sleep(60)
        finally:
            say("finally", path)
"""


class Streams:
    """Connections with a request each, closed at the end of a test."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def open(self, server: Server, target: str) -> Connection:
        connection = self._stack.enter_context(server.connect())
        connection.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return connection

    def begun(self, server: Server, target: str) -> Connection:
        """A stream whose first part has come."""
        connection = self.open(server, target)
        connection.read_until(b"data\n\n")
        return connection

    def websocket(self, server: Server) -> ClientConnection:
        return self._stack.enter_context(connect(server.url("/").replace("http", "ws")))


@pytest.fixture
def streams() -> Iterator[Streams]:
    with ExitStack() as stack:
        yield Streams(stack)


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def leaving(server: Server) -> bool | None:
    """Whether some worker has closed its port and serves on."""
    return "draining" in states(server) or None


def spread(server: Server, streams: Streams) -> int:
    """Open streams until each worker has one; returns how many."""
    for count in range(1, 100):
        streams.begun(server, "/events?listens")
        if count > 3 and all(worker["in_flight"] for worker in status(server)["workers"]):
            return count
    raise AssertionError("one worker gets no stream")


# --- A drain ---


@LOOPS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_drain_tells_open_streams_and_then_the_lifespan(
    serve: Serve, streams: Streams, loop: str, number: signal.Signals
) -> None:
    server = serve(serve.source(APP), "--stream-drain", "100ms", "--loop", loop)
    connection = streams.begun(server, "/events?listens")
    server.kill(number)
    rest = connection.read_all()
    assert rest.endswith(b"0\r\n\r\n")  # an event stream is whole wherever it ends
    server.wait_log("lifespan.shutdown")
    said = [
        line for line in server.log.splitlines() if line in ("http.disconnect", "lifespan.shutdown", "finally /events")
    ]
    assert said == ["http.disconnect", "finally /events", "lifespan.shutdown"]
    assert " cut " not in server.log
    assert "Traceback" not in server.log
    assert "ERROR" not in server.log


def test_drain_breaks_a_stream_whose_end_the_client_must_miss(serve: Serve, streams: Streams) -> None:
    server = serve(serve.source(APP), "--stream-drain", "100ms")
    connection = streams.begun(server, "/lines?listens")
    server.kill(signal.SIGTERM)
    assert b"0\r\n\r\n" not in connection.read_all()
    server.wait()
    assert "ERROR" not in server.log


def test_drain_leaves_responses_of_known_length_their_time(serve: Serve, streams: Streams) -> None:
    server = serve(serve.source(APP), "--stream-drain", "0")
    connection = streams.begun(server, "/counted?finishes")
    server.kill(signal.SIGTERM)
    assert connection.read_all() == b"rest\n\n"
    server.wait()
    assert "http.disconnect" not in server.log


@LOOPS
@pytest.mark.parametrize("target", ["/events?deaf", "/events?fresh"])
def test_deadline_of_a_drain_cancels_tasks_and_shuts_the_lifespan_down(
    serve: Serve, streams: Streams, loop: str, target: str
) -> None:
    server = serve(serve.source(APP), "--graceful-timeout", "500ms", "--loop", loop)
    connection = streams.open(server, target)
    server.wait_log("^(deaf|waits)$")
    server.kill(signal.SIGTERM)
    answer = connection.read_all()
    if target.endswith("fresh"):
        assert answer.startswith(b"HTTP/1.1 503 ")
    server.wait()
    order = [server.log.index(text) for text in ("[WARNING] request cut", "finally /events", "lifespan.shutdown")]
    assert order == sorted(order)
    assert "tasks cancelled; graceful_timeout has passed tasks=1" in server.log
    assert "failed in the app" not in server.log
    assert "Traceback" not in server.log


WSGI = """
    import time

    class Body:
        def __init__(self):
            self.count = 0

        def __iter__(self):
            return self

        def __next__(self):
            if self.count:
                time.sleep(0.05)
            self.count += 1
            return b"data\\n\\n"

        def close(self):
            print("closed", flush=True)

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return Body()
"""


@pytest.mark.parametrize("driver", ["threads", "gevent"])
def test_deadline_of_a_drain_closes_wsgi_iterators(serve: Serve, streams: Streams, driver: str) -> None:
    server = serve(serve.source(WSGI), "--graceful-timeout", "500ms", "--driver", driver)
    connection = streams.begun(server, "/")
    server.kill(signal.SIGTERM)
    server.wait()
    assert '[WARNING] request cut request="GET /"' in server.log
    assert "\nclosed\n" in server.log
    connection.close()


# --- A scale-down ---


def test_scale_down_waits_for_streams_and_websockets_and_a_stop_ends_them(serve: Serve, streams: Streams) -> None:
    server = serve(serve.source(APP), "--workers", "2", "--graceful-timeout", "500ms", "--stream-drain", "100ms")
    server.wait_children(2)
    count = spread(server, streams)
    sockets = [streams.websocket(server) for _ in range(8)]
    server.kill(signal.SIGTTOU)
    server.wait_for(lambda: leaving(server), "one worker drains")
    time.sleep(1.5)  # the deadline of a stop would have passed three times
    assert len(server.children()) == 2
    for number, each in enumerate(sockets):
        each.send(str(number))
        assert each.recv(5) == str(number)
    server.kill(signal.SIGTERM)
    server.wait()
    assert server.log.count("\nhttp.disconnect\n") == count
    assert server.log.count("websocket ended 1012") == 8
    assert " cut " not in server.log


def test_reload_ends_what_a_scale_down_left(serve: Serve, streams: Streams) -> None:
    server = serve(serve.source(APP), "--workers", "2", "--graceful-timeout", "500ms", "--stream-drain", "0")
    before = server.wait_children(2)
    count = spread(server, streams)
    server.kill(signal.SIGTTOU)
    server.wait_for(lambda: leaving(server), "one worker drains")
    server.kill(signal.SIGHUP)
    server.wait_children(2, without=before)
    assert server.log.count("\nhttp.disconnect\n") == count


# --- The client leaves ---


@LOOPS
def test_clients_that_leave_idle_streams_leave_no_task(serve: Serve, streams: Streams, loop: str) -> None:
    server = serve(serve.source(APP), "--disconnect-grace", "200ms", "--loop", loop)
    [worker] = server.children()
    before = descriptors(worker)
    connections = [streams.begun(server, "/events?deaf") for _ in range(50)]
    for connection in connections:
        connection.close()
    server.wait_log("^finally /events$", count=50)
    server.wait_for(lambda: descriptors(worker) <= before or None, "their descriptors are closed")
    assert "ERROR" not in server.log
    assert "Traceback" not in server.log


def test_disconnect_grace_zero_lets_tasks_go_on(serve: Serve, streams: Streams) -> None:
    server = serve(serve.source(APP), "--disconnect-grace", "0", "--graceful-timeout", "300ms")
    streams.begun(server, "/events?deaf").close()
    connection = streams.begun(server, "/events?sends")
    assert connection.read_until(b"0\r\n\r\n")  # two seconds later
    server.wait_log("finally /events")
    assert server.log.count("finally /events") == 1


def test_client_that_only_ends_its_sending_gets_the_whole_stream(serve: Serve, streams: Streams) -> None:
    server = serve(serve.source(APP), "--disconnect-grace", "300ms")
    connection = streams.begun(server, "/events?sends")
    connection.sock.shutdown(socket.SHUT_WR)
    assert connection.read_until(b"0\r\n\r\n").count(b"more\n\n") >= 19
    assert "sent all" in server.log


STARLETTE = """
    import asyncio
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import StreamingResponse
    from starlette.routing import Route, WebSocketRoute

    async def events(request):
        async def body():
            try:
                yield b"data\\n\\n"
                await asyncio.sleep(60)
            finally:
                print("finally", flush=True)
        return StreamingResponse(body(), media_type="text/event-stream")

    async def upload(request):
        print("reads", flush=True)
        try:
            await request.body()
        except Exception as error:
            print(f"leaves {type(error).__name__}", flush=True)
            if request.url.query == "chained":
                raise ValueError("while it left")
            raise

    async def socket(websocket):
        await websocket.accept()
        while True:
            await websocket.receive_text()

    routes = [Route("/events", events), Route("/upload", upload, methods=["POST"]), WebSocketRoute("/ws", socket)]
    application = Starlette(routes=routes)
"""


def test_starlette_ends_a_stream_whose_client_left(serve: Serve, streams: Streams) -> None:
    server = serve(serve.source(STARLETTE), "--disconnect-grace", "0")  # it listens for itself
    streams.begun(server, "/events").close()
    server.wait_log("^finally$")
    assert "Traceback" not in server.log


@pytest.mark.parametrize("mode", ["plain", "chained"])
def test_client_disconnect_of_starlette_is_no_failure_of_the_app(serve: Serve, mode: str) -> None:
    server = serve(serve.source(STARLETTE), "--access-log", "-")
    upload_half(server, f"/upload?{mode}")
    server.wait_log("leaves ClientDisconnect")
    server.wait_log(f'"POST /upload.{mode} HTTP/1.1" 499')
    assert "Traceback" not in server.log


CHAINED = """
    from starlette.requests import ClientDisconnect, Request

    async def application(scope, receive, send):
        if scope["type"] == "lifespan":
            raise NotImplementedError
        print("reads", flush=True)
        try:
            await Request(scope, receive).body()
        except ClientDisconnect as left:
            match scope["path"]:
                case "/context":
                    raise ValueError("while it left")
                case "/deep":
                    try:
                        raise KeyError("while it left")
                    except KeyError:
                        raise ValueError("afterwards")
                case "/cause":
                    error = ValueError("because it left")
                    error.__context__ = None
                    raise error from left
                case "/group":
                    raise ExceptionGroup("tasks", [left])
        raise ValueError("a bug of its own")
"""


@pytest.mark.parametrize("path", ["/context", "/deep", "/cause", "/group"])
def test_error_raised_for_a_client_that_left_is_no_failure_of_the_app(serve: Serve, path: str) -> None:
    """Nothing is between the application and the server that would send a 500, and raise an OSError by that."""
    server = serve(serve.source(CHAINED), "--access-log", "-")
    upload_half(server, path)
    server.wait_log(f'"POST {path} HTTP/1.1" 499')
    server.end()
    assert "Traceback" not in server.log


def test_error_of_its_own_is_reported_though_the_client_left(serve: Serve) -> None:
    server = serve(serve.source(CHAINED))
    upload_half(server, "/own")
    server.wait_log("ValueError: a bug of its own")


def upload_half(server: Server, path: str) -> None:
    """Leave in the middle of a body."""
    with server.connect() as connection:
        connection.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf".encode())
        server.wait_log("^reads$")


def test_websocket_disconnect_of_starlette_is_no_failure_of_the_app(serve: Serve) -> None:
    server = serve(serve.source(STARLETTE), "--access-log", "-")
    with connect(server.url("/ws").replace("http", "ws")) as socket:
        socket.send("x")
    server.wait_log('"GET /ws HTTP/1.1" 101')
    server.end()
    assert "Traceback" not in server.log
