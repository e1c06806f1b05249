"""Signals that neither stop nor reload: logs are reopened, the rest is ignored and said."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.integration.helpers import Serve
from tests.integration.helpers.load import GET

APP = """
    def application(environ, start_response):
        print("the app says", environ["PATH_INFO"], file=environ["wsgi.errors"])
        start_response("200 OK", [("Content-Length", "0")])
        return []
"""


def test_usr1_reopens_the_logs_of_all_processes(serve: Serve, tmp_path: Path) -> None:
    error, access = tmp_path / "error.log", tmp_path / "access.log"
    server = serve(serve.source(APP), "--error-log", str(error), "--access-log", str(access), ready=False)
    server.log_path = error  # what the helper reads
    server.wait_for(error.exists, "the log")
    server.wait_ready()

    def ask(path: str) -> None:
        with server.connect() as connection:
            assert connection.request(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).status == 200

    ask("/one")
    server.wait_for(lambda: access.exists() and "/one" in access.read_text(), "/one in the access log")
    ports = server.addresses
    for log in (error, access):
        log.rename(log.with_suffix(".1"))
    server.kill(signal.SIGUSR1)
    server.wait_for(lambda: error.exists() and access.exists(), "new files")
    address = ports[0]
    assert isinstance(address, tuple)
    error.write_text(f"listening on http://{address[0]}:{address[1]}\n")  # so that the helper finds it again
    server.wait_for(lambda: _asked(ask, access), "/two in the new access log")
    assert "the app says /one" in error.with_suffix(".1").read_text()
    assert "the app says /two" in error.read_text()
    assert "/two" not in access.with_suffix(".1").read_text()
    server.stop()
    assert "stopped" in error.read_text()


def _asked(ask: object, access: Path) -> bool:
    """The worker reopens a moment after the arbiter, so one question may still go to the old file."""
    assert callable(ask)
    ask("/two")
    return "/two" in access.read_text()


def test_a_terminal_that_changes_its_size_changes_nothing(serve: Serve) -> None:
    server = serve(serve.source(APP))
    [worker] = server.children()
    os.killpg(server.pid, signal.SIGWINCH)
    with server.connect() as connection:
        assert connection.request(GET).status == 200
    assert server.children() == [worker]


def test_programs_that_the_app_starts_have_normal_signals(serve: Serve) -> None:
    app = """
        import subprocess, sys
        CODE = "import signal; print(signal.getsignal(2), signal.getsignal(15), signal.pthread_sigmask(0, []))"
        def application(environ, start_response):
            start_response("200 OK", [])
            return [subprocess.run([sys.executable, "-c", CODE], capture_output=True).stdout]
    """
    server = serve(serve.source(app))
    with server.connect() as connection:
        body = connection.request(GET).body
    assert body == b"<built-in function default_int_handler> 0 set()\n"
