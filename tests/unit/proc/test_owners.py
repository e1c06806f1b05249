"""Who has it: processes by pid and by socket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hostler.proc import owners
from hostler.proc.owners import Owner

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc")


def test_tcp_owner_is_this_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        owner = owners.tcp_owner(listener.getsockname()[1])
    assert owner is not None
    assert owner.pid == os.getpid()


def test_port_that_nobody_has() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert owners.tcp_owner(port) is None


@pytest.mark.parametrize("name", ["/a b.sock", "\0abstract"])
def test_unix_owner(tmp_path: Path, name: str) -> None:
    path = name + str(os.getpid()) if name.startswith("\0") else f"{tmp_path}{name}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        owner = owners.unix_owner(path)
    assert owner is not None
    assert owner.pid == os.getpid()
    assert owners.unix_owner(path) is None


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ([sys.executable, "/usr/bin/gunicorn", "shop.wsgi"], "gunicorn shop.wsgi"),
        ([sys.executable, "-m", "gunicorn", "shop.wsgi"], "gunicorn shop.wsgi"),
        ([sys.executable, "-c", "pass"], f"{os.path.basename(sys.executable)} -c pass"),
        (["/usr/sbin/nginx", "-g", "daemon off;"], "nginx -g daemon off;"),
        (["gunicorn: master [shop]"], "gunicorn: master [shop]"),
        (["x", "evil\n[INFO] forged"], r"x evil\n[INFO] forged"),
        (["x" * 100], "x" * 57 + "..."),
    ],
)
def test_command_as_one_would_say_it(
    arguments: list[str], shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cmdline = tmp_path / "cmdline"
    cmdline.write_bytes("\0".join(arguments).encode() + b"\0")
    real = open

    def fake(path: str, *args: object, **kwargs: object) -> object:
        return real(cmdline if path == "/proc/77/cmdline" else path, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(owners, "open", fake, raising=False)
    assert str(Owner.of(77)) == f'"{shown}" (pid 77)'


def test_process_that_cannot_be_read() -> None:
    assert str(Owner(4242, "")) == "process 4242"
    assert Owner.of(2**22 + 1) == Owner(2**22 + 1, "")


def test_start_of_a_process() -> None:
    before = time.time()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = owners.started_at(process.pid)
        process.communicate(b"\n")
    assert started is not None
    assert before - 1.5 < started < time.time() + 1.5
    assert owners.started_at(process.pid) is None
