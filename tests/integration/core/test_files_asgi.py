"""Files that an ASGI app sends by the kernel: no memory, no stopped loop, and the parts in their order."""

from __future__ import annotations

import hashlib
import os
import socket

import pytest

from tests.integration.helpers import Serve, processes

# /parts sends the file "large" in two parts with a word before, between and behind; /path by its path; /tick answers.
APP = """
    import os

    async def application(scope, receive, send):
        if scope["type"] != "http":
            return
        path = scope["path"]
        headers = []
        if path == "/counted":
            headers = [(b"content-length", b"%d" % (os.path.getsize("large") + 13))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if path == "/tick":
            await send({"type": "http.response.body", "body": b"tick"})
            return
        if path == "/path":
            await send({"type": "http.response.pathsend", "path": os.path.abspath("large")})
            return
        with open("large", "rb") as file:
            half = os.path.getsize("large") // 2
            body = lambda data, more=True: {"type": "http.response.body", "body": data, "more_body": more}
            copy = lambda **words: {"type": "http.response.zerocopysend", "file": file, **words}
            await send(body(b"first"))
            await send(copy(offset=0, count=half, more_body=True))
            await send(body(b"then"))
            await send(copy(offset=half, more_body=True))
            await send(body(b"last", False))
"""
MB = 1_000_000
SIZE = 400 * MB


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


@pytest.fixture
def large(serve: Serve) -> bytes:
    """400 MB, most of them a hole; returns what is not."""
    path = serve.directory / "large"
    with path.open("wb") as file:
        file.truncate(SIZE)
        for at in (0, SIZE // 2 - 5, SIZE - 10):
            file.seek(at)
            file.write(b"0123456789")
    return path.read_bytes()


@pytest.mark.parametrize("path", ["/parts", "/counted"])
def test_parts_of_a_large_file_arrive_in_order(serve: Serve, large: bytes, path: str) -> None:
    server = serve(serve.source(APP))
    half = len(large) // 2
    with server.connect() as connection:
        found = connection.request(get(path)).body
        assert connection.request(get("/tick")).body == b"tick", "the connection goes on"
    expected = b"first" + large[:half] + b"then" + large[half:] + b"last"
    assert hashlib.sha256(found).digest() == hashlib.sha256(expected).digest()


@pytest.mark.parametrize("path", ["/parts", "/path"])
def test_large_file_uses_no_memory_and_does_not_stop_the_loop(serve: Serve, large: bytes, path: str) -> None:
    server = serve(serve.source(APP), "--loop-lag", "200ms")
    [worker] = server.children()
    before = processes.rss(worker)
    with server.connect() as reading, server.connect(timeout=5) as asking:
        reading.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        reading.send(get(path))
        for _ in range(20):
            assert asking.request(get("/tick")).body == b"tick"
        most, received = 0, 0
        while received < SIZE:
            received += len(reading.sock.recv(1 << 20))
            most = max(most, processes.rss(worker))
        assert asking.request(get("/tick")).body == b"tick"
    assert most - before < 40 * MB
    assert "blocks the event loop" not in server.log


def test_app_waits_until_a_slow_client_has_taken_a_file(serve: Serve, large: bytes) -> None:
    """Else a loop over many files would open all of them."""
    server = serve(serve.source(APP))
    [worker] = server.children()
    with server.connect() as asking, server.connect() as reading:
        reading.send(get("/parts"))
        reading.sock.recv(10, socket.MSG_PEEK)
        for _ in range(5):
            asking.request(get("/tick"))
        links = [os.readlink(f"/proc/{worker}/fd/{fd}") for fd in os.listdir(f"/proc/{worker}/fd")]
        assert len([link for link in links if link.endswith("/large")]) == 2, "the app's and ours"
