"""Every wait has an end: heads, bodies, idle connections, answers that nobody reads."""

from __future__ import annotations

import socket
import time

import pytest

from tests.integration.helpers import Connection, Serve, Server

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
APP = """
    closed = []

    class Endless:
        def __iter__(self):
            return self
        def __next__(self):
            return b"x" * 65536
        def close(self):
            closed.append(1)

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/endless":
            return Endless()
        if environ["PATH_INFO"] == "/large":
            return [b"x" * 30_000_000]
        environ["wsgi.input"].read()
        return [b"%d" % len(closed)]
"""


def serve_with(serve: Serve, *options: str) -> Server:
    return serve(serve.source(APP), *options)


def drip(connection: Connection, data: bytes, every: float) -> float:
    """Send a byte at a time until something comes back; returns the seconds it took."""
    began = time.monotonic()
    connection.sock.settimeout(every)
    for byte in data:
        try:
            connection.sock.send(bytes([byte]))
            if connection.sock.recv(1, socket.MSG_PEEK) is not None:
                break
        except TimeoutError:
            continue
    connection.sock.settimeout(10)
    return time.monotonic() - began


def test_drips_do_not_extend_the_heads_deadline(serve: Serve) -> None:
    server = serve_with(serve, "--header-timeout", "1")
    with server.connect() as connection:
        took = drip(connection, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 1000, 0.05)
        assert connection.response().status == 408
        assert connection.is_closed()
    assert 0.9 < took < 2.5
    server.wait_log("408 to .*: header_timeout passed before the head was complete")


@pytest.mark.parametrize("begun", ["Host: x\r\n\rX", "Host: x\r\n ", "X: a\0", "X\r", "Host: a b\r\n"])
def test_a_head_that_can_never_be_valid_is_refused_before_the_deadline(serve: Serve, begun: str) -> None:
    server = serve_with(serve, "--header-timeout", "60", "--access-log", "-")
    with server.connect() as connection:
        assert connection.request(f"GET /begun HTTP/1.1\r\n{begun}".encode()).status == 400
    server.wait_log(r'"GET /begun HTTP/1\.1" 400')


def test_the_deadline_counts_from_each_requests_first_byte(serve: Serve) -> None:
    server = serve_with(serve, "--header-timeout", "1")
    with server.connect() as connection:
        for _ in range(4):
            connection.send(GET[:10])
            time.sleep(0.4)  # the subject: time passes within the deadline
            assert connection.request(GET[10:]).status == 200


@pytest.mark.parametrize("framing", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_a_body_must_come_at_min_rate(serve: Serve, framing: str) -> None:
    server = serve_with(serve, "--body-timeout", "1", "--min-rate", "1000")
    with server.connect() as connection:
        connection.send(f"POST / HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
        start = b"186a0\r\n" if "chunked" in framing else b""
        took = drip(connection, start + b"x" * 1000, 0.05)
        assert connection.response().status == 408
    assert 0.9 < took < 2.5
    server.wait_log("408 to .*: the body came slower than min_rate")


def test_a_steady_body_may_take_longer_than_its_grace(serve: Serve) -> None:
    server = serve_with(serve, "--body-timeout", "0.3", "--min-rate", "100")
    with server.connect() as connection:
        connection.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n")
        for _ in range(20):
            connection.send(b"x" * 100)
            time.sleep(0.05)  # the subject: 2000 bytes a second for a second
        assert connection.response().status == 200


def test_an_awaited_body_has_a_deadline_too(serve: Serve) -> None:
    server = serve_with(serve, "--body-timeout", "0.5", "--min-rate", "1000")
    with server.connect() as connection:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\nExpect: 100-continue\r\n\r\n"
        assert connection.request(head).status == 100
        connection.send(b"some of it")
        assert connection.response().status == 500  # the app did not handle its OSError
    server.wait_log("OSError: the request body cannot be read: the body came slower than min_rate")


def test_idle_connections_are_closed(serve: Serve) -> None:
    server = serve_with(serve, "--keepalive", "0.5")
    with server.connect() as connection:
        connection.request(GET)
        began = time.monotonic()
        assert connection.is_closed()
        assert 0.4 < time.monotonic() - began < 2


def test_keepalive_0_closes_each(serve: Serve) -> None:
    server = serve_with(serve, "--keepalive", "0")
    with server.connect() as connection:
        assert connection.request(GET).header("Connection") == "close"
        assert connection.is_closed()


def test_a_silent_connection_is_closed_without_a_word(serve: Serve) -> None:
    server = serve_with(serve, "--header-timeout", "0.5")
    with server.connect() as connection:
        assert connection.read_all() == b""
    assert "408 to" not in server.log


@pytest.mark.parametrize("path", ["/endless", "/large"])
def test_an_answer_that_nobody_reads_is_given_up(serve: Serve, path: str) -> None:
    server = serve_with(serve, "--write-timeout", "1", "--threads", "2")
    with server.connect() as connection:
        connection.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        server.wait_log("was given up: write_timeout passed")
        with pytest.raises(ConnectionResetError):
            connection.read_all()
    if path == "/endless":
        with server.connect() as connection:
            server.wait_for(lambda: connection.request(GET).body == b"1", "close() of the iterable")


def test_a_slow_reader_that_reads_gets_it_all(serve: Serve) -> None:
    server = serve_with(serve, "--write-timeout", "1", "--threads", "1")
    with server.connect() as connection:
        connection.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        with server.connect() as other:
            assert other.request(GET).status == 200, "the thread is free while the client reads"
        left = 0
        connection.sock.settimeout(10)
        while left < 30_000_000:
            left += len(connection.sock.recv(1_000_000))
            time.sleep(0.02)  # the subject: a client that takes its time


GAPS = {
    "head": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 5000,
    "counted body": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 1_000_000,
    "chunked body": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nf4240\r\n" + b"x" * 900_000,
    "short body": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n" + b"x" * 8000,
}


@pytest.mark.parametrize("what", GAPS)
def test_client_that_falls_silent_in_the_middle_is_refused_however_much_it_has_sent(serve: Serve, what: str) -> None:
    """At min_rate a megabyte earns an hour; the gap is what ends it."""
    server = serve_with(serve, "--read-timeout", "1s", "--body-timeout", "500ms", "--min-rate", "1")
    with server.connect() as connection:
        connection.send(GAPS[what])
        began = time.monotonic()
        assert connection.response().status == 408
        assert 0.8 < time.monotonic() - began < 5
    server.wait_log("408 to .*: nothing of the (head|body) came for read_timeout")


def test_client_that_goes_on_is_not_refused_for_short_gaps(serve: Serve) -> None:
    server = serve_with(serve, "--read-timeout", "1s")
    with server.connect() as connection:
        connection.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
        for _ in range(5):
            time.sleep(0.4)  # the subject: gaps shorter than read_timeout, together longer
            connection.send(b"x")
        assert connection.response().status == 200
    assert "408 to" not in server.log


def test_awaited_body_that_stops_frees_its_thread(serve: Serve) -> None:
    server = serve_with(serve, "--read-timeout", "1s", "--min-rate", "1", "--threads", "8")
    with server.connect() as connection:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\nExpect: 100-continue\r\n\r\n"
        assert connection.request(head).status == 100
        connection.send(b"x" * 1_000_000)
        assert connection.response().status == 500  # the app did not handle its OSError
    server.wait_log("OSError: the request body cannot be read: nothing of the body came for read_timeout")


def test_streamed_body_that_stops_is_told_to_the_app(serve: Serve) -> None:
    app = """
        async def application(scope, receive, send):
            if scope["type"] != "http":
                return
            event = {"more_body": True}
            while event.get("more_body"):
                event = await receive()
            open(event["type"], "w").close()
    """
    server = serve(serve.source(app), "--read-timeout", "1s", "--min-rate", "1")
    with server.connect() as connection:
        connection.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 1_000_000)
        server.wait_for((serve.directory / "http.disconnect").exists, "the app's disconnect")
    server.wait_log("was not read whole: nothing of the body came for read_timeout")
