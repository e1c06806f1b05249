"""The access log: what each line says, when it is there, and that it never stands in the way."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.integration.helpers import Serve, Server

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
APP = """
    def application(environ, start_response):
        environ["my.variable"] = "mine"
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-Out", "out")])
        if environ["PATH_INFO"] == "/endless":
            return iter(lambda: b"x" * 65536, b"")
        if environ["PATH_INFO"] == "/large":
            return [b"x" * 50_000_000]
        return [b"hello"]
"""
REQUEST = (
    b'GET /a%20b?c=d HTTP/1.1\r\nHost: h\r\nReferer: http://r/\r\nUser-Agent: me "q" \\ \xff\r\n'
    b"Authorization: Basic YWxhZGRpbjpzZXNhbWU=\r\nX-In: in\r\n\r\n"
)


def logged(serve: Serve, log_format: str) -> tuple[Server, Path]:
    path = serve.directory / "access.log"
    return serve(serve.source(APP), "--access-log", str(path), "--access-log-format", log_format), path


def wait_lines(server: Server, path: Path, count: int) -> list[str]:
    def lines() -> list[str] | None:
        found = path.read_text().splitlines() if path.exists() else []
        return found if len(found) >= count else None

    return server.wait_for(lines, f"{count} lines in {path.name}")


@pytest.mark.parametrize(
    ("atoms", "expected"),
    [
        ("%(h)s %(l)s %(u)s", r"127\.0\.0\.1 - aladdin"),
        ("%(t)s", r"\[\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"),
        ("%(r)s", r"GET /a%20b\?c=d HTTP/1\.1"),
        ("%(m)s|%(U)s|%(q)s|%(H)s", r"GET\|/a b\|c=d\|HTTP/1\.1"),
        ("%(s)s %(B)s %(b)s", "200 5 5"),
        ("%(f)s", "http://r/"),
        ("%(a)s", r'me \\"q\\" \\\\ \\xff'),
        ("%(T)s %(M)s %(D)s %(L)s %(Q)s", r"0 \d+ \d+ 0\.\d{6} 0\.\d{6}"),
        ("%(p)s", r"<\d+>"),
        ("%({x-in}i)s %({X-Out}o)s %({my.variable}e)s %({none}i)s", "in out mine -"),
        ("100%% literal", "100% literal"),
    ],
)
def test_atoms(serve: Serve, atoms: str, expected: str) -> None:
    server, path = logged(serve, atoms)
    with server.connect() as connection:
        connection.request(REQUEST)
    [line] = wait_lines(server, path, 1)
    assert re.fullmatch(expected, line), line


def test_bytes_beyond_ascii_in_a_target_are_escaped_as_bytes(serve: Serve) -> None:
    server, path = logged(serve, "%(r)s|%(U)s|%(q)s")
    with server.connect() as connection:
        connection.request(b"GET /caf\xe9/\xc3\xbc/%E9?\xff HTTP/1.1\r\nHost: x\r\n\r\n")
    [line] = wait_lines(server, path, 1)
    shown = r"/caf\xe9/\xc3\xbc/"
    assert line == rf"GET {shown}%E9?\xff HTTP/1.1|{shown}\xe9|\xff"


def test_json_lines(serve: Serve) -> None:
    server, path = logged(serve, "json")
    with server.connect() as connection:
        connection.request(REQUEST)
        connection.request(b"nonsense\r\n\r\n")
    first, second = (json.loads(line) for line in wait_lines(server, path, 2))
    assert (first["method"], first["path"], first["query"], first["status"]) == ("GET", "/a%20b", "c=d", 200)
    assert first["user_agent"] == 'me "q" \\ \ufffd'
    assert (second["status"], second["remote_addr"]) == (400, "127.0.0.1")


def test_a_refused_request_is_logged_with_its_request_line_as_soon_as_that_is_there(serve: Serve) -> None:
    path = serve.directory / "access.log"
    options = ("--access-log", str(path), "--access-log-format", "%(r)s|%(s)s", "--header-timeout", "200ms")
    server = serve(serve.source(APP), *options)
    for begun in (b"GET /a HTTP/1.1\r\nX: y", b"GET /b HTTP/1.1", b"GET /c HTTP/1.7\r\nX : y"):
        with server.connect() as connection:
            connection.request(begun)
    assert wait_lines(server, path, 3) == ["GET /a HTTP/1.1|408", "-|408", "GET /c HTTP/1.1|400"]


def test_lines_are_there_soon(serve: Serve) -> None:
    server, path = logged(serve, "%(s)s")
    with server.connect() as connection:
        for count in range(1, 4):
            connection.request(GET)
            began = time.monotonic()
            wait_lines(server, path, count)
            assert time.monotonic() - began < 1


def test_the_last_lines_are_there_at_the_end(serve: Serve) -> None:
    server, path = logged(serve, "%(s)s")
    with server.connect() as connection:
        for _ in range(50):
            connection.request(GET)
    server.stop()
    assert path.read_text() == "200\n" * 50


def test_usr1_reopens(serve: Serve) -> None:
    server, path = logged(serve, "%(U)s")
    with server.connect() as connection:
        connection.request(GET)
        wait_lines(server, path, 1)
        path.rename(path.with_suffix(".1"))
        server.kill(signal.SIGUSR1)
        server.wait_for(path.exists, "a new file")
        [worker] = server.children()
        fds = Path(f"/proc/{worker}/fd")
        server.wait_for(lambda: str(path) in {str(fd.readlink()) for fd in fds.iterdir()}, "the worker's new file")
        connection.request(GET)
    assert wait_lines(server, path, 1) == ["/"]


@pytest.mark.parametrize("target", ["/endless", "/large"])
def test_a_client_that_leaves_is_a_499(serve: Serve, target: str) -> None:
    server, path = logged(serve, "%(U)s %(s)s")
    with server.connect() as connection:
        connection.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        connection.sock.recv(100_000)
        connection.reset()
    assert wait_lines(server, path, 1) == [f"{target} 499"]
    assert "Traceback" not in server.log


def test_refusals_are_logged(serve: Serve) -> None:
    server, path = logged(serve, "%(r)s %(s)s")
    with server.connect() as connection:
        connection.request(b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n")
    assert wait_lines(server, path, 1) == ["POST /p HTTP/1.1 413"]


def test_what_was_not_understood_has_no_words_of_an_earlier_request(serve: Serve) -> None:
    server, path = logged(serve, "%(r)s|%(m)s|%(U)s|%(s)s")
    refused = (
        b"GET /a-secret HTTP/1.1\nHost: x\r\n\r\n" + b"x" * 100,
        b"x" * 300 + b"\r\n\r\n",
        b"GET /too-new HTTP/2.0\r\nHost: x\r\n\r\n",
        b"GET /known HTTP/1.1\r\nHost: x\r\nBad name: 1\r\n\r\n",
    )
    for message in refused:
        with server.connect() as connection:
            connection.request(GET)
            connection.request(message)
    lines = [line for line in wait_lines(server, path, 8) if not line.endswith("200")]
    assert sorted(lines) == ["-|-|-|400", "-|-|-|501", "-|-|-|505", "GET /known HTTP/1.1|GET|/known|400"]


@pytest.mark.parametrize("log_format", ["json", "%(r)s %({x-evil}i)s %(a)s"])
def test_no_client_can_forge_a_line(serve: Serve, log_format: str) -> None:
    server, path = logged(serve, log_format)
    odd = bytes(range(0x80, 0x100)) + b'\t"\\{}%s%n' + "\u2028".encode()
    message = b'GET /"\\\xff%0a?' + bytes(range(0x80, 0x100))
    message += b" HTTP/1.1\r\nHost: x\r\nX-Evil: " + odd + b"\r\nUser-Agent: " + odd + b"\r\n\r\n"
    with server.connect() as connection:
        for _ in range(3):
            assert connection.request(message).status == 200
    server.stop()
    raw = path.read_bytes()
    assert raw.count(b"\n") == 3
    assert not [byte for byte in raw if byte < 0x20 and byte != 0x0A]
    for line in raw.decode().split("\n")[:-1]:
        if log_format == "json":
            assert json.loads(line)["user_agent"]
        else:
            assert line.isascii()


def test_lines_of_several_workers_stay_whole(serve: Serve) -> None:
    server, path = logged(serve, "%(p)s %(U)s %(p)s")
    server.stop()
    server = serve("app:application", "--workers", "2", "--access-log", str(path), "--access-log-format", "%(U)s=%(U)s")
    for _ in range(20):
        with server.connect() as connection:
            connection.send(b"".join(b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"x" * size) for size in range(50)))
            assert all(connection.response().status == 200 for _ in range(50))
    server.stop()
    lines = path.read_text().splitlines()
    assert len(lines) == 1000
    assert all(re.fullmatch(r"(/x*)=\1", line) for line in lines)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGQUIT])
def test_a_reader_that_has_stopped_keeps_nobody(serve: Serve, end: signal.Signals) -> None:
    pipe = serve.directory / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        server = serve(serve.source(APP), "--access-log", str(pipe), "--access-log-format", "%(s)s " + "x" * 1000)
        with server.connect() as connection:
            for _ in range(300):
                assert connection.request(GET).status == 200
        began = time.monotonic()
        server.stop(end)
        assert time.monotonic() - began < 4
        server.wait_log("bytes of the access log are not waited for: its reader is too slow")
    finally:
        os.close(reader)


def test_a_full_disk_loses_lines_and_no_request(serve: Serve) -> None:
    server = serve(serve.source(APP), "--access-log", "/dev/full")
    with server.connect() as connection:
        for _ in range(100):
            assert connection.request(GET).status == 200
    server.wait_log(r"\[ERROR\] the access log cannot be written, lines are lost: No space left")


def test_json_has_milliseconds_the_request_id_and_own_fields(serve: Serve) -> None:
    own = "json user=%({x-in}i)s out=%({x-out}o)s mine=%({my.variable}e)s none=%({x-none}i)s millis=%(M)s"
    server, path = logged(serve, own)
    with server.connect() as connection:
        connection.request(REQUEST.replace(b"X-In: in", b"X-In: in\r\nX-Request-ID: r-1"))
    line = json.loads(wait_lines(server, path, 1)[0])
    assert (line["user"], line["out"], line["mine"], line["request_id"]) == ("in", "out", "mine", "r-1")
    assert "none" not in line
    assert line["millis"] == int(line["duration_ms"])
    assert line["duration_ms"] == line["duration_us"] / 1000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", line["time"])
