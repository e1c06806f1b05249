"""Running out of descriptors: accepting rests, nobody is dropped, and it goes on when there are some again."""

from __future__ import annotations

import os
import resource
import sys

import pytest

from tests.integration.helpers import HELLO, Serve, crowd

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is Linux's")
def test_out_of_descriptors(serve: Serve) -> None:
    server = serve(serve.source(HELLO))
    [worker] = server.children()
    with server.connect() as kept:
        assert kept.request(GET).body == b"hello"
        used = len(os.listdir(f"/proc/{worker}/fd"))
        _, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (used + 10, hard))
        with crowd(server, 30) as many:
            for connection in many:
                connection.send(GET)
            server.wait_log("accepting pauses")
            assert kept.request(GET).body == b"hello", "who is there is served"
            for connection in many:  # each that goes makes room for one that waits
                assert connection.response().body == b"hello"
                connection.close()
        with server.connect() as after:
            assert after.request(GET).body == b"hello"
    server.wait_for(lambda: len(os.listdir(f"/proc/{worker}/fd")) <= used, "their descriptors' end")


def test_nothing_leaks(serve: Serve) -> None:
    """Every ending of a connection gives its descriptors back."""
    server = serve(serve.source(HELLO), "--body-memory", "1K")
    [worker] = server.children()
    with server.connect() as connection:
        connection.request(GET)
        before = len(os.listdir(f"/proc/{worker}/fd")) - 1  # without this one
    upload = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50_000
    for begin in (b"", b"GET / HT", GET, GET * 5, upload, upload + b"x" * 50_000, b"nonsense\r\n\r\n"):
        for ending in ("close", "reset"):
            with crowd(server, 10) as connections:
                for connection in connections:
                    connection.send(begin)
                    if ending == "reset":
                        connection.reset()
    server.wait_for(lambda: len(os.listdir(f"/proc/{worker}/fd")) <= before, "their descriptors' end")
