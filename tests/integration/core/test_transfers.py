"""A request that was read moves with its connection as what it is: nothing of it is parsed or waited for again."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest

from tests.integration.helpers import Connection, Serve, crowd

# /compute keeps the GIL for a moment; everything else answers with its framing and its body.
APP = """
    import time

    def application(environ, start_response):
        body = environ["wsgi.input"].read()
        if environ["PATH_INFO"] == "/compute":
            end = time.perf_counter() + 0.05
            while time.perf_counter() < end:
                pass
        length = environ.get("CONTENT_LENGTH", "none")
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-Length", length)])
        return [environ["REQUEST_METHOD"].encode() + b" " + body[:100] + b" %d" % len(body)]
"""
# /hold-N holds its thread until there is a file "go".
HOLDING = """
    import os
    import time

    def application(environ, start_response):
        path = environ["PATH_INFO"][1:]
        if path.startswith("hold"):
            open(path, "w").close()
            while not os.path.exists("go"):
                time.sleep(0.005)
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["REQUEST_METHOD"].encode() + b" " + body + b" %d" % len(body)]
"""
CHUNKED = b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def post(body: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


# The request, the first words of its response, and CONTENT_LENGTH as the app sees it.
REQUESTS = {
    "empty chunked body": (b"POST / HTTP/1.1\r\n" + CHUNKED + b"0\r\n\r\n", b"POST  0", "0"),
    "chunked body with trailers": (
        b"POST / HTTP/1.1\r\n" + CHUNKED + b"2;x=y\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n",
        b"POST hi 2",
        "2",
    ),
    "long chunked body": (
        b"POST / HTTP/1.1\r\n" + CHUNKED + b"186a0\r\n" + b"z" * 100_000 + b"\r\n0\r\n\r\n",
        b"POST " + b"z" * 100 + b" 100000",
        "100000",
    ),
    "counted body": (post(b"hello"), b"POST hello 5", "5"),
    "long counted body": (post(b"y" * 300_000), b"POST " + b"y" * 100 + b" 300000", "300000"),
    "HEAD": (b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", b"", "none"),
    "GET that asks for a close": (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"GET  0", "none"),
    "HTTP/1.0": (b"GET / HTTP/1.0\r\n\r\n", b"GET  0", "none"),
}
WAITING = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"


class Busy(threading.Thread):
    """Keeps workers computing, so that requests behind it move."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(daemon=True)
        self.connection = connection
        self.is_over = False
        self.count = 0

    def run(self) -> None:
        while not self.is_over:
            self.connection.request(b"GET /compute HTTP/1.1\r\nHost: x\r\n\r\n")
            self.count += 1


@pytest.mark.parametrize("balance", ["even", "random"])
@pytest.mark.parametrize("what", REQUESTS)
def test_request_that_was_read_is_answered_whatever_worker_runs_it(serve: Serve, what: str, balance: str) -> None:
    request, words, length = REQUESTS[what]
    server = serve(serve.source(APP), "--workers", "4", "--threads", "2", "--balance", balance, "--body-timeout", "5s")
    server.wait_children(4)
    with crowd(server, 3) as computing:
        threads = [Busy(connection) for connection in computing]
        for thread in threads:
            thread.start()
        try:
            for _ in range(6):
                with crowd(server, 8) as asking:
                    for connection in asking:
                        connection.send(request)
                    for connection in asking:
                        response = connection.response(head=what == "HEAD")
                        assert (response.status, response.header("X-Length")) == (200, length)
                        assert response.body == words
        finally:
            for thread in threads:
                thread.is_over = True
            for thread in threads:
                thread.join(10)
    assert all(thread.count > 0 for thread in threads)
    assert "WARNING" not in server.log


@pytest.mark.parametrize("what", ["empty chunked body", "chunked body with trailers", "long chunked body", "HEAD"])
def test_kept_connections_of_such_requests_go_on(serve: Serve, what: str) -> None:
    """Pipelined and kept: the next request of a connection is not taken for a body."""
    request, words, _ = REQUESTS[what]
    server = serve(serve.source(APP), "--workers", "4", "--threads", "2", "--balance", "random", "--body-timeout", "5s")
    server.wait_children(4)
    until = time.monotonic() + 2
    with crowd(server, 24) as connections:
        while time.monotonic() < until:
            for connection in connections:
                connection.send(request + request)
            for connection in connections:
                answers = [connection.response(head=what == "HEAD") for _ in range(2)]
                assert [(answer.status, answer.body) for answer in answers] == [(200, words)] * 2
    assert "WARNING" not in server.log


def test_body_on_demand_is_read_by_the_worker_that_runs_the_request(serve: Serve) -> None:
    server = serve(serve.source(APP), "--workers", "4", "--threads", "4", "--balance", "random")
    server.wait_children(4)
    until = time.monotonic() + 2
    with crowd(server, 12) as connections:
        while time.monotonic() < until:
            for connection in connections:
                connection.send(WAITING)
            for connection in connections:
                assert connection.response().status == 100
                connection.send(b"body")
            for connection in connections:
                assert connection.response().body == b"PUT body 4"
    assert "WARNING" not in server.log


def test_wait_in_the_queue_of_a_replaced_worker_is_not_taken_for_a_slow_body(serve: Serve, tmp_path: Path) -> None:
    config = tmp_path / "hostler.toml"
    words = 'workers = 1\nbody_timeout = "500ms"\nthreads = %d\n'
    config.write_text(words % 4)
    server = serve(serve.source(HOLDING), "-c", str(config))
    with crowd(server, 4) as holding, server.connect() as asking:
        try:
            for number, connection in enumerate(holding):
                connection.send(b"GET /hold-%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
            server.wait_for(lambda: len(list(tmp_path.glob("hold-*"))) == 4, "requests that hold every thread")
            asking.send(WAITING)
            time.sleep(0.7)  # longer than body_timeout
            config.write_text(words % 1)  # one thread waits for no client: the body is read before the app is called
            server.kill(signal.SIGHUP)
            assert asking.response().status == 100
            time.sleep(0.2)  # the client's right
            asking.send(b"body")
            response = asking.response()
            assert (response.status, response.body) == (200, b"PUT body 4")
        finally:
            (tmp_path / "go").touch()


def test_long_body_moves_as_a_file_that_is_closed_afterwards(serve: Serve, tmp_path: Path) -> None:
    options = ("--workers", "2", "--threads", "1", "--balance", "random", "--body-memory", "1K")
    spool = tmp_path / "spool"
    spool.mkdir()
    server = serve(serve.source(APP), *options, "--temp-dir", str(spool))
    server.wait_children(2)
    request = post(b"w" * 50_000)
    with crowd(server, 12) as connections:
        for _ in range(20):
            for connection in connections:
                connection.send(request)
            for connection in connections:
                assert connection.response().body.endswith(b" 50000")

    def files() -> list[str]:
        links = [str(fd.readlink()) for pid in server.children() for fd in Path(f"/proc/{pid}/fd").iterdir()]
        return [link for link in links if str(spool) in link or "hostler-body" in link]

    server.wait_for(lambda: not files(), "bodies that are closed")
