"""The control socket among other users, stopped servers and clients that say nothing."""

from __future__ import annotations

import errno
import json
import os
import pwd
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.helpers import Serve, Server
from tests.integration.helpers.commands import ctl, stacks
from tests.integration.helpers.serve import HELLO
from tests.integration.helpers.users import needs_root

# Starts the server in its own process, when its id is known and a name has been taken.
WAIT = """
import os, sys, time
while not os.path.exists("go"):
    time.sleep(0.01)
os.execv(sys.executable, [sys.executable, "-m", "hostler", "serve", *sys.argv[1:]])
"""

As = Callable[[Callable[[], None]], int]


@pytest.fixture
def as_nobody() -> Iterator[As]:
    """Runs a function in a process of another user, which is killed after the test; returns when it says so."""
    pids: list[int] = []

    def start(run: Callable[[], None]) -> int:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                nobody = pwd.getpwnam("nobody")
                os.setgroups([])
                os.setresgid(nobody.pw_gid, nobody.pw_gid, nobody.pw_gid)
                os.setresuid(nobody.pw_uid, nobody.pw_uid, nobody.pw_uid)
                run()
                os.write(writer, b"+")
                signal.pause()
            finally:
                os._exit(1)
        os.close(writer)
        pids.append(pid)
        with open(reader, "rb") as said:
            assert said.read(1) == b"+"
        return pid

    yield start
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


KEPT: list[socket.socket] = []


def squat(name: str, answer: str = "") -> Callable[[], None]:
    """Listen on an abstract name; with an `answer`, give it to everything that is asked."""

    def run() -> None:
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(f"\0{name}")
        sock.listen(16)
        KEPT.append(sock)
        if answer:
            threading.Thread(target=give, args=(sock,), daemon=True).start()

    def give(sock: socket.socket) -> None:
        said = json.dumps({"ok": True, "answer": answer}).encode() + b"\n"
        while True:
            client, _ = sock.accept()
            with client:
                if client.recv(1024):
                    client.sendall(said)

    return run


@needs_root
def test_server_whose_name_is_taken_says_so_once_and_is_found_by_its_file(
    serve: Serve, as_nobody: As, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (serve.directory / "wait.py").write_text(WAIT)
    server = serve(serve.source(HELLO), "--workers", "1", python=("wait.py",), ready=False)
    other = as_nobody(squat(f"hostler/0/{server.pid}", "reloaded in no time\n"))
    (serve.directory / "go").touch()
    server.wait_ready()
    path = f"{tmp_path}/hostler/{server.pid}.sock"
    [warning] = re.findall(r"\[WARNING\] (.*)", server.log)
    uid = pwd.getpwnam("nobody").pw_uid
    taken = rf"control @hostler/0/{server.pid}: user {uid}'s .*\(pid {other}\) listens there already"
    assert re.fullmatch(f'control socket has another name path={path} reason="{taken}"', warning)
    assert json.loads(ctl(server, "status", "--json").stdout)["pid"] == server.pid
    assert ctl(server, "reload").stdout.startswith("reloaded workers=")
    assert "workers=1" in re.findall("reloading; .*", server.log)[0]
    os.unlink(path)
    server.wait_for(lambda: os.path.exists(path), "the file again")
    assert ctl(server, "stop").stdout == "stopped\n"
    assert server.wait() == 0
    assert not os.path.exists(path)


@needs_root
@pytest.mark.parametrize("uid", ["0", "65534", "00"])
def test_name_with_a_servers_process_id_that_another_user_has_is_not_asked(
    serve: Serve, as_nobody: As, uid: str
) -> None:
    server = serve(serve.source(HELLO))
    if uid != "0":
        as_nobody(squat(f"hostler/{uid}/{server.pid}", "reloaded in no time\n"))
    as_nobody(squat(f"hostler/{uid}/{os.getpid()}", "reloaded in no time\n"))
    done = ctl(server, "reload")
    assert done.stdout.startswith("reloaded workers=")
    assert "workers=1" in re.findall("reloading; .*", server.log)[0]
    done = stacks("--pid", str(os.getpid()))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"no server with process id {os.getpid()} has a control socket here" in done.stderr


@needs_root
def test_chosen_name_of_another_user_is_asked_by_root_only_when_its_process_is_named(as_nobody: As) -> None:
    name = f"hostler-test-{os.getpid()}"
    other = as_nobody(squat(name, "no stack at all\n"))
    done = stacks("--control", f"@{name}")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(rf"@{name} is that of user \d+'s .*\(pid {other}\): say --pid {other} if you mean it", done.stderr)
    done = stacks("--control", f"@{name}", "--pid", str(other))
    assert (done.returncode, done.stdout) == (0, "no stack at all\n")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse the connection")
def test_control_file_of_a_server_with_a_full_backlog_is_not_taken_over(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    server = serve(serve.source(HELLO), "--control", str(path))
    inode = path.stat().st_ino
    server.kill(signal.SIGSTOP)
    waiting = []
    try:
        while True:
            sock = socket.socket(socket.AF_UNIX)
            sock.setblocking(False)
            waiting.append(sock)
            if sock.connect_ex(str(path)) == errno.EAGAIN:
                break
        second = serve("app", "--control", str(path), ready=False)
        assert second.wait() == 1
        assert f"control {path}: " in second.log
        assert "listens there already" in second.log
        assert path.stat().st_ino == inode
    finally:
        for sock in waiting:
            sock.close()
        server.kill(signal.SIGCONT)
    assert stacks("--control", str(path)).returncode == 0


def silent(path: str, count: int) -> list[socket.socket]:
    """Clients that connect and say nothing."""
    found = []
    for _ in range(count):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)  # waits for room in the backlog
        sock.settimeout(10)
        found.append(sock)
    return found


def status(server: Server) -> object:
    return json.loads(ctl(server, "status", "--json").stdout)["pid"]


def test_clients_that_say_nothing_keep_none_out(serve: Serve, tmp_path: Path) -> None:
    path = str(tmp_path / "control.sock")
    serve(serve.source(HELLO), "--control", path)
    clients = silent(path, 100)
    try:
        assert stacks("--control", path).returncode == 0
        assert clients[0].recv(1) == b""  # it made room
        clients[-1].sendall(b'{"ask": ["log-level", "info"]}\n')
        assert json.loads(clients[-1].recv(1000))["ok"]
    finally:
        for client in clients:
            client.close()


def test_clients_that_wait_for_the_end_of_a_reload_keep_none_out(serve: Serve, tmp_path: Path) -> None:
    path = str(tmp_path / "control.sock")
    app = serve.source(HELLO)
    server = serve(app, "--control", path)
    (serve.directory / "app.py").write_text("import time\ntime.sleep(60)\n")
    clients: list[socket.socket] = []
    try:
        for _ in range(80):
            clients += silent(path, 1)
            clients[-1].sendall(b'{"ask": ["reload"]}\n')
        server.wait_log("reloading; .* workers=1")
        done = stacks("--control", path)
        assert (done.returncode, done.stderr) == (0, "")
    finally:
        for client in clients:
            client.close()


@needs_root
def test_clients_of_another_user_are_turned_away_and_keep_none_out(serve: Serve, as_nobody: As) -> None:
    server = serve(serve.source(HELLO))
    name = f"\0hostler/0/{server.pid}"

    def crowd() -> None:
        for _ in range(5):
            KEPT.extend(silent(name, 40))
        assert all(sock.recv(1) == b"" for sock in KEPT)
        KEPT.clear()
        KEPT.extend(silent(name, 40))

    as_nobody(crowd)
    assert status(server) == server.pid
