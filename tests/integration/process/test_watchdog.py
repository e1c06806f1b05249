"""Workers that run no Python any more, or that should go: who follows, what is served, and what the log says."""

from __future__ import annotations

import os
import re
import signal
import sys
import time

import pytest

from tests.integration.helpers import HELLO, Serve, Server, processes
from tests.integration.helpers.load import GET, Load

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

# /lock keeps the GIL for a minute, in native code; /hold runs until the file "go" is there.
LOCK = """
    import ctypes
    import os
    import time

    libc = ctypes.PyDLL(None)  # unlike CDLL, it does not let go of the lock

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        with open("begun", "a") as begun:
            begun.write(f"{os.getpid()} {path}\\n")
        if path == "/lock":
            libc.sleep(60)  # here
        while path == "/hold" and not os.path.exists("go"):
            time.sleep(0.005)
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
        return [b"hello"]
"""


def ask(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def wait_begun(server: Server, serve: Serve, path: str) -> int:
    """Wait until a request has reached the app; returns the worker's pid."""
    file = serve.directory / "begun"

    def found() -> int | None:
        match = re.search(rf"^(\d+) {path}$", file.read_text() if file.exists() else "", re.MULTILINE)
        return int(match.group(1)) if match else None

    return server.wait_for(found, f"{path} in the app")


def serve_watched(serve: Serve, app: str, workers: int, *options: str) -> Server:
    server = serve(app, "--workers", str(workers), "--log-level", "debug", "--worker-timeout", "2s", *options)
    server.wait_log(r"worker ready worker=\d pid=\d+", count=workers)
    return server


def entry(server: Server, words: str) -> str:
    """The log's entry with these words: its line, and those that belong to it."""
    server.wait_log(words)
    entries = re.split(r"^(?=\[\d{4}-)", server.log, flags=re.MULTILINE)
    return next(text for text in entries if re.search(words, text))


def test_stopped_worker_is_named_and_replaced_before_it_is_killed(serve: Serve) -> None:
    server = serve_watched(serve, serve.source(HELLO), 2)
    first, second = server.children()
    load = Load(server, 2)
    server.wait_for(lambda: load.answered > 20, "some load")
    started = time.monotonic()
    os.kill(first, signal.SIGSTOP)
    said = entry(server, "worker stopped")
    waited = time.monotonic() - started
    assert f"worker stopped (SIGSTOP, or a debugger); a new one starts worker=0 pid={first} silent_for=2s" in said
    assert "[ERROR]" in said
    assert 1.5 < waited < 10.0
    server.wait_log(rf"worker killed; it is silent still worker=\d pid={first}")
    assert server.log.index("worker ready worker=2") < server.log.index("worker killed; it is silent still")
    new = server.wait_children(2, without=[first])
    assert second in new
    answered = load.answered
    server.wait_for(lambda: load.answered > answered + 20, "more load")
    load.stop()


def test_only_worker_that_is_stopped_is_replaced(serve: Serve) -> None:
    server = serve_watched(serve, serve.source(HELLO), 1)
    [worker] = server.children()
    os.kill(worker, signal.SIGSTOP)
    server.wait_children(1, without=[worker])
    with server.connect() as connection:
        assert connection.request(GET).body == b"hello"


def test_native_code_that_keeps_the_lock_is_named_with_its_request_and_its_line(serve: Serve) -> None:
    server = serve_watched(serve, serve.source(LOCK), 1)
    [worker] = server.children()
    with server.connect() as stuck:
        stuck.send(ask("/lock"))
        assert wait_begun(server, serve, "/lock") == worker
        said = entry(server, "worker unresponsive")
        assert "worker unresponsive, native code keeps the GIL; a new one starts worker=0 pid=" in said
        holder = re.search(
            r"it is held by (thread \d+ \(.+\)), which sleeps in (\w+), in GET /lock since \d+\.\ds", said
        )
        assert holder is not None, said
        assert "nanosleep" in holder[2]
        line = 1 + (serve.directory / "app.py").read_text().splitlines().index("        libc.sleep(60)  # here")
        first = said.split("Python stacks:\n")[1].splitlines()
        assert first[0].startswith(f"{holder[1]}: Thread 0x")
        assert first[1].endswith(f'app.py", line {line} in application')
        server.wait_children(1, without=[worker])
        assert re.search('request cut request="GET /lock" worker=0 after=\\d+\\.\\ds', server.log)
    with server.connect() as connection:
        assert connection.request(ask("/")).body == b"hello"


def test_worker_that_runs_again_in_time_ends_what_it_has(serve: Serve) -> None:
    """The new one takes long to boot, so the old one is back before."""
    source = serve.source(LOCK)
    path = serve.directory / "app.py"
    waits = "import os, time\nwhile os.path.exists('slow'): time.sleep(0.005)\n"
    path.write_text(waits + path.read_text())
    server = serve_watched(serve, source, 1)
    [worker] = server.children()
    (serve.directory / "slow").touch()
    with server.connect() as held:
        held.send(ask("/hold"))
        wait_begun(server, serve, "/hold")
        os.kill(worker, signal.SIGSTOP)
        server.wait_log("worker stopped")
        os.kill(worker, signal.SIGCONT)
        server.wait_log(rf"worker runs again; it is replaced all the same worker=0 pid={worker}")
        (serve.directory / "slow").unlink()
        server.wait_log(r"worker ready worker=1 pid=\d+")
        (serve.directory / "go").touch()
        assert held.response().body == b"hello"
    server.wait_children(1, without=[worker])
    assert "killed" not in server.log


def test_waits_and_computing_are_not_silence(serve: Serve) -> None:
    busy = """
        import time

        def application(environ, start_response):
            end = time.monotonic() + 3.5
            while time.monotonic() < end:
                pass
            start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
            return [b"hello"]
    """
    server = serve_watched(serve, serve.source(busy), 1)
    [worker] = server.children()
    with server.connect() as connection:
        assert connection.request(GET).body == b"hello"
    assert server.children() == [worker]
    assert "no answer" not in server.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_stop_while_a_worker_is_stopped(serve: Serve, number: signal.Signals) -> None:
    server = serve_watched(serve, serve.source(HELLO), 1, "--graceful-timeout", "1s")
    os.kill(server.children()[0], signal.SIGSTOP)
    server.wait_log("worker stopped")
    assert server.stop(number) == 0
    assert processes.group(server.pid) == []


def test_worker_that_retires_serves_until_another_one_does(serve: Serve) -> None:
    """A request passes its timeout: its worker says so, and goes when it is replaced."""
    server = serve_all_retiring(serve)
    [worker] = server.children()
    load = Load(server, 2)
    with server.connect() as stuck:
        stuck.send(ask("/hold"))
        wait_begun(server, serve, "/hold")
        server.wait_log(rf"worker replaced worker=0 pid={worker} reason=")
        server.wait_log(r"worker ready worker=1 pid=\d+")
        (serve.directory / "go").touch()
        server.wait_children(1, without=[worker])
    load.stop()
    assert load.failed == []
    assert load.answered > 0


def serve_all_retiring(serve: Serve) -> Server:
    server = serve(serve.source(LOCK), "--log-level", "debug", "--request-timeout", "1s")
    server.wait_log(r"worker ready worker=0 pid=\d+")
    return server
