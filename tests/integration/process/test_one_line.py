"""What goes wrong at the start is told in one line, which says what it is and what to do; and nothing is lost."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.helpers import Serve
from tests.integration.helpers.load import GET
from tests.integration.helpers.serve import HELLO

# The interpreter may lie where only root can read it: all that is needed is imported before root's rights are given up.
IMPORT_ALL = """import grp, importlib, ipaddress, os, pkgutil, pwd, sys, hostler.cli
for each in pkgutil.walk_packages(hostler.__path__, "hostler."):
    if "__main__" not in each.name and "integrations" not in each.name:
        importlib.import_module(each.name)
"localhost".encode("idna"), open(os.devnull, encoding="ascii").close()
"""


def said(cwd: Path, *words: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """The exit code, and the one line of a command that does not start."""
    command = [sys.executable, "-m", "hostler", *words]
    clean = {**os.environ, "PYTHONPATH": str(cwd), **(env or {})}
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=30, check=False, env=clean)
    [line] = done.stderr.splitlines()
    return done.returncode, line


def test_stale_pid_file_and_stale_socket_are_no_hindrance(serve: Serve, tmp_path: Path) -> None:
    """Of a server that was killed: the next one takes them over without a word."""
    path, pidfile = tmp_path / "app.sock", tmp_path / "pid"
    first = serve(serve.source(HELLO), "--pidfile", str(pidfile), bind=f"unix:{path}")
    first.kill(signal.SIGKILL)
    first.wait()
    first.wait_gone()
    assert path.exists()
    assert pidfile.exists()
    second = serve(serve.source(HELLO), "--pidfile", str(pidfile), bind=f"unix:{path}")
    assert pidfile.read_text() == f"{second.pid}\n"
    with second.connect() as connection:
        assert connection.request(GET).body == b"hello"


def test_pid_file_of_a_living_server(serve: Serve, tmp_path: Path) -> None:
    server = serve(serve.source(HELLO), "--pidfile", "pid")
    code, line = said(serve.directory, "serve", "app", "--bind", "127.0.0.1:0", "--pidfile", "pid")
    assert code == 1
    assert line.startswith(f'hostler: pidfile {serve.directory}/pid: it belongs to "')
    assert line.endswith(f"(pid {server.pid}), which is running")


def test_port_in_use(serve: Serve) -> None:
    serve.source(HELLO)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, line = said(serve.directory, "serve", "app", "--bind", f"127.0.0.1:{port}")
    assert code == 1
    assert line.startswith(f"hostler: bind 127.0.0.1:{port}: address already in use by ")
    assert line.endswith(f"(pid {os.getpid()})")


def test_full_disk_for_logs(serve: Serve) -> None:
    server = serve(serve.source(HELLO), "--error-log", "/dev/full", "--bind", "unix:app.sock", bind=[], ready=False)
    line = "hostler: error_log /dev/full: No space left on device; its lines are lost until it can be written\n"
    server.wait_for(lambda: server.log == line, "the line")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(serve.directory / "app.sock"))
        sock.sendall(GET)
        assert sock.recv(100).startswith(b"HTTP/1.1 200 OK")


def test_deleted_working_directory(serve: Serve, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"import os, subprocess, sys; os.rmdir('{gone}'); sys.argv[0] = 'hostler'; from hostler.cli import main; "
    script += "sys.exit(main(['serve', 'app']))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], cwd=gone, capture_output=True, text=True, timeout=30, check=False,
        env={**os.environ, "PWD": str(gone)},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "hostler: the current directory was deleted: start the server in another one\n"


def test_directory_that_is_deleted_while_it_serves(serve: Serve) -> None:
    release = serve.directory / "release"
    release.mkdir()
    source = "def application(e, s):\n    s('200 OK', [('Content-Length', '1')])\n    return [b'1']\n"
    (release / "app.py").write_text(source)
    server = serve("app", cwd=release)
    shutil.rmtree(release)
    server.kill(signal.SIGHUP)
    reason = f"the directory {release} cannot be entered: No such file or directory"
    server.wait_log(f"not reloaded, nothing has changed: {reason} reason=SIGHUP")
    with server.connect() as connection:
        assert connection.request(GET).body == b"1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can show what another user may not do")
@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--bind", "127.0.0.1:81"), "hostler: bind 127.0.0.1:81: ports below 1024 need root or CAP_NET_BIND_SERVICE"),
        (("--bind", "unix:/usr/app.sock"), "hostler: bind unix:/usr/app.sock: this user may not create it"),
        (("--error-log", "/proc/error.log"), "hostler: error_log /proc/error.log: "),
        (("--pidfile", "/proc/pid"), "hostler: pidfile /proc/pid: "),
        (
            ("--user", "root"),
            "hostler: --user: only root can run workers as another user: leave it out, or start the ",
        ),
    ],
)
def test_user_without_rights(serve: Serve, options: tuple[str, ...], line: str) -> None:
    script = f"{IMPORT_ALL}os.setuid(65534); sys.exit(hostler.cli.main({['serve', 'app', *options]!r}))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd="/", capture_output=True, text=True, timeout=30, check=False
    )
    [last] = done.stderr.splitlines()
    assert last.startswith(line)
    assert done.returncode in (1, 2)


def test_broken_gunicorn_conf(serve: Serve) -> None:
    serve.source("bind = 127.0.0.1\n", "gunicorn.conf")
    code, line = said(serve.directory, "gunicorn", "app")
    assert (code, line) == (2, "hostler: gunicorn.conf.py:1: SyntaxError: invalid syntax")


def test_unknown_option_with_its_line(serve: Serve) -> None:
    (serve.directory / "hostler.toml").write_text("\nworker = 3\n")
    code, line = said(serve.directory, "serve", "app")
    assert (code, line) == (2, 'hostler: hostler.toml:2: unknown option "worker" - did you mean "workers"?')
