"""A disk that stops, behind temporary files or a log, stops what needs it and nothing else."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.integration.helpers import Serve, Server
from tests.integration.helpers.stall import Disk

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
APP = """
    def application(environ, start_response):
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/large":
            return (b"%07d\\n" % (number // 8) * 8192 for number in range(400))
        return [b"%d" % len(body)]
"""
LARGE = 400 * 65536


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    path = tmp_path / "spool"
    path.mkdir()
    return path


def serves(server: Server) -> None:
    """The worker answers others, whatever waits."""
    for _ in range(5):
        with server.connect(timeout=5) as asking:
            assert asking.request(GET).status == 200
            assert asking.request(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc").body == b"3"


@pytest.mark.parametrize("threads", ["1", "auto"])
def test_worker_serves_on_while_an_uploads_disk_stands_still(
    serve: Serve, tmp_path: Path, spool: Path, threads: str
) -> None:
    disk = Disk(tmp_path, spool)
    options = ("--temp-dir", str(spool), "--body-memory", "1K", "--threads", threads)
    server = serve(serve.source(APP), *options, env=disk.env)
    disk.stop()
    with server.connect(timeout=20) as uploading:
        uploading.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 100_000)
        server.wait_for(disk.waits, "a write that waits")
        serves(server)
        disk.go_on()
        uploading.send(b"x" * 1_900_000)
        assert uploading.response().body == b"2000000"


def test_worker_serves_on_while_a_slow_clients_disk_stands_still(serve: Serve, tmp_path: Path, spool: Path) -> None:
    disk = Disk(tmp_path, spool)
    options = ("--temp-dir", str(spool), "--threads", "4", "--response-buffer", "64K")
    server = serve(serve.source(APP), *options, env=disk.env)
    disk.stop()
    with server.connect(timeout=20) as reading:
        reading.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        reading.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_for(disk.waits, "a write that waits")
        serves(server)
        disk.go_on()
        assert len(reading.response().body) == LARGE


def test_worker_serves_on_while_the_error_logs_disk_stands_still(serve: Serve, tmp_path: Path) -> None:
    log = tmp_path / "error.log"
    disk = Disk(tmp_path, log)
    server = serve(serve.source(APP), "--error-log", str(log), env=disk.env, ready=False)
    server.wait_for(lambda: log.exists() and "listening on" in log.read_text(), "the log")
    port = int(log.read_text().split("http://127.0.0.1:")[1].split()[0])
    disk.stop()
    refused = b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as asking:
            asking.sendall(refused)
            assert asking.recv(12) == b"HTTP/1.1 400"
    server.wait_for(disk.waits, "a line that waits")
    with socket.create_connection(("127.0.0.1", port), timeout=5) as asking:
        asking.sendall(GET)
        assert asking.recv(12) == b"HTTP/1.1 200"
    disk.go_on()
    server.wait_for(lambda: log.read_text().count(": Host is not a host") == 50, "all lines")


@pytest.mark.slow
def test_upload_whose_disk_never_comes_back_is_refused(serve: Serve, tmp_path: Path, spool: Path) -> None:
    """507 after 30 seconds, and the connection is free."""
    disk = Disk(tmp_path, spool)
    server = serve(serve.source(APP), "--temp-dir", str(spool), "--body-memory", "1K", env=disk.env)
    disk.stop()
    with server.connect(timeout=45) as uploading:
        uploading.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 100_000)
        response = uploading.response()
        assert response.status == 507
    serves(server)
    disk.go_on()
    server.wait_log("507 to .*: the disk behind temp_dir takes nothing")
