"""The event loop in a worker: its lifespan, code that blocks it, requests that take too long, and the end."""

from __future__ import annotations

import select
import signal
import socket
import time

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.integration.helpers import Serve, Server, processes
from tests.integration.helpers.serve import HELLO

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])

APP = """
    import asyncio, os, time

    async def answer(send, body=b"ok", status=200):
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def lifespan(scope, receive, send):
        mode = os.environ.get("MODE", "")
        if mode == "unsupported":
            raise ValueError("no lifespan here")
        if mode == "returns":
            return
        await receive()
        if mode == "fails":
            await send({"type": "lifespan.startup.failed", "message": "no database\\nsecond line"})
            return
        if mode == "raises":
            raise ValueError("a bug in the startup")
        if mode == "hangs":
            print("hanging", flush=True)
            await asyncio.sleep(60)
        scope["state"]["answer"] = 42
        await send({"type": "lifespan.startup.complete"})
        if mode == "dies":
            await asyncio.sleep(0.2)
            raise ValueError("died later")
        await receive()
        print("shutting down", flush=True)
        if mode == "stop-fails":
            await send({"type": "lifespan.shutdown.failed", "message": "could not flush"})
            return
        await asyncio.sleep(0.1)
        print("shut down", flush=True)
        await send({"type": "lifespan.shutdown.complete"})

    async def application(scope, receive, send):
        if scope["type"] == "lifespan":
            return await lifespan(scope, receive, send)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] != "websocket.disconnect":
                await send({"type": "websocket.send", "text": message["text"]})
            print("told", message["code"], flush=True)
            return
        path = scope["path"].removeprefix(scope["root_path"])
        if path == "/block":
            print("blocks", flush=True)
            time.sleep(float(scope["query_string"] or 2))
        if path == "/sleep":
            print("sleeps", flush=True)
            try:
                await asyncio.sleep(float(scope["query_string"] or 5))
            except asyncio.CancelledError:
                print("cancelled", flush=True)
                raise
        if path == "/behind":
            await answer(send)
            await asyncio.sleep(0.5)
            print("done behind", flush=True)
            return
        if path == "/exit":
            asyncio.get_running_loop().call_later(0.01, exit_later)
            return await answer(send)
        await answer(send, str(scope["state"].get("answer")).encode())

    def exit_later():
        raise SystemExit(3)
"""


def get(server: Server, path: str) -> bytes:
    with server.connect() as connection:
        return connection.request(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).body


# --- Lifespan ---


@LOOPS
def test_start_and_end_are_told(serve: Serve, loop: str) -> None:
    server = serve(serve.source(APP), "--lifespan", "on", "--loop", loop)
    assert get(server, "/") == b"42"
    server.end()
    assert "shutting down\nshut down\n" in server.log


@pytest.mark.parametrize("mode", ["unsupported", "returns"])
def test_auto_serves_apps_that_know_no_lifespan(serve: Serve, mode: str) -> None:
    server = serve(serve.source(APP), env={"MODE": mode})
    assert get(server, "/") == b"None"
    assert "ERROR" not in server.log


@pytest.mark.parametrize(
    ("mode", "option", "said"),
    [
        ("fails", "auto", "the application failed to start: no database"),
        ("fails", "on", "the application failed to start: no database"),
        ("raises", "on", "the application failed to start: ValueError: a bug in the startup"),
        ("returns", "on", 'the application ended its lifespan before it said "lifespan.startup.complete"'),
    ],
)
def test_a_failed_start_ends_with_3(serve: Serve, mode: str, option: str, said: str) -> None:
    server = serve(serve.source(APP), "--lifespan", option, env={"MODE": mode}, ready=False)
    assert server.process.wait(20) == 3
    assert said in server.log
    if mode == "raises":
        assert "Traceback" in server.log


def test_off_tells_nothing(serve: Serve) -> None:
    assert get(serve(serve.source(APP), "--lifespan", "off", env={"MODE": "fails"}), "/") == b"None"


def test_a_lifespan_that_dies_or_fails_to_stop_is_reported(serve: Serve) -> None:
    server = serve(serve.source(APP), env={"MODE": "dies"})
    server.wait_log("the lifespan of the application ended with an error while the application was served")
    assert "ValueError: died later" in server.log
    assert get(server, "/") == b"42"
    server = serve(serve.source(APP), env={"MODE": "stop-fails"})
    server.end()
    assert 'lifespan.shutdown failed said="could not flush"' in server.log


def test_a_start_that_hangs_can_be_ended(serve: Serve) -> None:
    server = serve(serve.source(APP), env={"MODE": "hangs"}, ready=False)
    server.wait_log("^hanging$")
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(10)


def test_slow_start_names_its_remedy_and_costs_no_processor(serve: Serve) -> None:
    server = serve(serve.source(APP), env={"MODE": "hangs"}, ready=False)
    server.wait_log("the application has not answered lifespan.startup; waiting_for=6s option=lifespan")
    assert 'lifespan = "off" serves it without' in server.log
    assert "await asyncio.sleep(60)" in server.log  # where it is
    [worker] = server.children()
    before = processes.cpu(worker)
    time.sleep(0.5)
    assert processes.cpu(worker) - before < 0.25
    assert server.log.count("has not answered") == 1


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("", "[DEBUG] lifespan.startup.complete received"),
        ("unsupported", '[DEBUG] lifespan not supported; error="ValueError: no lifespan here"'),
        ("returns", "[DEBUG] lifespan not supported; the application returned"),
        ("raises", 'served without one; error="ValueError: a bug in the startup"'),
    ],
)
def test_debug_log_shows_the_lifespan(serve: Serve, mode: str, said: str) -> None:
    server = serve(serve.source(APP), "--log-level", "debug", env={"MODE": mode})
    assert get(server, "/").startswith((b"None", b"42"))
    assert "[DEBUG] lifespan.startup sent" in server.log
    assert said in server.log
    assert "Traceback" not in server.log


def test_failed_start_says_its_reason_once(serve: Serve) -> None:
    server = serve(serve.source(APP), env={"MODE": "fails"}, ready=False)
    server.process.wait(20)
    assert server.log.count("no database") == 1
    assert "second line" in server.log


CONTEXTS = """
    import contextvars, decimal

    at_import = contextvars.ContextVar("at_import", default="unset")
    in_lifespan = contextvars.ContextVar("in_lifespan", default="unset")
    at_import.set("kept")
    decimal.getcontext().prec = 7

    async def application(scope, receive, send):
        if scope["type"] == "lifespan":
            in_lifespan.set("leaked")
            assert (await receive())["type"] == "lifespan.startup"
            await send({"type": "lifespan.startup.complete"})
            await receive()
            return await send({"type": "lifespan.shutdown.complete"})
        found = f"{at_import.get()} {in_lifespan.get()} {decimal.getcontext().prec}"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": found.encode()})
"""


@pytest.mark.parametrize("options", [[], ["--preload"]])
def test_context_of_the_import_reaches_requests_and_that_of_the_lifespan_does_not(
    serve: Serve, options: list[str]
) -> None:
    assert get(serve(serve.source(CONTEXTS), *options), "/") == b"kept unset 7"


# --- A loop that is blocked ---


@LOOPS
def test_blocking_code_is_shown_and_delays_nothing_native(serve: Serve, loop: str) -> None:
    options = ("--loop", loop, "--loop-lag", "300ms", "--health-path", "/-", "--header-timeout", "500ms")
    server = serve(serve.source(APP), *options)
    with server.connect() as blocked, server.connect() as slow:
        blocked.send(b"GET /block?3 HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_log("^blocks$")
        slow.send(b"GET / HT")
        assert get(server, "/-/livez") == b"live\n"
        assert slow.response().status == 408
        assert select.select([blocked.sock], [], [], 0)[0] == [], "probes and deadlines need no loop"
        assert blocked.response().status == 200
    server.wait_log(r"event loop blocked; .* blocked_for=0\.\d+s")
    assert "time.sleep(float(scope" in server.log
    assert get(server, "/") == b"42"


def test_a_loop_that_never_comes_back_is_replaced(serve: Serve) -> None:
    server = serve(serve.source(APP), "--worker-timeout", "1s", "--graceful-timeout", "1s", "--loop-lag", "200ms")
    with server.connect() as blocked:
        blocked.send(b"GET /block?60 HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_log("its event loop has been blocked for")
        server.wait_for(lambda: answers(server), "the replacement")


def answers(server: Server) -> bool:
    """Whether a new connection is served; the old worker takes some with it."""
    try:
        return get(server, "/") == b"42"
    except (EOFError, OSError):
        return False


@LOOPS
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside threads"])
def test_a_worker_without_work_is_at_rest(serve: Serve, loop: str, beside: bool) -> None:
    """Whatever woke the loop, it must not go on spinning."""
    more = ("--app", f"{serve.source(HELLO, 'plain')}@/plain") if beside else ()
    server = serve(serve.source(APP), "--loop", loop, *more)
    url = server.url("/").replace("http:", "ws:")
    with connect(url, max_size=None) as ws, server.connect() as idle:
        for path in ("/", "/sleep?0.05", "/behind"):
            assert idle.request(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).status == 200
        ws.send("x" * 3_000_000)
        assert len(ws.recv()) == 3_000_000
        server.wait_log("^done behind$")
        (worker,) = processes.children(server.process.pid)
        before, began = processes.cpu(worker), time.monotonic()
        time.sleep(0.8)  # what is measured
        assert processes.cpu(worker) - before < 0.15 * (time.monotonic() - began)


# --- Requests that take long ---


@LOOPS
def test_request_timeout_answers_and_cancels(serve: Serve, loop: str) -> None:
    server = serve(serve.source(APP), "--loop", loop, "--request-timeout", "300ms", "--access-log", "-")
    with server.connect() as connection:
        response = connection.request(b"GET /sleep?30 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (response.status, response.body) == (504, b"request_timeout passed\n")
    server.wait_log("^cancelled$")
    server.wait_log(r"request timed out; .* request=\"GET /sleep\?30\" client=127.0.0.1:\d+ running_for=0\.\d+s")
    assert "await asyncio.sleep(float(scope" in server.log, "where it waited"
    server.wait_log(r'"GET /sleep\?30 HTTP/1.1" 504')
    assert get(server, "/") == b"42"
    assert "failed in the app" not in server.log
    assert "replac" not in server.log, "a task can be ended; a worker need not be"


def test_slow_requests_are_shown(serve: Serve) -> None:
    server = serve(serve.source(APP), "--slow-request", "200ms")
    assert get(server, "/sleep?0.6") == b"42"
    server.wait_log(r"request slow request=\"GET /sleep\?0\.6\" client=\S+ running_for=0\.\d+s")
    assert "await asyncio.sleep(float(scope" in server.log


def test_an_app_cannot_end_the_loop(serve: Serve) -> None:
    server = serve(serve.source(APP))
    get(server, "/exit")
    server.wait_log("a task of the application wanted to end the server, which goes on error=SystemExit")
    assert get(server, "/") == b"42"


# --- The end ---


@LOOPS
def test_a_drain_waits_for_requests_and_what_goes_on_behind_them(serve: Serve, loop: str) -> None:
    server = serve(serve.source(APP), "--loop", loop)
    with server.connect() as running:
        assert get(server, "/behind") == b"ok"
        running.send(b"GET /sleep?0.4 HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_log("^sleeps$")
        server.process.send_signal(signal.SIGTERM)
        response = running.response()
        assert (response.body, response.header("Connection")) == (b"42", "close")
    assert server.process.wait(10) == 0
    assert "done behind" in server.log
    assert server.log.index("done behind") < server.log.index("shut down\n")


def test_what_does_not_end_is_cut_and_named(serve: Serve) -> None:
    server = serve(serve.source(APP), "--graceful-timeout", "500ms")
    with server.connect() as running:
        running.send(b"GET /sleep?30 HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_log("^sleeps$")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
    assert 'request cut request="GET /sleep?30" client=127.0.0.1' in server.log


@LOOPS
def test_websockets_are_told_of_a_restart(serve: Serve, loop: str) -> None:
    server = serve(serve.source(APP), "--loop", loop)
    with connect(server.url("/").replace("http:", "ws:")) as ws:
        ws.send("x")
        assert ws.recv() == "x"
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as end:
            ws.recv(timeout=10)
        assert end.value.rcvd is not None
        assert (end.value.rcvd.code, end.value.rcvd.reason) == (1012, "the server restarts")
    assert server.process.wait(10) == 0
    assert "told 1012" in server.log


def test_a_client_that_ignores_the_close_delays_the_end_by_seconds_only(serve: Serve) -> None:
    server = serve(serve.source(APP))
    with server.connect() as connection:
        fields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        assert connection.request(f"GET / HTTP/1.1\r\nHost: x\r\n{fields}{key}\r\n".encode()).status == 101
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(12) == 0


# --- Beside threads ---


def test_wsgi_and_asgi_share_a_worker(serve: Serve) -> None:
    wsgi = serve.source(HELLO, "plain")
    server = serve(wsgi, "--app", f"{serve.source(APP)}@/live")
    with server.connect() as blocked:
        blocked.send(b"GET /live/block?2 HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_log("^blocks$")
        assert get(server, "/") == b"hello"
        assert select.select([blocked.sock], [], [], 0)[0] == [], "threads do not wait for the loop"
        assert blocked.response().status == 200
    assert get(server, "/live") == b"42"


def test_unix_sockets(serve: Serve) -> None:
    path = serve.directory / "app.sock"
    app = serve.source(
        """
        async def application(scope, receive, send):
            body = repr((scope["server"], scope["client"])).encode()
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": body})
        """
    )
    serve(app, "--lifespan", "off", bind=f"unix:{path}")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        said = b""
        while part := client.recv(4096):
            said += part
    assert said.endswith(f"(('{path}', None), None)".encode())


def test_gevent_runs_no_asgi(serve: Serve) -> None:
    server = serve(serve.source(APP), "--driver", "gevent", ready=False)
    assert server.process.wait(20) == 3
    assert "the gevent driver runs WSGI applications only" in server.log


def test_daphnes_command_line(serve: Serve) -> None:
    app = serve.source(APP)
    server = Server(
        ["-b", "127.0.0.1", "-p", "0", "--proxy-headers", app],
        log_path=serve.directory / "daphne.log",
        cwd=serve.directory,
        python=("-m", "hostler", "daphne"),
    )
    serve.servers.append(server)
    server.wait_ready(1)
    with server.connect() as connection:
        response = connection.request(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (response.body, response.header("Server")) == (b"42", "daphne")
