"""Many clients that read slowly hold no thread of a default server, and the metrics say what waits for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.integration.helpers import Connection, Serve, crowd
from tests.integration.helpers.metrics import page

APP = """
    PART = b"x" * 65536

    def application(environ, start_response):
        start_response("200 OK", [])
        return (PART for _ in range(24)) if environ["PATH_INFO"] == "/stream" else [b"hello"]
"""
CLIENTS = 256
BODY = 24 * 65536
RATE = 2048  # bytes a second
# The kernel's buffer of one unix socket, and what stays in memory.
MOST_ELSEWHERE = 600_000


@contextmanager
def readers(connections: Sequence[Connection]) -> Iterator[list[int]]:
    """Each connection reads `RATE`; gives how many bytes each has read."""
    read, over = [0] * len(connections), threading.Event()

    def run() -> None:
        while not over.is_set():
            for number, connection in enumerate(connections):
                read[number] += len(connection.sock.recv(RATE))
                if over.wait(1 / len(connections)):
                    return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield read
    finally:
        over.set()
        thread.join()


def test_slow_readers_of_a_stream_hold_no_thread_and_are_counted_in_bytes(serve: Serve) -> None:
    socket = serve.directory / "socket"  # its buffer in the kernel is small, and does not grow
    server = serve(serve.source(APP), "--admin-bind", "127.0.0.1:0", bind=f"unix:{socket}")
    with crowd(server, CLIENTS) as connections:
        for connection in connections:
            connection.send(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        with readers(connections) as read:
            server.wait_for(lambda: all(read) or None, "the beginning of each response", within=50)
            for _ in range(20):
                with server.connect() as other:
                    assert other.request(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").body == b"hello"
            server.wait_for(lambda: page(server).sum("threads_busy") == 0, "the end of the application's work")
            found = page(server)
            assert max(read) < BODY, "all of them read on"
    waits, spilled = found.sum("response_file_bytes"), found.sum("response_spilled_bytes_total")
    assert CLIENTS * (BODY - MOST_ELSEWHERE) < waits <= spilled < CLIENTS * (BODY + 4096)
    assert (found.kinds["hostler_response_file_bytes"], found.kinds["hostler_response_spilled_bytes"]) == (
        "gauge",
        "counter",
    )
    server.wait_for(lambda: page(server).sum("response_file_bytes") == 0, "the end of the files")
    assert page(server).sum("response_spilled_bytes_total") == spilled
