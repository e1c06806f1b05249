"""Clients that do not read: memory has a bound, threads are free where they can be, and nothing is lost."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path

import pytest

from tests.integration.helpers import Connection, Serve, Server, crowd, processes

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
WHOLE = """
    import ctypes

    count = 0

    def application(environ, start_response):
        global count
        start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/count":
            ctypes.CDLL(None).malloc_trim(0)  # freed memory goes back to the system, where it can be seen
            return [b"%d" % count]
        count += 1
        return [b"".join([b"0123456789"] * 1_000_000)]
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
    server = serve(serve.source(APP), "--threads", "2", "--response-file", "0")
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
    server = serve(serve.source(APP), "--threads", "2", "--response-file", "0")
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
    server = serve(serve.source(APP), "--threads", "8", "--response-buffer", "64K", "--response-file", "0")
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


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """A directory for temporary files alone."""
    path = tmp_path / "spool"
    path.mkdir()
    return path


def spilled(worker: int, directory: Path) -> int:
    """Bytes in files without a name that a worker has open below a directory."""
    total = 0
    for fd in Path(f"/proc/{worker}/fd").iterdir():
        try:
            if str(fd.readlink()).startswith(str(directory)):
                total += fd.stat().st_size
        except OSError:  # closed meanwhile
            continue
    return total


@pytest.mark.parametrize("how", ["yielded", "written"])
def test_stream_that_is_not_read_goes_to_a_file_and_frees_its_thread(serve: Serve, spool: Path, how: str) -> None:
    server = serve(serve.source(APP), "--threads", "1", "--temp-dir", str(spool))
    count = TOTAL // 65536
    with server.connect() as reading, server.connect() as asking:
        reading.send(get(f"/stream?65536,{count},{how}"))
        assert made(asking) == (count, 1), "the only thread was free: the app has made all of it"
        assert spilled(server.children()[0], spool) > TOTAL - MOST_HELD
        found = hashlib.sha256(reading.response().body)
        server.wait_for(lambda: spilled(server.children()[0], spool) == 0, "the file's end")
    expected = hashlib.sha256(b"".join((b"%08d" % number * (65536 // 8 + 1))[:65536] for number in range(count)))
    assert found.digest() == expected.digest()
    assert list(spool.iterdir()) == [], "no name, so nothing to clean"


def test_stream_waits_when_its_file_is_as_large_as_it_may_be(serve: Serve, spool: Path) -> None:
    options = ("--threads", "2", "--temp-dir", str(spool), "--response-file", "8M")
    server = serve(serve.source(APP), *options)
    count = TOTAL // 65536
    with server.connect() as asking, server.connect() as reading:
        reading.send(get(f"/stream?65536,{count},yielded"))
        rested = wait_still(server, asking) * 65536
        assert 8 << 20 < rested < MOST_HELD + (8 << 20)
        assert 8 << 20 <= spilled(server.children()[0], spool) < 10 << 20
        assert len(reading.response().body) == count * 65536


def test_whole_bodies_beyond_response_memory_go_to_files(serve: Serve, spool: Path) -> None:
    # Few threads: the C library keeps up to 18 MB of what each of them has freed.
    options = ("--temp-dir", str(spool), "--response-memory", "16M", "--threads", "2", "--slow-request", "0")
    server = serve(serve.source(WHOLE), *options)
    [worker] = server.children()
    with crowd(server, 24) as readers, server.connect() as asking:
        before = processes.rss(worker)
        for reading in readers:
            reading.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            reading.send(get("/"))

        def is_small() -> bool:
            return asking.request(get("/count")).body == b"24" and processes.rss(worker) - before < 80_000_000

        server.wait_for(is_small, "24 responses in a small worker", within=40)
        assert spilled(worker, spool) > 120_000_000
        expected = hashlib.sha256(b"0123456789" * 1_000_000).digest()
        assert all(hashlib.sha256(reading.response().body).digest() == expected for reading in readers)
    assert "WARNING" not in server.log


def test_whole_bodies_wait_in_memory_with_their_threads_when_no_file_can_be_written(serve: Serve) -> None:
    options = ("--temp-dir", "/proc/self", "--response-memory", "1M", "--threads", "3")
    server = serve(serve.source(WHOLE), *options)
    with crowd(server, 2) as readers, server.connect() as asking:
        for reading in readers:
            reading.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            reading.send(get("/"))
        server.wait_log("a response cannot be stored in /proc/self: .*; it waits in memory")
        assert asking.request(get("/count")).status == 200, "the third thread is free"
        assert [len(reading.response().body) for reading in readers] == [10_000_000] * 2
