"""`hostler top` over a real server under load."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import pytest
from textual.pilot import Pilot

from hostler.cli.asking import Wanted
from hostler.cli.top.app import Top
from hostler.cli.top.model import View
from hostler.cli.top.screens import Page
from hostler.cli.top.server import Server as Watched
from tests.integration.helpers import Serve, Server
from tests.integration.helpers.apps import HOLD
from tests.integration.helpers.load import HELD, KeepAlive, Load, wait_held


def watch(control: str, script: Callable[[Top, Pilot[None]], Awaitable[None]]) -> None:
    """Run a view of the server with this control socket, for as long as the script takes."""

    async def main() -> None:
        app = Top(Watched(Wanted(control, None)), 0.2)
        async with app.run_test(size=(160, 45)) as pilot:
            await script(app, pilot)

    asyncio.run(main())


async def until(app: Top, pilot: Pilot[None], condition: Callable[[View], object]) -> View:
    """Wait until what is shown meets the condition."""
    deadline = time.monotonic() + 20
    while app.shown is None or not condition(app.shown):
        assert time.monotonic() < deadline, app.shown
        await pilot.pause(0.02)
    return app.shown


@pytest.mark.slow
def test_a_slow_request_its_stack_and_a_worker_that_is_replaced(serve: Serve) -> None:
    server = serve(serve.source(HOLD), "--workers", "2", "--control", "control.sock")
    loads = [Load(server, 1), KeepAlive(server, 2)]

    async def script(app: Top, pilot: Pilot[None]) -> None:
        seen = await until(app, pilot, lambda view: any(each.path == "/hold" for each in view.running))
        slow = next(each for each in seen.running if each.path == "/hold")
        assert slow.method == "GET"
        assert seen.running[0] == slow, "it is the oldest"
        seen = await until(app, pilot, lambda view: view.server.rates.p99 and view.server.cpu and view.server.pss)
        assert (seen.server.rates.requests or 0) > 10
        assert (seen.server.rates.p50 or 0) <= (seen.server.rates.p99 or 0)
        assert sorted(row.pid for row in seen.rows) == server.children()
        assert {row.state for row in seen.rows} == {"ready"}

        while app.focused is not app.query_one("#requests"):
            await pilot.press("tab")
        await pilot.press("home", "enter")
        page = app.screen
        assert isinstance(page, Page)
        await until(app, pilot, lambda view: "GET /hold" in page.text)
        assert "app.py" in page.text, "the app, which sleeps and looks"
        await pilot.press("escape")

        victim = next(row.pid for row in seen.rows if row.worker == slow.worker)
        await pilot.press("x", "y")
        await until(app, pilot, lambda view: any(row.pid == victim and row.state == "draining" for row in view.rows))
        (serve.directory / "go").touch()
        seen = await until(app, pilot, lambda view: victim not in [row.pid for row in view.rows])
        assert len([row for row in seen.rows if row.state == "ready"]) == 2
        assert seen.server.restarts["limit"] == 1

    try:
        with server.connect() as running:
            running.send(HELD)
            wait_held(server, serve)
            watch(str(serve.directory / "control.sock"), script)
            assert running.response().status == 200
    finally:
        for load in loads:
            load.stop()
    assert [load.failed for load in loads] == [[], []]
    assert min(load.answered for load in loads) > 10


def test_a_server_that_ends_and_comes_back(serve: Serve) -> None:
    target, control = serve.source(HOLD), str(serve.directory / "control.sock")
    server = serve(target, "--control", control)

    async def script(app: Top, pilot: Pilot[None]) -> None:
        await until(app, pilot, lambda view: view.server.pid == server.pid)
        assert server.stop() == 0
        await until(app, pilot, lambda view: app.query_one("#notice").display)
        other = serve(target, "--control", control)
        await until(app, pilot, lambda view: view.server.pid == other.pid)
        assert not app.query_one("#notice").display

    watch(control, script)


def test_in_a_terminal(serve: Serve) -> None:
    server = serve(serve.source(HOLD))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "hostler", "top", "--pid", str(server.pid)]
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True) as top:
        try:
            os.close(theirs)
            _read_until(ours, f"pid {server.pid}".encode())
            os.write(ours, b"q")
            _read_until(ours, b"\x1b[?1049l")  # the terminal is as it was
            assert top.wait(timeout=10) == 0
        finally:
            if top.poll() is None:
                os.killpg(top.pid, signal.SIGKILL)
            os.close(ours)
    assert server.children()


def test_not_in_a_terminal(serve: Serve) -> None:
    server: Server = serve(serve.source(HOLD))
    command = [sys.executable, "-m", "hostler", "top", "--pid", str(server.pid)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "hostler: top needs a terminal; for programs there is: hostler status --json\n"


def _read_until(fd: int, wanted: bytes) -> None:
    seen, deadline = b"", time.monotonic() + 20
    while wanted not in seen:
        assert time.monotonic() < deadline, seen
        if select.select([fd], [], [], 0.1)[0]:
            try:
                seen += os.read(fd, 65536)
            except OSError:  # its other end is closed
                raise AssertionError(f"no {wanted!r} in {seen!r}") from None
