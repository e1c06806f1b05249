"""What balancing costs a request where there is nothing to balance: processor time, with it against without."""

from __future__ import annotations

import os
import subprocess
from statistics import median

from bench.adapters import Place
from bench.balance.servers import Bench, Contender, Page, contender, running, verdict
from bench.load import Request, drive
from bench.prepare import NotReady, environment, say
from bench.report import grid
from bench.svg import Panel, bars

WORKERS = 2
WARM = 1.0
GOAL = 1.02
REQUEST = Request(b"Hello, World!", connections=64)
EVEN = contender("--balance even", "who:hello", "hostler", "--balance", "even")
KERNEL = contender("--balance kernel", "who:hello", "hostler", "--balance", "kernel")


def table(bench: Bench) -> Page:
    """Both in each round, in turns first."""
    _require_option(bench.place)
    rounds: list[tuple[float, float]] = []
    for turn in range(bench.rounds):
        both = (EVEN, KERNEL) if turn % 2 == 0 else (KERNEL, EVEN)
        found = {each.name: _measure(bench, each) for each in both}
        rounds.append((found[EVEN.name], found[KERNEL.name]))
        say(f"even ÷ kernel: {rounds[-1][0] / rounds[-1][1]:.3f}")
    return Page(_lines(rounds, bench), {"rounds": _plot(rounds)})


def _require_option(place: Place) -> None:
    command = [*place.hostler, "help", "serve"]
    done = subprocess.run(command, env=environment(place), capture_output=True, text=True, check=False)
    if "--balance" not in done.stdout:
        raise NotReady(f"{' '.join(place.hostler)} has no option --balance: there is nothing to compare")


def _measure(bench: Bench, setting: Contender) -> float:
    """Processor seconds of all its processes for each request."""
    cores, scripts = os.sched_getaffinity(0), bench.place.apps.parent / "lua"
    with running(bench, setting, WORKERS) as serving:
        drive(serving.port, REQUEST, WARM, scripts, cores)
        before = serving.server.cpu()
        load = drive(serving.port, REQUEST, bench.seconds, scripts, cores)
        after = serving.server.cpu()
    if load.errors or before.pids != after.pids:
        raise NotReady(f"{setting.name}: {load.errors or 'a worker was replaced meanwhile'}")
    return (after.total - before.total) / load.requests


def _lines(rounds: list[tuple[float, float]], bench: Bench) -> list[str]:
    ratios = [even / kernel for even, kernel in rounds]
    row = [
        f"{median(ratios):.3f}×",
        f"{min(ratios):.3f}–{max(ratios):.3f}",
        f"≤ {GOAL}×",
        verdict(median(ratios), GOAL),
    ]
    return [
        "# What balancing costs",
        "",
        _about(bench),
        "",
        grid(["even ÷ kernel", "lowest–highest", "limit", "met"], [row]),
        "",
        "![processor time in each round](balance-cost-rounds.svg)",
    ]


def _about(bench: Bench) -> str:
    return (
        f"A bare WSGI app on {WORKERS} workers, {REQUEST.connections} keep-alive connections by wrk for "
        f"{bench.seconds:g} s: processor time of all processes of the server per request, `--balance even` against "
        f"`--balance kernel`; median of {bench.rounds} rounds with both, in turns first."
    )


def _plot(rounds: list[tuple[float, float]]) -> str:
    panels = []
    for number, setting in enumerate((EVEN, KERNEL)):
        times = [1e6 * each[number] for each in rounds]
        panels.append(Panel(f"hostler {setting.name}", f"median {median(times):.1f} µs", times, number == 0))
    return bars("Processor time per request, balanced and not", panels, "rounds", "µs per request")
