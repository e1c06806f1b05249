"""The rounds: every server in turn, again and again, so that what disturbs the machine disturbs all alike."""

from __future__ import annotations

import http.client
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from bench import postgres
from bench.adapters import Peer, Place, Plan
from bench.load import Answer, LoadFailed, ask, fault, free_port
from bench.prepare import environment, fill, say
from bench.probes import Effort, ProbeFailed, Run
from bench.procs import Server
from bench.results import Result, Row
from bench.scenarios import CLOSE, Case, Scenario

BOOT_PATIENCE = 30.0
OUTPUT = "output.log"
QUIET = ("requests", "user", "system", "rate_aside", "p50", "generator", "head_size", "rss", "rss_each")
"""Samples that are kept, but not shown while measuring."""


class Bench(NamedTuple):
    """What stays the same for the whole run."""

    place: Place
    scratch: Path  # logs of the measured servers; two harnesses may run at once
    versions: dict[str, str]
    cores: tuple[int, ...]  # the first are the server's, the last is the load generator's
    effort: Effort
    rounds: int
    variants: bool = False  # measure the variants in every scenario, not in hello alone
    variables: Mapping[str, str] = MappingProxyType({})  # more of the servers' environment


def measure(bench: Bench, scenario: Scenario, peers: list[Peer]) -> Result:
    """All rounds of one scenario; the peers take turns, and each round begins with another one."""
    taking_part = [peer for peer in peers if scenario.takes(peer, bench.variants)]
    result = Result(scenario.name, [_row(bench, peer) for peer in taking_part])
    pairs = list(zip(taking_part, result.rows, strict=True))
    if not scenario.postgres:
        _rounds(bench, scenario, pairs)
        return result
    try:
        with postgres.running(bench.cores[-1:]) as variables:
            fill(bench.place, variables)
            _rounds(bench._replace(variables=variables), scenario, pairs)
    except (postgres.Unavailable, subprocess.CalledProcessError) as error:
        say(f"{scenario.name}: {error}")
        for row in result.rows:
            row.error = row.error or str(error)
    return result


def _rounds(bench: Bench, scenario: Scenario, pairs: list[tuple[Peer, Row]]) -> None:
    for number in range(min(bench.rounds, scenario.rounds)):
        first = number % max(1, len(pairs))
        for peer, row in pairs[first:] + pairs[:first]:
            for case in scenario.cases:
                if not row.error:
                    _measure_once(bench, scenario, peer, case, row)
            say(f"{scenario.name} round {number + 1}: {_summary(row)}")


def _row(bench: Bench, peer: Peer) -> Row:
    row = Row(peer.name, bench.versions.get(peer.distribution.lower(), ""), peer.settings)
    if peer.distribution and not row.version:
        row.error = "not installed"
    return row


def _measure_once(bench: Bench, scenario: Scenario, peer: Peer, case: Case, row: Row) -> None:
    log = bench.scratch / "access.log" if case.logged else None
    crowd = bench.effort.crowd if scenario.table == "idle" else 0
    plan = Plan(scenario.app, free_port(), case.workers, log, scenario.raw, crowd)
    try:
        with _started(bench, scenario, peer, case, plan) as (server, answer):
            if not answer.reused and CLOSE not in scenario.request.headers:
                row.note("closes each connection")
            cores, load_cores = share(bench.cores, case.cores)
            scripts = Path(__file__).parent / "lua"
            effort = bench.effort._replace(seconds=max(bench.effort.seconds, scenario.least))
            run = Run(server, plan.port, scenario.request, answer.reused, cores, load_cores, scripts, effort)
            run = run._replace(background=scenario.background)
            values = scenario.probe(run)
        if log:
            _check_log(log if peer.log == "file" else bench.scratch / OUTPUT, values["requests"])
        row.add(case.name, values | {"head_size": answer.head_size})
    except (ProbeFailed, LoadFailed, http.client.HTTPException, OSError) as error:
        row.error = f"{case.name}: {error}" if len(scenario.cases) > 1 else str(error)


def _check_log(log: Path, requests: float) -> None:
    """A server that is fast because it does not log is not fast."""
    with log.open("rb") as lines:
        written = sum(1 for _ in lines)
    log.unlink()
    if written < requests:
        raise ProbeFailed(f"{written} log lines for {requests:.0f} requests")


def share(cores: tuple[int, ...], wanted: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The server's cores and the load generator's; when there are too few, the generator runs where it can."""
    server = cores[:wanted]
    return server, cores[-1:] if len(cores) > wanted else cores


@contextmanager
def _started(bench: Bench, scenario: Scenario, peer: Peer, case: Case, plan: Plan) -> Iterator[tuple[Server, Answer]]:
    """The server, once it has given a right answer."""
    variables = environment(bench.place) | dict(bench.variables) | ({"BENCH_APP": plan.app} if peer.bridged else {})
    output = bench.scratch / OUTPUT
    command = peer.command(bench.place, plan)
    with Server(command, variables, bench.place.build, output, share(bench.cores, case.cores)[0]) as server:
        answer = _first_answer(server, lambda: ask(plan.port, scenario.request))
        problem = fault(answer, scenario.request)
        if problem:
            raise ProbeFailed(f"wrong answer: {problem}")
        yield server, answer


def _first_answer(server: Server, attempt: Callable[[], Answer]) -> Answer:
    deadline = time.monotonic() + BOOT_PATIENCE
    while True:
        try:
            return attempt()
        except (OSError, http.client.HTTPException) as error:
            if server.ended() is not None:
                raise ProbeFailed(f"ended with {server.ended()} at start: {last_words(server.output())}") from error
            if time.monotonic() > deadline:
                raise ProbeFailed(f"no answer after {BOOT_PATIENCE:.0f} s: {last_words(server.output())}") from error
            time.sleep(0.05)


def last_words(output: str) -> str:
    """The last line first, where Python puts the reason, then all of it."""
    lines = output.strip().splitlines()
    return "\n".join([lines[-1], *lines]) if lines else "it printed nothing"


def _summary(row: Row) -> str:
    if row.error:
        return f"{row.peer}: failed: {row.error}"
    latest = (f"{name} {values[-1]:.4g}" for name, values in row.samples.items() if name.split(".")[1] not in QUIET)
    return f"{row.peer}: " + ", ".join(latest)
