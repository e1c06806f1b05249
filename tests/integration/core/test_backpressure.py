"""Clients that do not read: memory has a bound, threads are free where they can be, and nothing is lost."""

from __future__ import annotations

import hashlib
import socket

import pytest

from tests.integration.helpers import Connection, Serve, Server, crowd

# /stream?PART,COUNT,HOW makes COUNT fresh parts of PART bytes; /made tells how many have been asked for.
APP = """
    import threading

    lock = threading.Lock()
    made = 0
    closed = []

    def next_number():
        global made
        with lock:
            made += 1
            return made - 1

    def part(size, number):
        return (b"%08d" % number * (size // 8 + 1))[:size]

    class Parts:
        def __init__(self, size, count):
            self.parts = (part(size, next_number()) for _ in range(count))

        def __iter__(self):
            return self.parts

        def close(self):
            closed.append(1)

    def application(environ, start_response):
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        path = environ["PATH_INFO"]
        if path == "/made":
            return [b"%d %d" % (made, len(closed))]
        if path == "/file":
            return environ["wsgi.file_wrapper"](open("large", "rb"))
        if path == "/stream":
            size, count, how = environ["QUERY_STRING"].split(",")
            parts = Parts(int(size), int(count))
            if how == "yielded":
                return parts
            for each in parts:
                write(each)
            parts.close()
        return []
"""
# Two socket buffers of some megabytes and `response_buffer` stand between the app and a client that does not read.
MOST_HELD = 24_000_000
TOTAL = 64_000_000


def get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def made(asking: Connection) -> tuple[int, int]:
    """How many parts the app has made, and how many streams were closed."""
    parts, closed = asking.request(get("/made")).body.split()
    return int(parts), int(closed)


def wait_still(server: Server, asking: Connection) -> int:
    """Wait until the app makes no more parts."""
    seen = [-1] * 30

    def is_still() -> bool:
        seen.append(made(asking)[0])
        return seen[-1] > 0 and len(set(seen[-30:])) == 1

    server.wait_for(is_still, "a stream that rests")
    return seen[-1]


@pytest.mark.parametrize("how", ["yielded", "written"])
@pytest.mark.parametrize("size", [1000, 20_000, 65_536, 4_000_000])
def test_a_stream_rests_while_nobody_reads_and_arrives_whole(serve: Serve, size: int, how: str) -> None:
    server = serve(serve.source(APP), "--threads", "2")
    count = TOTAL // size
    with server.connect() as asking, server.connect() as reading:
        reading.send(get(f"/stream?{size},{count},{how}"))
        assert wait_still(server, asking) * size < MOST_HELD
        found = hashlib.sha256(reading.response().body)
        assert made(asking)[0] == count
        server.wait_for(lambda: made(asking)[1] == 1, "its close()")
    expected = hashlib.sha256(b"".join((b"%08d" % number * (size // 8 + 1))[:size] for number in range(count)))
    assert found.digest() == expected.digest()


@pytest.mark.parametrize("ending", ["close", "reset"])
def test_a_resting_stream_ends_when_its_client_leaves(serve: Serve, ending: str) -> None:
    server = serve(serve.source(APP), "--threads", "2")
    with server.connect() as asking:
        reading = server.connect()
        reading.send(get("/stream?65536,1000000,yielded"))
        wait_still(server, asking)
        reading.reset() if ending == "reset" else reading.close()
        server.wait_for(lambda: made(asking)[1] == 1, "its close()")
    assert "Traceback" not in server.log


def test_a_file_needs_no_thread_while_nobody_reads(serve: Serve) -> None:
    data = hashlib.sha256(b"seed").digest() * 1_000_000
    (serve.directory / "large").write_bytes(data)
    server = serve(serve.source(APP), "--threads", "1")
    with server.connect() as reading, server.connect() as asking:
        reading.send(get("/file") + get("/made"))
        assert asking.request(get("/made")).status == 200
        assert reading.response().body == data
        assert reading.response().status == 200, "the next in the pipeline"


def test_streams_of_many_are_bounded_together(serve: Serve) -> None:
    """Each of eight resting streams holds a thread and little memory; the ninth request waits, and is answered."""
    server = serve(serve.source(APP), "--threads", "8", "--response-buffer", "64K")
    with crowd(server, 8) as streams, server.connect() as asking:
        for reading in streams:
            reading.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            reading.send(get("/stream?65536,400,yielded"))
        asking.send(get("/made"))
        bodies = [reading.response().body for reading in streams]
        assert asking.response().status == 200
    assert [len(body) for body in bodies] == [65536 * 400] * 8
    parts = [body[at : at + 8] for body in bodies for at in range(0, len(body), 65536)]
    assert sorted(parts) == [b"%08d" % number for number in range(3200)], "each part went to one of them"
