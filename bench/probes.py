"""What is measured on one started server. Each probe returns its numbers by name; SI units, times in microseconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.crowd import IdleConnections, IdleSockets
from bench.load import Load, Request, beside, drive, drive_sockets, visit
from bench.procs import PROC, Server, machine_cpu

BURST = 5
"""Seconds of many requests at once."""


class ProbeFailed(Exception):
    """The server did not do what the scenario asks; the row does not count."""


class Effort(NamedTuple):
    """How long and how hard to measure."""

    seconds: float = 3
    warmup: float = 1  # seconds of load that are not counted
    crowd: int = 10_000  # idle connections
    idle_seconds: float = 10
    rest: float = 120  # seconds after a burst


class Run(NamedTuple):
    """One started server, ready to be measured."""

    server: Server
    port: int
    request: Request
    reused: bool  # it keeps connections
    cores: tuple[int, ...]  # the server's
    load_cores: tuple[int, ...]
    scripts: Path
    effort: Effort
    background: Request | None = None  # what others ask meanwhile

    @property
    def shared_cores(self) -> bool:
        """Whether the load generator takes time from the server's cores."""
        return bool(set(self.cores) & set(self.load_cores))


def under_load(run: Run) -> dict[str, float]:
    """Processor time per request, throughput and waiting times while wrk asks as fast as it can."""
    if run.effort.warmup:
        _drive(run, run.effort.warmup)
        time.sleep(0.3)  # what it left behind unanswered has ended then
    machine, before = _machine_cpu(), run.server.cpu()
    load = _drive(run, run.effort.seconds)
    after, all_of_it = run.server.cpu(), _machine_cpu() - machine
    if before.pids != after.pids:
        raise ProbeFailed(f"processes came or went under load: {len(before.pids)} before, {len(after.pids)} after")
    generator = load.generator_cpu / load.seconds
    rate = load.requests / load.seconds
    left = len(run.cores) - (generator if run.shared_cores else 0)
    return {
        "requests": load.requests,
        "cpu": (after.total - before.total) / load.requests * 1e6,
        "user": (after.user - before.user) / load.requests * 1e6,
        "system": (after.system - before.system) / load.requests * 1e6,
        "rate": rate,
        "rate_aside": rate / left * len(run.cores),  # as if the generator took nothing from the server's cores
        "p50": load.p50 * 1e6,
        "p99": load.p99 * 1e6,
        "busy": (after.total - before.total) / load.seconds,
        "generator": generator,
        "others": max(0.0, (all_of_it - (after.total - before.total) - load.generator_cpu) / load.seconds),
    }


def while_waiting(run: Run) -> dict[str, float]:
    """As `under_load`, and the memory of the tree while it works; reading that costs time, and so has its own load."""
    _drive(run, 2)  # pools fill, threads grow
    found = under_load(run)
    with _meanwhile(run, run.request, 2):
        time.sleep(1)
        found |= {"pss": run.server.memory().pss, "threads": run.server.threads()}
    return found


def beside_others(run: Run) -> dict[str, float]:
    """Hello alone, and beside a load of another kind."""
    if run.background is None:
        raise ProbeFailed("the scenario names no other load")
    alone = under_load(run)
    seconds = run.effort.seconds + 3
    with _meanwhile(run, run.background, seconds) as other:
        time.sleep(1.5)  # until all of it is there
        found = under_load(run._replace(effort=run.effort._replace(warmup=0)))
    return {
        "rate": found["rate"],
        "p50": found["p50"],
        "p99": found["p99"],
        "rate_alone": alone["rate"],
        "p99_alone": alone["p99"],
        "background": other[0].requests / other[0].seconds,
        "others": alone["others"],
    }


def after_a_burst(run: Run) -> dict[str, float]:
    """Memory and threads before many requests at once, while they are there, and a rest after."""
    visit(run.port, run.request, 1000)  # one at a time: one thread has done all the work there is
    time.sleep(0.5)
    found: dict[str, float] = {"pss_before": run.server.memory().pss, "threads_before": run.server.threads()}
    with _meanwhile(run, run.request, BURST):
        time.sleep(BURST - 1)
        found |= {"pss_busy": run.server.memory().pss, "threads_busy": run.server.threads()}
    ended = time.monotonic()
    while (passed := time.monotonic() - ended) < run.effort.rest:
        if "gone" not in found and run.server.threads() <= found["threads_before"]:
            found["gone"] = passed
        time.sleep(min(1.0, run.effort.rest - passed))
    return found | {"pss_after": run.server.memory().pss, "threads_after": run.server.threads()}


def at_rest(run: Run) -> dict[str, float]:
    """Memory of the process tree after a thousand requests."""
    visit(run.port, run.request, 1000)
    time.sleep(0.5)
    memory = run.server.memory()
    return {
        "pss": memory.pss,
        "uss": memory.uss,
        "rss": memory.rss,
        "processes": len(run.server.cpu().pids),
    }


def with_idle_crowd(run: Run) -> dict[str, float]:
    """What thousands of connections cost that asked once and then only wait."""
    if not run.reused:
        raise ProbeFailed("closes each connection: there is nothing to hold")
    visit(run.port, run.request, 1000)
    without = under_load(run)
    time.sleep(0.5)
    memory, kernel = run.server.memory(), _kernel_memory()
    crowd = IdleConnections(run.port, run.effort.crowd, run.request.expect)
    try:
        time.sleep(1)
        more, more_kernel = run.server.memory(), _kernel_memory()
        start, used = time.monotonic(), run.server.cpu().total
        time.sleep(run.effort.idle_seconds)
        idle = (run.server.cpu().total - used) / (time.monotonic() - start)
        beside = under_load(run)
        lost = run.effort.crowd - crowd.still_open()
    finally:
        crowd.close()
    if lost:
        raise ProbeFailed(f"closed {lost} of {run.effort.crowd} idle connections")
    return {
        "pss_each": (more.pss - memory.pss) / run.effort.crowd,
        "rss_each": (more.rss - memory.rss) / run.effort.crowd,
        "kernel_each": (more_kernel - kernel) / run.effort.crowd,
        "idle_cpu": idle,
        "cpu_without": without["cpu"],
        "cpu_beside": beside["cpu"],
        "p99_without": without["p99"],
        "p99_beside": beside["p99"],
        "others": max(without["others"], beside["others"]),
    }


def echoes(run: Run) -> dict[str, float]:
    """Processor time per WebSocket message that goes to and fro."""
    if run.effort.warmup:
        _echo(run, run.effort.warmup)
    before = run.server.cpu()
    load = _echo(run, run.effort.seconds)
    after = run.server.cpu()
    return {
        "requests": load.requests,
        "cpu": (after.total - before.total) / load.requests * 1e6,
        "user": (after.user - before.user) / load.requests * 1e6,
        "system": (after.system - before.system) / load.requests * 1e6,
        "rate": load.requests / load.seconds,
        "rate_aside": load.requests / load.seconds,
        "p50": 0.0,
        "p99": 0.0,
        "busy": (after.total - before.total) / load.seconds,
        "generator": load.generator_cpu / load.seconds,
        "others": 0.0,
    }


def with_idle_sockets(run: Run) -> dict[str, float]:
    """Memory of thousands of WebSockets that are only open."""
    visit(run.port, run.request, 1000)
    time.sleep(0.5)
    memory = run.server.memory()
    crowd = IdleSockets(run.port, run.effort.crowd, b"\r\n\r\n")
    try:
        time.sleep(1)
        more = run.server.memory()
        start, used = time.monotonic(), run.server.cpu().total
        time.sleep(run.effort.idle_seconds)
        idle = (run.server.cpu().total - used) / (time.monotonic() - start)
    finally:
        crowd.close()
    return {"pss_each": (more.pss - memory.pss) / run.effort.crowd, "idle_cpu": idle}


def _echo(run: Run, seconds: float) -> Load:
    return drive_sockets(run.port, 64, 100, seconds, run.load_cores)


def _drive(run: Run, seconds: float) -> Load:
    load = drive(run.port, run.request, seconds, run.scripts, run.load_cores)
    if load.errors:
        raise ProbeFailed(load.errors)
    return load


@contextmanager
def _meanwhile(run: Run, request: Request, seconds: float) -> Iterator[list[Load]]:
    """Another load while the block runs; it must be answered rightly too."""
    with beside(run.port, request, seconds, run.scripts, run.load_cores) as other:
        yield other
    if other[0].errors:
        raise ProbeFailed(f"the load beside: {other[0].errors}")


def _machine_cpu() -> float:
    return machine_cpu((PROC / "stat").read_text())


def _kernel_memory() -> int:
    """Bytes in the kernel's own objects and socket buffers; both ends of each connection are on this machine."""
    slab = sum(
        int(line.split()[1]) * 1024
        for line in (PROC / "meminfo").read_text().splitlines()
        if line.startswith(("Slab:", "Percpu:"))
    )
    tcp = next(line for line in (PROC / "net" / "sockstat").read_text().splitlines() if line.startswith("TCP:"))
    return slab + int(tcp.split()[-1]) * 4096
