"""Every limit: its status, its line in the log, and memory that does not grow."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import pytest

from tests.integration.helpers import Connection, Serve, Server
from tests.integration.helpers.apps import HOLD

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
ECHO = """
    def application(environ, start_response):
        body = b"%d" % len(environ["wsgi.input"].read())
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
"""


def small(serve: Serve) -> Server:
    return serve(
        serve.source(ECHO),
        *("--limit-request-line", "200", "--limit-request-head", "1K", "--limit-request-fields", "10"),
        *("--limit-request-body", "5000", "--body-memory", "1000"),
    )


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"GET /" + b"a" * 300 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /" + b"a" * 300, 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 2000, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20 + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5001\r\nExpect: 100-continue\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1389\r\n", 413),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" + b"x" * 1000 + b"\r\n1389\r\n",
            413,
        ),
    ],
)
def test_what_is_too_large(serve: Serve, message: bytes, status: int) -> None:
    server = small(serve)
    with server.connect() as connection:
        response = connection.request(message)
        assert (response.status, response.header("Connection")) == (status, "close")
        assert connection.is_closed()
    assert len(server.wait_log(rf"\[WARNING\] {status} to 127\.0\.0\.1:\d+: .+")) == 1
    with server.connect() as connection:
        assert connection.request(GET).status == 200


def pss(pid: int) -> int:
    """Proportional set size in kB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"GET /", b"a" * 65536),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"a" * 65536),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n" * 10000),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;", b"a" * 65536),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 10000),
    ],
)
def test_what_never_ends_needs_no_memory(serve: Serve, start: bytes, piece: bytes) -> None:
    server = serve(serve.source(ECHO))
    [worker] = server.children()
    with server.connect() as connection:
        connection.request(GET)
    before = pss(worker)
    for _ in range(20):
        with server.connect() as connection, contextlib.suppress(ConnectionError):
            connection.send(start)
            for _ in range(30):
                connection.send(piece)
    assert pss(worker) - before < 2000


def test_a_full_queue_answers_503(serve: Serve) -> None:
    options = ("--threads", "1", "--queue-size", "2", "--retry-after", "7")
    server = serve(serve.source(HOLD), *options)
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(server.connect()) for _ in range(3)]
        held[0].send(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_for(lambda: (serve.directory / "held").exists(), "the held request")
        for connection in held[1:]:
            connection.send(GET)
        # The two may still be on their way into the queue: the refusal comes when they are there.
        server.wait_for(lambda: refused(server), "a refusal")
        with server.connect() as connection:
            response = connection.request(GET)
            assert (response.status, response.header("Retry-After")) == (503, "7")
        (serve.directory / "go").touch()
        assert [connection.response().status for connection in held] == [200, 200, 200]
    server.wait_log("503 to .*: queue_size reached")


def refused(server: Server) -> bool:
    with server.connect() as connection:
        connection.sock.settimeout(0.3)
        try:
            return connection.request(GET).status == 503
        except (TimeoutError, ConnectionResetError, BrokenPipeError):
            return False


def test_connections_beyond_the_limit_get_503(serve: Serve) -> None:
    server = serve(serve.source(ECHO), "--worker-connections", "3")
    with contextlib.ExitStack() as stack:
        kept = [stack.enter_context(server.connect()) for _ in range(3)]
        assert all(connection.request(GET).status == 200 for connection in kept)
        with server.connect() as connection:
            response = connection.response()
            assert (response.status, response.header("Retry-After")) == (503, "1")
        assert all(connection.request(GET).status == 200 for connection in kept)
        kept[0].close()
        server.wait_for(lambda: not refused(server), "room for another connection")
    server.wait_log("503 to .*: worker_connections reached")


@pytest.mark.skipif(os.geteuid() != 0, reason="root may mount a small file system")
def test_a_full_disk_refuses_the_body_and_serves_on(serve: Serve, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    mounted = os.system(f"mount -t tmpfs -o size=64k tmpfs {spool}") == 0
    if not mounted:  # a container without the right to mount: the same by a directory that is gone
        pass
    try:
        server = serve(serve.source(ECHO), "--body-memory", "1K", "--temp-dir", str(spool))
        if not mounted:
            spool.rmdir()
        with server.connect() as connection:
            connection.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n")
            threading.Thread(target=lambda: feed(connection, 500_000), daemon=True).start()
            assert connection.response().status == 507
        server.wait_log(r"\[ERROR\] a request body cannot be stored in .*; free space there or set temp_dir")
        server.wait_log("507 to ")
        with server.connect() as connection:
            assert connection.request(GET).status == 200
    finally:
        if mounted:
            os.system(f"umount -l {spool}")


def feed(connection: Connection, size: int) -> None:
    with contextlib.suppress(OSError):
        for _ in range(size // 1000):
            connection.send(b"x" * 1000)
