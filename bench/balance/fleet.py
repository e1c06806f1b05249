"""A number of workers that follows the load: how many, with how much memory, and does anybody notice?"""

from __future__ import annotations

import asyncio
import os
import time
from typing import NamedTuple

from bench.balance.servers import Bench, Page, Running, contender, running
from bench.clients import Client, Tally, run
from bench.prepare import say
from bench.procs import Server, read_stats
from bench.report import grid
from bench.svg import Curve, curves

LEAST, MOST = 1, 4
BUDGET = 512  # MB
IDLE = 10.0
LOADED = 30.0
PATIENCE = 150.0  # after the load
GOAL = 120.0
STAYS = 5.0  # at the minimum, and then it is over
CLIENTS = 16
MEGABYTE = 1 << 20

OPTIONS = ("--min-workers", f"{LEAST}", "--max-workers", f"{MOST}", "--memory-budget", f"{BUDGET}M")
FLEET = contender("hostler", "who_computes:app", "hostler", "--workers", "auto", *OPTIONS)


class Sample(NamedTuple):
    """One look at the processes."""

    at: float  # seconds from the first
    workers: int
    pss: float  # MB


class Watch:
    """The load, and a look at the processes each second."""

    def __init__(self, serving: Running, loaded: float) -> None:
        self.samples: list[Sample] = []
        self.tally = Tally()
        self.begin = IDLE  # of the load; as samples count
        self.end = IDLE + loaded
        self._serving = serving
        self._started = time.monotonic()

    @property
    def back(self) -> float | None:
        """Seconds from the end of the load until the minimum, for good; None: not reached."""
        if self.samples[-1].workers > LEAST:
            return None
        above = [sample.at for sample in self.samples if sample.workers > LEAST]
        return max(0.0, next((each.at for each in self.samples if not above or each.at > above[-1]), 0.0) - self.end)

    async def run(self) -> None:
        looking = asyncio.create_task(self._look())
        await asyncio.sleep(self.begin)
        until = self._started + self.end
        await asyncio.gather(*(Client(self._serving.port, self.tally).again(until) for _ in range(CLIENTS)))
        say(f"{len(self.tally.answers)} requests, {self.samples[-1].workers} workers; now idle")
        trickle = asyncio.create_task(self._trickle())
        await looking
        trickle.cancel()

    async def _trickle(self) -> None:
        """One request a second on a kept connection: it meets the workers that leave."""
        client = Client(self._serving.port, self.tally)
        while True:
            await client.ask()
            await asyncio.sleep(1)

    async def _look(self) -> None:
        while not self._is_over():
            looked = time.monotonic()
            self.samples.append(await asyncio.to_thread(_sample, self._serving.server, looked - self._started))
            await asyncio.sleep(max(0.0, looked + 1 - time.monotonic()))

    def _is_over(self) -> bool:
        now = time.monotonic() - self._started
        last = [sample.workers for sample in self.samples if sample.at > now - STAYS - 1]
        return now > self.end + PATIENCE or (now > self.end + STAYS and bool(last) and max(last) <= LEAST)


def _sample(server: Server, at: float) -> Sample:
    """The arbiter's children are the workers, those that boot and those that leave too."""
    while True:
        try:
            pss = server.memory().pss / MEGABYTE
            return Sample(at, sum(stat.parent == server.pid for stat in read_stats().values()), pss)
        except (OSError, KeyError):  # a worker ended between two looks
            continue


def table(bench: Bench) -> Page:
    """One round: what it takes is the server's own patience."""
    with running(bench, FLEET, LEAST) as serving:
        watch = Watch(serving, LOADED)
        run(watch.run())
    most = max(sample.workers for sample in watch.samples)
    pss = max(sample.pss for sample in watch.samples)
    for failure in watch.tally.failures[:5]:
        say(failure)
    return Page(_lines(watch, most, pss), {"time": _plot(watch, most, pss)})


def _lines(watch: Watch, most: int, pss: float) -> list[str]:
    back, failed = watch.back, len(watch.tally.failures)
    rows = [
        ["most workers", f"{most}", f"of {MOST}", ""],
        ["most memory (PSS), MB", f"{pss:.0f}", f"≤ {BUDGET}", _met(pss <= BUDGET)],
        ["requests that failed", f"{failed} of {failed + len(watch.tally.answers)}", "0", _met(not failed)],
        [
            f"back at {LEAST} after, s",
            "–" if back is None else f"{back:.0f}",
            f"≤ {GOAL:.0f}",
            _met(back is not None and back <= GOAL),
        ],
    ]
    return [
        "# As many workers as the load needs",
        "",
        _about(),
        "",
        grid(["goal", "measured", "limit", "met"], rows),
        "",
        "![workers and memory over time](balance-fleet-time.svg)",
    ]


def _about() -> str:
    return (
        f"`hostler serve --workers auto {' '.join(OPTIONS)}`, each request computes 5 ms of Python: {IDLE:g} s without "
        f"any, {CLIENTS} closed loops for {LOADED:g} s, then one request a second. A machine with {os.cpu_count()} "
        "processors: a worker more comes only while each has most of one."
    )


def _met(met: bool) -> str:
    return "yes" if met else "**no**"


def _plot(watch: Watch, most: int, pss: float) -> str:
    steps: list[tuple[float, float]] = []
    for sample in watch.samples:  # a worker is there or not: no slope between two numbers
        steps += [(sample.at, steps[-1][1] if steps else sample.workers), (sample.at, sample.workers)]
    memory = [(sample.at, sample.pss) for sample in watch.samples]
    back = "not back" if watch.back is None else f"back after {watch.back:.0f} s"
    title = f"--workers auto: at most {most} workers, {pss:.0f} MB; {back}; {len(watch.tally.failures)} failed"
    plots = [Curve("workers", steps, MOST, MOST), Curve("PSS, MB", memory, BUDGET, BUDGET)]
    return curves(title, plots, "seconds", (watch.begin, watch.end), "load")
