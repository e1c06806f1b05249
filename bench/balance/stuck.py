"""One worker hangs in native code that keeps the interpreter's lock: who else waits for it?

Each connection's requests are due at fixed times. One that waits keeps the next ones from being sent, so those are
counted with the time from when they were due: otherwise a server that holds a connection for 10 s would have made one
request slow, and not the five hundred that a user there would have sent.
"""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import NamedTuple

from bench.balance.servers import Bench, Page, Running, contender, running
from bench.clients import Client, Tally, percentile, run
from bench.prepare import say
from bench.report import grid
from bench.svg import Panel, bars

WORKERS = 4
CONNECTIONS = 16
EACH = 0.02  # seconds from one request of a connection to the next
STUCK = 10.0  # seconds, as in the app
WARM = 1.0
LATE = 1.0

SERVERS = (
    contender("hostler, threads", "who:app", "hostler"),
    contender("gunicorn gthread", "who:app", "gunicorn-gthread"),
    contender("granian", "who:app", "granian-defaults"),
)


class Wait(NamedTuple):
    """One request that was due."""

    due: float
    took: float


class Found(NamedTuple):
    """One round on one server; times in seconds."""

    before: float  # p99
    during: float
    longest: list[float]  # of each connection while the worker was stuck, the longest first
    failed: int
    stuck: str  # what became of the request that did it; empty: it was answered

    @property
    def late(self) -> int:
        """Connections that somebody waited on."""
        return sum(each > LATE for each in self.longest)


class Regular:
    """The clients: each asks at its own fixed times."""

    def __init__(self, port: int, before: float) -> None:
        self.waits: list[list[Wait]] = [[] for _ in range(CONNECTIONS)]
        self.others = Tally()
        self.sticking = Tally()
        self._port = port
        self._start = time.monotonic() + 0.1
        self.begin = self._start + WARM
        self.sticks = self.begin + before
        self.end = self.sticks + STUCK

    async def run(self) -> None:
        await asyncio.gather(self._stick(), *(self._ask(number) for number in range(CONNECTIONS)))

    async def _stick(self) -> None:
        await _sleep_until(self.sticks)
        await Client(self._port, self.sticking, keeps=False).ask("/stuck")

    async def _ask(self, number: int) -> None:
        client = Client(self._port, self.others)
        due = self._start + EACH * number / CONNECTIONS
        while due < self.end:
            await _sleep_until(due)
            asked = time.monotonic()
            await client.ask()
            done = time.monotonic()
            self.waits[number].append(Wait(due, done - asked))
            due += EACH
            while due < min(done, self.end):
                self.waits[number].append(Wait(due, done - due))
                due += EACH
        client.close()


async def _sleep_until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.monotonic()))


def table(bench: Bench) -> Page:
    """Fresh servers in each round."""
    rounds: dict[str, list[Found]] = {server.name: [] for server in SERVERS}
    for turn in range(bench.rounds):
        first = turn % len(SERVERS)
        for server in SERVERS[first:] + SERVERS[:first]:
            with running(bench, server, WORKERS) as serving:
                found = _measure(serving, bench.seconds)
            rounds[server.name].append(found)
            say(f"{server.name}: {_words(found)}, {found.failed} failed{found.stuck and '; ' + found.stuck}")
    return Page(_lines(rounds, bench), {"connections": _plot(rounds)})


def _measure(serving: Running, seconds: float) -> Found:
    load = Regular(serving.port, seconds)
    run(load.run())
    during = [[each.took for each in waits if each.due >= load.sticks] for waits in load.waits]
    before = [each.took for waits in load.waits for each in waits if load.begin <= each.due < load.sticks - LATE]
    return Found(
        percentile(before, 0.99),
        percentile([took for times in during for took in times], 0.99),
        sorted((max(times, default=0.0) for times in during), reverse=True),
        len(load.others.failures),
        "; ".join(load.sticking.failures),
    )


def _words(found: Found) -> str:
    before, during = found.before * 1e3, found.during * 1e3
    return f"p99 {before:.1f} ms, then {during:.1f} ms; {found.late} of {CONNECTIONS} waited > {LATE:g} s"


def _lines(rounds: dict[str, list[Found]], bench: Bench) -> list[str]:
    rows = []
    for server in SERVERS:
        found = rounds[server.name]
        before, during = median(each.before for each in found), median(each.during for each in found)
        rows.append(
            [
                server.name,
                f"{1e3 * before:.1f}",
                f"{1e3 * during:.1f}",
                f"{during / before:.1f}×" if before else "–",
                f"{median(each.late for each in found):g} of {CONNECTIONS}",
                f"{median(each.longest[0] for each in found):.2f}",
                f"{max(each.longest[0] for each in found):.2f}",
                f"{sum(each.failed for each in found)}",
            ]
        )
    titles = ["server", "p99 before, ms", "p99 during, ms", "during ÷ before", f"connections that waited > {LATE:g} s"]
    return [
        f"# {WORKERS} workers, one of them stuck",
        "",
        _about(bench),
        "",
        grid([*titles, "longest, s", "worst, s", "failed"], rows),
        "",
        "![longest wait on each connection](balance-stuck-connections.svg)",
    ]


def _about(bench: Bench) -> str:
    return (
        f"{CONNECTIONS} keep-alive connections, each with a quick request every {1e3 * EACH:.0f} ms; then another "
        f"connection's request has a worker sleep {STUCK:g} s in native code that keeps the interpreter's lock. "
        f"{bench.seconds:g} s before, {STUCK:g} s during; medians of {bench.rounds} rounds with fresh servers. "
        "Requests that could not be sent because the connection's last one had no answer yet count from when they were "
        "due. The request that sticks is not counted."
    )


def _plot(rounds: dict[str, list[Found]]) -> str:
    panels = []
    for server in SERVERS:
        found = rounds[server.name]
        middle = sorted(found, key=lambda each: each.during)[len(found) // 2]
        panels.append(Panel(server.name, _words(middle), middle.longest, server.ours))
    title = f"One of {WORKERS} workers is stuck for {STUCK:g} s: the longest wait on each other connection"
    return bars(title, panels, "connections, the longest wait first", "seconds")
