"""Two connections send nine tenths of the requests, each of 5 ms of Python: does the load stay where it came in?"""

from __future__ import annotations

import asyncio
import random
import time
from statistics import median
from typing import NamedTuple

from bench.balance.servers import Bench, Page, Running, contender, ratio_text, running, verdict
from bench.clients import Client, Tally, per_worker, percentile, run, spread
from bench.prepare import say
from bench.report import grid
from bench.svg import Panel, bars

WORKERS = 4
CONNECTIONS = 8
HOT = 2
EACH = 9  # answers of hot connections for one request of a cold one
WORK = 0.005  # seconds, as in the app
WARM = 1.0
EVEN = 1.5
SHARE = 0.6  # of a peer's p99

SERVERS = (
    contender("hostler", "who_computes:app", "hostler"),
    contender("gunicorn gthread", "who_computes:app", "gunicorn-gthread"),
    contender("granian", "who_computes:app", "granian-defaults"),
)


class Found(NamedTuple):
    """One round on one server; times in seconds."""

    counts: list[int]
    ratio: float
    p50: float
    p99: float
    failed: int


class Skew:
    """The clients: all connect, then chance says which are the hot ones."""

    def __init__(self, port: int, tally: Tally, chance: random.Random) -> None:
        self._chance = chance
        self._clients = [Client(port, tally) for _ in range(CONNECTIONS)]
        self._idle: list[Client] = []  # cold ones, the one that asked longest ago first
        self._answered = 0  # by hot connections
        self._cold: set[asyncio.Task[None]] = set()

    async def run(self, until: float) -> None:
        for client in self._clients:
            await client.ask()
        self._chance.shuffle(self._clients)
        self._idle = self._clients[HOT:]
        await asyncio.gather(*(self._hot(client, until) for client in self._clients[:HOT]))
        await asyncio.gather(*self._cold)
        for client in self._clients:
            client.close()

    async def _hot(self, client: Client, until: float) -> None:
        while time.monotonic() < until:
            if await client.ask() is None:
                await asyncio.sleep(0.05)
            self._answered += 1
            if self._answered % EACH == 0 and self._idle:
                task = asyncio.create_task(self._ask(self._idle.pop(0)))
                self._cold.add(task)
                task.add_done_callback(self._cold.discard)

    async def _ask(self, client: Client) -> None:
        """Not at once: a request that has just been answered leaves a worker free."""
        await asyncio.sleep(self._chance.uniform(0, 2 * WORK))
        await client.ask()
        self._idle.append(client)


def table(bench: Bench) -> Page:
    """Fresh servers in each round, so that chance pins the hot connections anew."""
    rounds: dict[str, list[Found]] = {server.name: [] for server in SERVERS}
    for turn in range(bench.rounds):
        first = turn % len(SERVERS)
        for server in SERVERS[first:] + SERVERS[:first]:
            with running(bench, server, WORKERS) as serving:
                found = _measure(serving, random.Random(turn), bench.seconds)
            rounds[server.name].append(found)
            say(f"{server.name}: {_words(found)}, p99 {found.p99 * 1e3:.1f} ms, {found.failed} failed")
    return Page(_lines(rounds, bench), {"workers": _plot(rounds)})


def _measure(serving: Running, chance: random.Random, seconds: float) -> Found:
    tally, begin = Tally(), time.monotonic() + WARM
    run(Skew(serving.port, tally, chance).run(begin + seconds))
    answers = tally.between(begin, begin + seconds)
    counts, times = per_worker(answers, serving.workers), [each.took for each in answers]
    return Found(counts, spread(counts), percentile(times, 0.5), percentile(times, 0.99), len(tally.failures))


def _words(found: Found) -> str:
    return f"{sum(found.counts)} requests, most ÷ least {ratio_text(found.ratio)}"


def _lines(rounds: dict[str, list[Found]], bench: Bench) -> list[str]:
    ours = median(each.p99 for each in rounds[SERVERS[0].name])
    rows = []
    for server in SERVERS:
        found = rounds[server.name]
        ratio, p99 = median(each.ratio for each in found), median(each.p99 for each in found)
        share = ours / p99 if p99 else 0.0
        rows.append(
            [
                server.name,
                f"{median(sum(each.counts) for each in found):.0f}",
                ratio_text(ratio),
                ratio_text(max(each.ratio for each in found)),
                f"{1e3 * median(each.p50 for each in found):.1f}",
                f"{1e3 * p99:.1f}",
                f"{1e3 * max(each.p99 for each in found):.1f}",
                f"{share:.2f}×",
                f"{sum(each.failed for each in found)}",
                verdict(ratio, EVEN) if server.ours else verdict(share, SHARE),
            ]
        )
    titles = ["server", "requests", "most ÷ least", "worst", "p50, ms", "p99, ms", "worst p99", "hostler's p99 ÷ this"]
    return [
        f"# {WORKERS} workers, a skewed load",
        "",
        _about(bench),
        "",
        f"Goals: hostler's most ÷ least ≤ {EVEN}; its p99 ≤ {SHARE}× that of each other server.",
        "",
        grid([*titles, "failed", "met"], rows),
        "",
        "![requests of each worker](balance-skewed-workers.svg)",
    ]


def _about(bench: Bench) -> str:
    return (
        f"{CONNECTIONS} keep-alive connections, of which {HOT}, chosen by chance, send 90 % of the requests in closed "
        f"loops; each request computes 5 ms of Python. {bench.seconds:g} s after {WARM:g} s of the same load; medians "
        f"(and the worst) of {bench.rounds} rounds with fresh servers."
    )


def _plot(rounds: dict[str, list[Found]]) -> str:
    panels = []
    for server in SERVERS:
        found = rounds[server.name]
        middle = sorted(found, key=lambda each: each.ratio)[len(found) // 2]
        total = sum(middle.counts) or 1
        note = f"{_words(middle)}, p99 {middle.p99 * 1e3:.0f} ms"
        panels.append(Panel(server.name, note, [100 * count / total for count in middle.counts], server.ours))
    title = f"{WORKERS} workers; {HOT} of {CONNECTIONS} connections send 90 % of the requests"
    return bars(title, panels, "workers, the busiest first", "% of all requests", 100 / WORKERS)
