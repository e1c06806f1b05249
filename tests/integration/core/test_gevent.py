"""The gevent driver: an app that is monkey-patched runs in greenlets, one for each request."""

from __future__ import annotations

import select
import time
from collections.abc import Callable

import pytest

from tests.integration.helpers import Serve, Server, crowd

pytest.importorskip("gevent")

APP = """
    import http.client
    import threading
    import time

    closed = []

    class Body:
        def __init__(self, parts):
            self.parts = parts

        def __iter__(self):
            return self.parts

        def close(self):
            closed.append(1)

    def burning_view(seconds):
        print("burns", flush=True)
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            sum(range(100))

    def waiting_view(seconds):
        time.sleep(seconds)

    def application(environ, start_response):
        path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
        body = b"ok"
        if path == "/sleep":
            waiting_view(float(query))
        elif path == "/burn":
            burning_view(float(query))
        elif path == "/call" and query != "0":
            connection = http.client.HTTPConnection("127.0.0.1", int(environ["SERVER_PORT"]), timeout=10)
            connection.request("GET", "/call?%d" % (int(query) - 1))
            body = connection.getresponse().read()
            connection.close()
        elif path == "/echo":
            body = environ["wsgi.input"].read()
        elif path == "/greenlet":
            import gevent
            body = type(gevent.getcurrent()).__name__.encode() + b" " + threading.current_thread().name.encode()
        elif path == "/stream":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return Body(b"x" * 65536 for _ in range(int(query)))
        elif path == "/closed":
            body = str(len(closed)).encode()
        elif path == "/fail":
            raise RuntimeError("meant")
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
"""


def get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def ask(server: Server, target: str) -> str:
    with server.connect(timeout=20) as connection:
        return connection.request(get(target)).body.decode()


@pytest.fixture
def start(serve: Serve) -> Callable[..., Server]:
    target = serve.source(APP)
    return lambda *options: serve(target, "--driver", "gevent", *options)


def test_each_request_is_a_greenlet_of_its_own(start: Callable[..., Server]) -> None:
    server = start()
    assert "up to 256 greenlets" in server.log
    names = {ask(server, "/greenlet") for _ in range(3)}
    assert all(name.startswith("Greenlet ") for name in names)


def test_requests_that_wait_do_so_together(start: Callable[..., Server]) -> None:
    server = start()
    with crowd(server, 100) as connections:
        began = time.monotonic()
        for connection in connections:
            connection.send(get("/sleep?0.5"))
        assert all(connection.response().body == b"ok" for connection in connections)
        assert time.monotonic() - began < 3


def test_greenlets_are_bounded(start: Callable[..., Server]) -> None:
    server = start("--max-threads", "2")
    with crowd(server, 6) as connections:
        began = time.monotonic()
        for connection in connections:
            connection.send(get("/sleep?0.2"))
        assert all(connection.response().body == b"ok" for connection in connections)
        assert time.monotonic() - began >= 0.6


def test_bodies_errors_and_calls_to_oneself(start: Callable[..., Server]) -> None:
    server = start()
    with server.connect() as connection:
        for size in (0, 5, 300_000):
            head = f"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
            assert connection.request(head + b"b" * size).body == b"b" * size
        expect = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        assert connection.request(expect).status == 100
        assert connection.request(b"abc").body == b"abc"
        assert connection.request(get("/fail")).status == 500
        assert connection.request(get("/call?20")).body == b"ok"
    server.wait_log("RuntimeError: meant")


def test_a_slow_reader_holds_only_its_own_greenlet_and_close_always_runs(start: Callable[..., Server]) -> None:
    server = start("--response-buffer", "128K")
    with server.connect() as slow, server.connect() as leaving:
        slow.send(get("/stream?200"))
        leaving.send(get("/stream?2000"))
        leaving.sock.recv(1000)
        assert ask(server, "/closed") == "0"
        leaving.reset()
        server.wait_for(lambda: ask(server, "/closed") == "1", "close() after the client had left")
        assert slow.response().body == b"x" * 65536 * 200
    server.wait_for(lambda: ask(server, "/closed") == "2", "close() after the slow client had all")


def test_a_hub_that_stands_still_stops_only_the_app(start: Callable[..., Server]) -> None:
    server = start("--health-path", "/-", "--header-timeout", "0.5")
    with server.connect(timeout=40) as busy, server.connect() as half:
        busy.send(get("/burn?2"))
        half.send(b"GET / HT")
        server.wait_log("^burns$")
        assert ask(server, "/-/livez") == "live\n"
        assert half.response().status == 408
        assert select.select([busy.sock], [], [], 0)[0] == [], "the hub is in the computation"
        assert busy.response().body == b"ok"
    assert ask(server, "/") == "ok"


def test_the_watch_shows_where_a_greenlet_is(start: Callable[..., Server]) -> None:
    server = start("--slow-request", "0.2", "--request-timeout", "0.6")
    with server.connect(timeout=20) as connection:
        assert connection.request(get("/sleep?10")).status == 504
    server.wait_log('request slow request="GET /sleep')
    server.wait_log("request timed out; it is given up request=.GET /sleep")
    assert server.log.count("in waiting_view\n    time.sleep(seconds)") == 2


def test_time_outs_pass_though_nothing_happens(start: Callable[..., Server]) -> None:
    server = start("--header-timeout", "0.3", "--keepalive", "0.3")
    with server.connect() as half, server.connect() as idle:
        assert idle.request(get("/")).body == b"ok"
        half.send(b"GET / HT")
        assert half.response().status == 408
        assert idle.is_closed()


def test_requests_that_run_are_finished_at_the_end(start: Callable[..., Server]) -> None:
    server = start()
    with server.connect() as connection:
        connection.send(get("/sleep?1"))
        server.wait_for(lambda: ask(server, "/") == "ok", "an answer beside it")
        server.process.terminate()
        response = connection.response()
        assert (response.status, response.header("Connection")) == (200, "close")


def test_without_gevent_the_start_says_what_to_install(serve: Serve) -> None:
    serve.source("raise ImportError('No module named gevent')", "gevent")
    server = serve(serve.source(APP), "--driver", "gevent", ready=False)
    server.wait_for(lambda: server.process.poll() == 3, "exit code 3")
    assert "the gevent driver needs gevent (pip install 'hostler[gevent]')" in server.log
