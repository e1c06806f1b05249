"""Signals for a receiver that has no handlers of its own: while the arbiter starts, right after a fork, at the end."""

from __future__ import annotations

import os
import signal
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.helpers import HELLO, Serve, Server, processes
from tests.integration.helpers.load import GET

# Runs in each interpreter before hostler. Waits where the test wants it, until the file "go" is there.
HOLD = """
    import os, sys, time

    def hold(name):
        path = os.environ["HELD"] + "/" + name
        open(path, "w").close()
        while not os.path.exists(os.environ["HELD"] + "/go"):
            time.sleep(0.005)

    class Finder:
        def find_spec(name, path=None, target=None):
            if name == os.environ.get("HOLD_IMPORT"):
                hold("import")

    DEPTH = 0

    def forked():
        global DEPTH
        DEPTH += 1
        if str(DEPTH) == os.environ.get("HOLD_FORK"):
            hold(f"fork-{os.getpid()}")

    def setsid(real=os.setsid):
        if os.environ.get("HOLD_SETSID"):
            hold(f"fork-{os.getpid()}")
        real()

    def unlink(path, *args, real=os.unlink, **kwargs):
        if path == os.environ.get("HOLD_UNLINK"):
            hold("unlink")
        real(path, *args, **kwargs)

    os.setsid = setsid
    os.unlink = unlink
    sys.meta_path.insert(0, Finder)
    os.register_at_fork(after_in_child=forked)
    if os.environ.get("HOLD_PARENT"):
        os.register_at_fork(after_in_parent=lambda: hold("parent"))
"""
ASKS = sorted({signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU})


def start(serve: Serve, tmp_path: Path, options: Sequence[str] = (), **holds: str) -> Server:
    """A server that waits at a place; `go` lets it go on."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(textwrap.dedent(HOLD))
    env = {"PYTHONPATH": str(folder), "HELD": str(tmp_path), **holds}
    return serve(serve.source(HELLO), *options, env=env, ready=False)


def held(server: Server, tmp_path: Path) -> int:
    """The pid of the child that waits right after its fork."""
    names = server.wait_for(lambda: [path.name for path in tmp_path.glob("fork-*")], "the fork")
    return int(names[0].removeprefix("fork-"))


@pytest.mark.parametrize("number", ASKS)
def test_signal_while_the_server_starts_does_not_end_it(serve: Serve, tmp_path: Path, number: int) -> None:
    server = start(serve, tmp_path, HOLD_IMPORT="hostler.cli.serve")
    server.wait_for((tmp_path / "import").exists, "the import")
    os.kill(server.pid, number)
    (tmp_path / "go").touch()
    server.wait_ready()
    with server.connect() as connection:
        assert connection.request(GET).body == b"hello"
    if number == signal.SIGHUP:  # not lost either
        server.wait_log("reloaded")
    assert server.stop() == 0


# How many forks lead to the process: a worker, a template, a worker that a template has forked (twice).
@pytest.mark.parametrize(("depth", "options"), [("1", []), ("1", ["--preload"]), ("3", ["--preload"])])
def test_signal_right_after_the_fork_does_not_end_a_child_that_it_is_not_meant_for(
    serve: Serve, tmp_path: Path, depth: str, options: Sequence[str]
) -> None:
    server = start(serve, tmp_path, options, HOLD_FORK=depth)
    child = held(server, tmp_path)
    for number in (signal.SIGINT, *ASKS):
        os.kill(child, number)
    (tmp_path / "go").touch()
    server.wait_ready()
    assert child in server.children()
    with server.connect() as connection:
        assert connection.request(GET).body == b"hello"
    assert "WARNING" not in server.log
    assert server.stop() == 0


@pytest.mark.parametrize(("depth", "options"), [("1", []), ("3", ["--preload"])])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_signal_right_after_the_fork_that_means_the_end_of_a_worker_is_not_lost(
    serve: Serve, tmp_path: Path, depth: str, options: Sequence[str], number: signal.Signals
) -> None:
    server = start(serve, tmp_path, options, HOLD_FORK=depth)
    child = held(server, tmp_path)
    os.kill(child, number)
    (tmp_path / "go").touch()
    server.wait_log(rf"worker died before it was ready worker=\d pid={child} signal={number.name}")
    server.wait_ready()
    assert child not in server.children()
    assert server.stop() == 0


def test_signals_while_a_successor_starts_do_not_end_it(serve: Serve, tmp_path: Path) -> None:
    """An upgrade: the new server is an arbiter that starts, too. It has no handlers at all when the exec is over."""
    (tmp_path / "go").touch()
    server = start(serve, tmp_path, HOLD_IMPORT="hostler.cli.serve")
    server.wait_ready()
    for name in ("go", "import"):
        (tmp_path / name).unlink()
    server.kill(signal.SIGUSR2)
    [line] = server.wait_log(r"new server starts; .* pid=\d+")
    successor = int(line.rpartition("pid=")[2])
    for number in ASKS:  # at any moment from its fork to its import of the command
        os.kill(successor, number)
    server.wait_for((tmp_path / "import").exists, "the import")
    for number in ASKS:
        os.kill(successor, number)
    (tmp_path / "go").touch()
    server.wait_log_of(r"taken over from another server", alive=successor)
    os.kill(successor, signal.SIGTERM)
    server.wait_gone()


def test_reload_that_is_asked_for_while_the_template_imports_comes_when_the_server_stands(serve: Serve) -> None:
    text = "import os, time\nopen('held', 'w').close()\nwhile not os.path.exists('go'):\n    time.sleep(0.005)\n"
    server = serve(serve.source(text + textwrap.dedent(HELLO)), "--preload", ready=False)
    server.wait_for((serve.directory / "held").exists, "the import")
    server.kill(signal.SIGHUP)
    (serve.directory / "go").touch()
    server.wait_ready()
    server.wait_log("reloaded")
    assert server.stop() == 0


@pytest.mark.parametrize("holds", [{}, {"HOLD_PARENT": "1"}])
def test_ctrl_c_right_after_the_fork_of_a_daemon_does_not_end_it(
    serve: Serve, tmp_path: Path, holds: dict[str, str]
) -> None:
    """The command has not had its own session yet: the terminal signals both, and the command says that it goes on."""
    options = ("--daemon", "--pidfile", "pid", "--error-log", "error.log")
    server = start(serve, tmp_path, options, HOLD_SETSID="1", **holds)
    child = held(server, tmp_path)
    if holds:
        server.wait_for((tmp_path / "parent").exists, "the command after its fork")
    for pid in (server.pid, child):
        os.kill(pid, signal.SIGINT)
    (tmp_path / "go").touch()
    assert server.wait() == 0
    log = serve.directory / "error.log"
    deadline = time.monotonic() + 20
    while "listening on" not in (log.read_text() if log.exists() else ""):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(child, signal.SIGTERM)
    while child in [row.pid for row in processes.table() if not row.is_zombie]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP])
def test_signal_while_the_server_removes_its_files_changes_nothing(
    serve: Serve, tmp_path: Path, number: signal.Signals
) -> None:
    server = start(serve, tmp_path, ["--pidfile", "app.pid"], HOLD_UNLINK="app.pid")
    server.wait_ready()
    server.kill(signal.SIGTERM)
    server.wait_for((tmp_path / "unlink").exists, "the removal of the pid file")
    server.kill(number)
    (tmp_path / "go").touch()
    assert server.wait() == 0
    assert not (tmp_path / "app.pid").exists()
