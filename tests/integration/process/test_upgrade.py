"""hostler upgrade and SIGUSR2: a new server on the same sockets, and no request that notices."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.helpers import Serve, processes
from tests.integration.helpers.commands import end, successor, upgrade
from tests.integration.helpers.load import KeepAlive, Load
from tests.integration.helpers.versions import answer, version


@pytest.mark.parametrize("options", [[], ["--preload"]])
def test_upgrades_under_load_fail_nobody(serve: Serve, tmp_path: Path, options: list[str]) -> None:
    path, pidfile = tmp_path / "app.sock", tmp_path / "pid"
    app = version(serve, "v0")
    server = serve(app, "--workers", "2", "--pidfile", str(pidfile), *options, bind=["127.0.0.1:0", f"unix:{path}"])
    loads = [Load(server, 2), KeepAlive(server, 2)]
    pid = server.pid
    try:
        for number in range(1, 4):
            version(serve, f"v{number}")
            pid = successor(upgrade(pid))
            assert answer(server).startswith(f"v{number} ") or number == 1  # the old one takes what had come
            server.wait_log(rf"{pid}\] \[INFO\] taken over from")
            assert pidfile.read_text() == f"{pid}\n"
            assert answer(server, index=1).startswith(f"v{number} ")
    finally:
        for load in loads:
            load.stop()
        end(server, pid)
    assert [load.failed for load in loads] == [[], []]
    assert min(load.answered for load in loads) > 50
    assert not path.exists()
    assert not pidfile.exists()


def test_signal(serve: Serve) -> None:
    server = serve(version(serve, "v0"))
    version(serve, "v1")
    server.kill(signal.SIGUSR2)
    [said] = server.wait_log(r"the server with pid \d+ has taken over")
    assert server.wait() == 0
    assert answer(server).startswith("v1 ")
    end(server, int(said.split()[4]))


@pytest.mark.parametrize(
    ("text", "said"), [("VERSION = (", "exit_code=4"), ("import os; os.kill(os.getppid(), 9)", "SIGKILL")]
)
def test_version_that_does_not_start_changes_nothing(serve: Serve, tmp_path: Path, text: str, said: str) -> None:
    path, pidfile = tmp_path / "app.sock", tmp_path / "pid"
    options = ["--workers", "2", "--pidfile", str(pidfile), "--log-level", "debug"]
    server = serve(version(serve, "old"), *options, bind=["127.0.0.1:0", f"unix:{path}"])
    server.wait_log(r"worker ready worker=\d pid=\d+", count=2)  # none of them imports what comes now
    load = Load(server, 2)
    serve.source(text)
    for _ in range(3):
        done = upgrade(server.pid)
        assert done.returncode == 1
        assert said in done.stderr
        assert "\nhostler: not upgraded, this one serves on: the new server died " in done.stderr
    load.stop()
    assert load.failed == []
    assert answer(server, index=1).startswith("old ")
    assert pidfile.read_text() == f"{server.pid}\n"
    version(serve, "new")
    pid = successor(upgrade(server.pid))
    server.wait_log("taken over from")
    assert answer(server, index=1).startswith("new ")
    end(server, pid)


def test_configuration_that_is_wrong(serve: Serve) -> None:
    (serve.directory / "hostler.toml").write_text("workers = 2\n")
    server = serve(version(serve, "old"))
    (serve.directory / "hostler.toml").write_text("workers = 0\n")
    assert "exit_code=2" in upgrade(server.pid).stderr
    assert "workers" in server.log
    assert answer(server).startswith("old ")


def test_control_socket_by_its_path(serve: Serve, tmp_path: Path) -> None:
    control = tmp_path / "control.sock"
    server = serve(version(serve, "v0"), "--control", str(control))

    def ask(verb: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hostler", "ctl", verb, "--control", str(control)]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    pid = successor(ask("upgrade"))
    server.wait_log("taken over from")
    server.wait_for(lambda: f"pid {pid}," in ask("status").stdout or None, "the successor's answer")
    end(server, pid)


def test_old_server_killed_meanwhile(serve: Serve) -> None:
    server = serve(version(serve, "v0"))
    version(serve, "v1", pause=1.0)
    server.kill(signal.SIGUSR2)
    [said] = server.wait_log(r"new server starts; .* pid=\d+")
    pid = int(said.rpartition("pid=")[2])
    server.wait_for(lambda: processes.children(pid) or None, "the new worker")
    server.kill(signal.SIGKILL)
    server.wait()
    server.wait_log_of("taken over from", alive=pid)
    deadline = time.monotonic() + 5
    while not answer(server).startswith("v1 "):  # the workers of the old one serve for a moment still
        assert time.monotonic() < deadline
    end(server, pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_a_stop_meanwhile_stops_both(serve: Serve, tmp_path: Path, number: signal.Signals) -> None:
    """Nobody is left who holds the port and answers nobody."""
    server = serve(version(serve, "v0"), bind=["127.0.0.1:0", f"unix:{tmp_path}/app.sock"])
    port = server.port
    version(serve, "v1", pause=2.0)
    server.kill(signal.SIGUSR2)
    [said] = server.wait_log(r"new server starts; .* pid=\d+")
    pid = int(said.rpartition("pid=")[2])
    server.wait_for(lambda: processes.children(pid) or None, "the new worker")
    assert server.stop(number) == 0
    server.wait_gone()
    assert "taken over" not in server.log
    serve(version(serve, "v2"), bind=f"127.0.0.1:{port}")


def test_a_fleet_that_sizes_itself_keeps_its_size(serve: Serve) -> None:
    server = serve(version(serve, "v0"), "--workers", "auto", "--max-workers", "4")
    for count in (2, 3):
        server.kill(signal.SIGTTIN)
        server.wait_children(count)
    pid = successor(upgrade(server.pid))
    assert len(processes.children(pid)) == 3
    server.wait_log("taken over from")
    end(server, pid)
