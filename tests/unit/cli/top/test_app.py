"""The view, with keys pressed by the test and a server that says what the test wants."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from threading import Event
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from hostler.cli.asking import Wanted
from hostler.cli.top.app import HELP, Top
from hostler.cli.top.model import Order
from hostler.cli.top.screens import Page, Question
from hostler.cli.top.server import Server
from hostler.cli.top.tables import RequestsTable, WorkersTable
from hostler.errors import HostlerError
from tests.unit.cli.top.answers import answer, request, worker

Script = Callable[["Fake", Top, Pilot[None]], Awaitable[None]]


class Fake(Server):
    """Notes what it is asked; one second of its clock goes by with each look."""

    def __init__(self, workers: int = 3) -> None:
        super().__init__(Wanted(None, None))
        self.asked: list[str] = []
        self.workers = [worker(number, 900_000 + number) for number in range(workers)]
        self.running: list[dict[str, Any]] = []
        self.uptime = 10.0
        self.problem = ""
        self.reloaded = Event()
        self.looks = 0

    def look(self) -> dict[str, Any]:
        self.looks += 1
        if self.problem:
            raise HostlerError(self.problem)
        self.uptime += 1
        self.workers = [{**each, "requests": each["requests"] + 7} for each in self.workers]
        return answer(self.uptime, *self.workers, running=self.running)

    def stacks(self, worker: int) -> str:
        self.asked.append(f"stacks {worker}")
        return f"worker {worker}\n\nthread [bold] in GET /slow\x1b[2J\n"

    def scale(self, size: int) -> str:
        self.asked.append(f"scale {size}")
        return f"{size} workers, 3 before\n"

    def recycle(self, worker: int) -> str:
        self.asked.append(f"recycle {worker}")
        raise HostlerError(f"worker {worker} that is ready is not there")

    def reload(self) -> str:
        self.asked.append("reload")
        assert self.reloaded.wait(5), "the view stands still"
        return "reloaded in 0.1s\n"


def play(script: Script, workers: int = 3, size: tuple[int, int] = (100, 30), fake: Fake | None = None) -> Top:
    """Run a view for as long as the script takes."""
    server = fake or Fake(workers)
    app = Top(server, 0.1)

    async def main() -> None:
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.shown is not None and app.shown.server.rates.requests is not None)
            await script(server, app, pilot)

    asyncio.run(main())
    return app


async def until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    """Wait for it, with an end."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        await pilot.pause(0.01)


def said(app: Top) -> list[tuple[str, str]]:
    """What stands in the corner: text and severity."""
    return [(each.message, each.severity) for each in app._notifications]


def line(app: Top, id: str) -> str:
    return str(app.query_one(id, Static).render())


def cells(table: WorkersTable | RequestsTable) -> list[list[str]]:
    return [[str(cell).strip() for cell in table.get_row_at(at)] for at in range(table.row_count)]


@pytest.mark.parametrize(("workers", "size"), [(1, (100, 30)), (64, (100, 30)), (1, (160, 45)), (64, (160, 45))])
def test_every_worker_has_its_row(workers: int, size: tuple[int, int]) -> None:
    async def script(server: Fake, app: Top, pilot: Pilot[None]) -> None:
        table = app.query_one(WorkersTable)
        rows = cells(table)
        assert [row[0] for row in rows] == [str(number) for number in range(workers)]
        assert rows[0][:3] == ["0", "900000", "ready"]
        assert rows[0][7 + (size[0] > 130) - 1] == "7.0"
        assert len(rows[0]) == (17 if size[0] > 130 else 15)
        assert sum(column.get_render_width(table) for column in table.columns.values()) <= size[0] - 2
        assert app.query_one(RequestsTable).size.height >= 3
        assert "● serving" in line(app, "#head")
        assert f"{7 * workers:,}" in line(app, "#head").splitlines()[2]

    play(script, workers, size)


def test_plus_and_minus_scale_from_what_was_asked_last() -> None:
    async def script(server: Fake, app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("plus")
        await until(pilot, lambda: said(app))
        assert said(app) == [("4 workers, 3 before", "information")]
        await until(pilot, lambda: app._wanted == 3)
        await pilot.press("minus")
        await until(pilot, lambda: len(server.asked) == 2)
        assert server.asked == ["scale 4", "scale 2"]

    play(script)


def test_reload_asks_first_and_freezes_nothing() -> None:
    async def script(server: Fake, app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("r")
        assert isinstance(app.screen, Question)
        await pilot.press("n")
        assert server.asked == []
        await pilot.press("r", "y")
        await until(pilot, lambda: server.asked == ["reload"])
        looks = server.looks
        await until(pilot, lambda: server.looks > looks + 2)
        server.reloaded.set()
        await until(pilot, lambda: ("reloaded in 0.1s", "information") in said(app))

    play(script)


def test_x_replaces_the_selected_worker() -> None:
    async def script(server: Fake, app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("down", "x")
        assert isinstance(app.screen, Question)
        await pilot.press("escape")
        await pilot.press("x", "y")
        await until(pilot, lambda: server.asked)
        assert server.asked == ["recycle 1"]
        await until(pilot, lambda: ("worker 1 that is ready is not there", "error") in said(app))

    play(script)


def test_x_does_not_replace_a_worker_that_came_while_it_was_asked() -> None:
    async def script(server: Fake, app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("x")
        server.workers[0]["pid"] = 900_500
        await until(pilot, lambda: app.shown is not None and app.shown.rows[0].pid == 900_500)
        await pilot.press("y")
        await until(pilot, lambda: said(app))
        assert said(app) == [("worker 0 is another one by now", "warning")]
        assert server.asked == []

    play(script)


@pytest.mark.parametrize("key", ["s", "enter"])
def test_stacks_of_the_selected_request(key: str) -> None:
    fake = Fake()
    fake.running = [request(0, 1.0, "/quick"), request(2, 30.0, "/slow[1]\x1b", thread=77)]

    async def script(server: Fake, app: Top, pilot: Pilot[None]) -> None:
        table = app.query_one(RequestsTable)
        await until(pilot, lambda: table.row_count == 2)
        assert cells(table)[0] == ["30s", "GET", "/slow[1]\\x1b", "2", "77"]
        await pilot.press("tab", key)
        await until(pilot, lambda: server.asked == ["stacks 2"])
        page = app.screen
        assert isinstance(page, Page)
        await until(pilot, lambda: "GET /slow" in page.text)
        assert page.text == "worker 2\n\nthread [bold] in GET /slow\\x1b[2J"
        await pilot.press("escape")
        await pilot.press("tab", "down", key)
        await until(pilot, lambda: server.asked[1:] == ["stacks 1"])

    play(script, fake=fake)


def test_o_sorts_and_the_cursor_stays_on_its_worker() -> None:
    async def script(server: Fake, app: Top, pilot: Pilot[None]) -> None:
        server.workers[2]["in_flight"] = 5
        table = app.query_one(WorkersTable)
        while app.order is not Order.RUNNING:
            await pilot.press("o")
        await until(pilot, lambda: [row.worker for row in table.rows_shown] == [2, 0, 1])
        assert table.worker is not None
        assert (table.worker.worker, table.cursor_row) == (0, 1)
        assert "by running requests" in str(table.border_subtitle)

    play(script)


def test_workers_that_go_and_come() -> None:
    async def script(server: Fake, app: Top, pilot: Pilot[None]) -> None:
        table = app.query_one(WorkersTable)
        await pilot.press("down", "down")
        server.workers = [server.workers[0], server.workers[2], worker(3, 900_003, state="booting")]
        await until(pilot, lambda: [row.worker for row in table.rows_shown] == [0, 2, 3])
        assert table.worker is not None
        assert table.worker.worker == 2
        server.workers = [server.workers[0]]
        await until(pilot, lambda: table.row_count == 1)
        assert table.worker is not None
        assert table.worker.worker == 0

    play(script)


def test_a_server_that_goes_and_comes_back() -> None:
    async def script(server: Fake, app: Top, pilot: Pilot[None]) -> None:
        notice = app.query_one("#notice")
        assert not notice.display
        server.problem = "no running server was found"
        await until(pilot, lambda: notice.display)
        assert line(app, "#notice") == "no running server was found; trying again"
        assert app.query_one(WorkersTable).row_count == 3, "what was last known stays"
        server.problem, server.uptime = "", 0.0
        await until(pilot, lambda: not notice.display)
        assert app.shown is not None
        assert app.shown.server.uptime < 100

    play(script)


def test_a_server_that_says_nothing() -> None:
    class Silent(Fake):
        is_silent = False

        def look(self) -> dict[str, Any]:
            if self.looks >= 3:
                self.is_silent = True
                self.reloaded.wait(60)
            return super().look()

    now = [100.0]
    server = Silent()
    app = Top(server, 0.02, lambda: now[0])

    async def main() -> None:
        async with app.run_test(size=(100, 30)) as pilot:
            await until(pilot, lambda: server.is_silent)  # since a time that `now` still is
            now[0] += 5
            await until(pilot, lambda: "has not answered for 5s" in line(app, "#notice"))
            server.reloaded.set()
            await until(pilot, lambda: server.looks > 4 and not app.query_one("#notice").display)

    asyncio.run(main())


def test_help_and_quit() -> None:
    async def script(server: Fake, app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("question_mark")
        page = app.screen
        assert isinstance(page, Page)
        assert page.text == HELP
        await pilot.press("q")
        assert app.is_running
        await pilot.press("q")

    assert play(script).return_code == 0
