"""What operators expect of any server: the background, names, environment, output, ports that are shared."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.helpers import Serve, processes
from tests.integration.helpers.load import GET
from tests.integration.helpers.serve import HELLO
from tests.integration.helpers.versions import answer, reload

ENV = """
    import os
    import sys
    import time

    print("printed by the app")
    print("said by the app", file=sys.stderr)

    def application(environ, start_response):
        body = f"{os.environ.get('GREETING')} {time.tzname[0]}".encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
"""


def daemon(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hostler", "serve", "app", "--daemon", "--pidfile", "pid", *options]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=30, check=False)


def test_daemon(serve: Serve) -> None:
    serve.source(HELLO)
    done = daemon(serve.directory, "--bind", "unix:app.sock", "--error-log", "error.log")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid = int((serve.directory / "pid").read_text())
    try:
        assert "listening on unix:app.sock" in (serve.directory / "error.log").read_text()  # it serves already
        assert os.getsid(pid) != os.getsid(0)
        assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    finally:
        os.kill(pid, signal.SIGTERM)
        while pid in [row.pid for row in processes.table() if not row.is_zombie]:
            pass
    assert not (serve.directory / "pid").exists()


@pytest.mark.parametrize(
    ("source", "options", "code", "line"),
    [
        ("import nowhere", ("--bind", "unix:a.sock"), 4, "No module named 'nowhere'"),
        (HELLO, ("--bind", "unix:no/a.sock"), 2, 'the directory "no" does not exist'),
    ],
)
def test_daemon_that_does_not_start_says_so(
    serve: Serve, source: str, options: tuple[str, ...], code: int, line: str
) -> None:
    serve.source(source)
    done = daemon(serve.directory, *options)
    assert done.returncode == code
    assert line in done.stderr
    assert not (serve.directory / "pid").exists()


def test_daemon_that_does_not_start_says_so_where_sigchld_was_ignored(serve: Serve) -> None:
    serve.source("import nowhere")
    launch = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
        "os.execv(sys.executable, [sys.executable, '-m', 'hostler', 'serve', 'app', '--daemon', '--bind', 'unix:a'])"
    )
    done = subprocess.run([sys.executable, "-c", launch], cwd=serve.directory, capture_output=True, timeout=30)
    assert done.returncode == 4


def test_environment_of_the_workers(serve: Serve) -> None:
    config = serve.directory / "hostler.toml"
    config.write_text('[env]\nGREETING = "one, two"\nTZ = "Asia/Tokyo"\n')
    server = serve(serve.source(ENV))
    assert answer(server) == "one, two JST"
    config.write_text('env = ["GREETING=three", "TZ=UTC"]\n')
    assert reload(server).returncode == 0
    assert answer(server) == "three UTC"
    assert "GREETING" not in Path(f"/proc/{server.pid}/environ").read_text()


def test_captured_output_after_a_rotation(serve: Serve, tmp_path: Path) -> None:
    """Programs that the app starts have the standard streams still."""
    app = """
        import subprocess, sys

        def application(environ, start_response):
            subprocess.run([sys.executable, "-c", "print('by a program')"], check=True)
            start_response("200 OK", [("Content-Length", "2")])
            return [b"ok"]
    """
    log = tmp_path / "error.log"
    server = serve(serve.source(app), "--capture-output", "--error-log", str(log), bind="unix:app.sock", ready=False)
    server.wait_for(lambda: log.exists() and "listening on" in log.read_text(), "the error log")
    log.rename(tmp_path / "error.log.1")
    server.kill(signal.SIGUSR1)
    server.wait_for(log.exists, "the new file")

    def ask() -> str:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(serve.directory / "app.sock"))
            sock.sendall(GET)
            sock.recv(100)
        return log.read_text()

    server.wait_for(lambda: "by a program" in ask(), "the program's line")


@pytest.mark.parametrize("options", [(), ("--preload",)])
def test_captured_output(serve: Serve, tmp_path: Path, options: tuple[str, ...]) -> None:
    log = tmp_path / "error.log"
    server = serve(serve.source(ENV), "--capture-output", "--error-log", str(log), *options, ready=False)
    server.wait_for(lambda: log.exists() and "listening on" in log.read_text(), "the error log")
    server.wait_for(lambda: "said by the app" in log.read_text(), "standard error")
    assert server.log == ""


def test_names_of_the_processes(serve: Serve) -> None:
    server = serve(serve.source(HELLO), "--proc-name", "shop", "--preload")
    names = {Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0 ") for pid in (server.pid, *server.wait_children(2))}
    assert names == {"shop: arbiter", "shop: template", "shop: worker 0"}


def test_names_without_the_library(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "setproctitle.py").write_text("raise ImportError\n")
    env = {"PYTHONPATH": str(tmp_path / "without")}
    server = serve(serve.source(HELLO), "--proc-name", "shop", env=env)
    [worker] = server.children()
    assert Path(f"/proc/{worker}/comm").read_text() == "shop: worker 0\n"


def test_two_servers_on_one_port(serve: Serve) -> None:
    first = serve(serve.source(HELLO), "--reuse-port")
    bind = f"127.0.0.1:{first.port}"
    second = serve(serve.source(HELLO), "--reuse-port", bind=bind)
    assert second.port == first.port
    third = serve(serve.source(HELLO), bind=bind, ready=False)
    assert third.wait() == 1
    assert "address already in use" in third.log
    first.stop()
    with second.connect() as connection:
        assert connection.request(GET).body == b"hello"
