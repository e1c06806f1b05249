"""Seventeen workers and a quick app: does each get its share, however the clients connect?"""

from __future__ import annotations

import asyncio
import time
from statistics import median, median_low
from typing import NamedTuple

from bench.balance.servers import OURS, Bench, Contender, Page, Running, contender, ratio_text, running, verdict
from bench.clients import Client, Tally, per_worker, percentile, run, spread
from bench.prepare import say
from bench.report import grid
from bench.svg import Panel, bars

WORKERS = 17
WARM = 1.0  # seconds of the same load that are not counted
GOAL = 1.25


class Pattern(NamedTuple):
    """How the clients connect."""

    name: str
    title: str
    connections: int  # that are kept; 0: a new one for each request, one request at a time


class Found(NamedTuple):
    """One round of one pattern on one server."""

    counts: list[int]  # requests of each worker, the busiest first
    ratio: float
    p99: float
    failed: int


PATTERNS = (
    Pattern("new", "one request at a time, each on a new connection", 0),
    Pattern("32", "32 keep-alive connections", 32),
    Pattern("200", "200 keep-alive connections", 200),
)
SERVERS = (
    contender("hostler, threads", "who_flask:app", "hostler"),
    contender("gunicorn gthread", "who_flask:app", "gunicorn-gthread"),
    contender("hostler, gevent", "who_flask:app", "hostler", "--driver", "gevent"),
    contender("gunicorn gevent", "who_flask:app", "gunicorn-gevent"),
    contender("hostler, asyncio", "who:asgi", "hostler", "--loop", "asyncio"),
)
Rounds = dict[tuple[str, str], list[Found]]


def table(bench: Bench) -> Page:
    """All servers with all patterns; each round has fresh servers and begins with another one."""
    rounds: Rounds = {}
    for turn in range(bench.rounds):
        first = turn % len(SERVERS)
        for server in SERVERS[first:] + SERVERS[:first]:
            with running(bench, server, WORKERS) as serving:
                for pattern in PATTERNS:
                    found = _measure(serving, pattern, bench.seconds)
                    rounds.setdefault((server.name, pattern.name), []).append(found)
                    say(f"{server.name}, {pattern.name}: {_words(found)}, {found.failed} failed")
    return Page(_lines(rounds, bench), {pattern.name: _plot(rounds, pattern) for pattern in PATTERNS})


def _measure(serving: Running, pattern: Pattern, seconds: float) -> Found:
    tally, begin = Tally(), time.monotonic() + WARM
    run(_visit(serving.port, tally, pattern.connections, begin + seconds))
    answers = tally.between(begin, begin + seconds)
    counts = per_worker(answers, serving.workers)
    return Found(counts, spread(counts), percentile([each.took for each in answers], 0.99), len(tally.failures))


async def _visit(port: int, tally: Tally, connections: int, until: float) -> None:
    clients = [Client(port, tally) for _ in range(connections)] or [Client(port, tally, keeps=False)]
    await asyncio.gather(*(client.again(until) for client in clients))


def _words(found: Found) -> str:
    return f"{sum(found.counts)} requests, most ÷ least {ratio_text(found.ratio)}"


def _lines(rounds: Rounds, bench: Bench) -> list[str]:
    rows = []
    for pattern in PATTERNS:
        for server in SERVERS:
            found = rounds[server.name, pattern.name]
            rows.append([server.name, pattern.title, *_row(server, found)])
    titles = ["server", "requests come on", "requests", "workers that answered", "most ÷ least", "p99, ms", "failed"]
    return [
        f"# {WORKERS} workers, an even load",
        "",
        _about(bench),
        "",
        grid([*titles, f"{OURS} ≤ {GOAL}"], rows),
        "",
        *(f"![{pattern.title}](balance-even-{pattern.name}.svg)\n" for pattern in PATTERNS),
    ]


def _about(bench: Bench) -> str:
    return (
        f"Flask's first example (for asyncio an ASGI app that answers the same), {bench.seconds:g} s each, closed "
        f"loops; medians of {bench.rounds} rounds with fresh servers. Counted after all workers have booted and "
        f"{WARM:g} s of the same load. Most ÷ least: requests of the busiest worker to those of the "
        "least busy one; ∞: one had none. All clients are one Python "
        "process: where the server is quicker than that (asyncio), p99 is the client's own."
    )


def _row(server: Contender, found: list[Found]) -> list[str]:
    ratio = median(each.ratio for each in found)
    answered = median_low([sum(count > 0 for count in each.counts) for each in found])
    return [
        f"{median(sum(each.counts) for each in found):.0f}",
        f"{answered} of {WORKERS}",
        ratio_text(ratio),
        f"{1e3 * median(each.p99 for each in found):.1f}",
        f"{sum(each.failed for each in found)}",
        verdict(ratio, GOAL) if server.ours else "",
    ]


def _plot(rounds: Rounds, pattern: Pattern) -> str:
    """The round in the middle of each server, as shares: the servers answered different numbers."""
    panels = []
    for server in SERVERS:
        found = rounds[server.name, pattern.name]
        middle = sorted(found, key=lambda each: each.ratio)[len(found) // 2]
        total = sum(middle.counts) or 1
        shares = [100 * count / total for count in middle.counts]
        panels.append(Panel(server.name, _words(middle), shares, server.ours))
    title = f"{WORKERS} workers, {pattern.title}"
    return bars(title, panels, "workers, the busiest first", "% of all requests", 100 / WORKERS)
