"""What hostler has to reach, computed from a report: limits on ratios, each against named servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bench.adapters import PEERS
from bench.results import Report, ratio

OURS = "hostler"
C_SERVERS = ("bjoern", "fastpysgi", "fastwsgi")
GRANIAN = ("granian", "granian-mt", "granian-defaults")
UWSGI = ("uwsgi", "uwsgi-close", "uwsgi-router")
GTHREAD = ("gunicorn-gthread", "gunicorn-gthread-py")
OTHERS = tuple(peer.name for peer in PEERS if peer.distribution not in ("", OURS) and not peer.pool and not peer.asgi)
POOLS = tuple(peer.name for peer in PEERS if peer.pool)


class Goal(NamedTuple):
    """One line of the table."""

    scenario: str
    text: str
    limit: float  # 0: only reported
    found: float | None  # None: not measured
    unit: str = "×"

    @property
    def met(self) -> bool | None:
        """Whether the limit holds; None when there is no limit or no measurement."""
        return self.found <= self.limit if self.limit and self.found is not None else None


def goals(report: Report) -> list[Goal]:
    """The goals of the scenarios in the report, measured or not."""
    return [
        goal
        for goal in (
            *_against_rivals(report),
            *_against_itself(report),
            *_of_waiting_apps(report),
            *_of_asgi(report),
        )
        if report.result(goal.scenario)
    ]


def _against_rivals(report: Report) -> Iterator[Goal]:
    for scenario, sample, limit, rivals, text in (
        ("hello", "one.cpu", 1.35, ("raw",), "hello, CPU per request against the raw epoll loop"),
        ("hello", "one.cpu", 0.90, C_SERVERS, "hello against the best of bjoern, fastpysgi, fastwsgi"),
        ("hello", "one.cpu", 0.60, GRANIAN, "hello against granian"),
        ("hello", "one.cpu", 0.60, UWSGI, "hello against uWSGI"),
        ("hello", "one.cpu", 0.08, GTHREAD, "hello against gunicorn gthread"),
        ("post64k", "one.cpu", 1.0, OTHERS, "POST of 64 KB against the best of the others"),
        ("big1m", "one.cpu", 1.0, OTHERS, "response of 1 MB against the best of the others"),
        ("file", "one.cpu", 1.0, OTHERS, "file_wrapper against the best of the others"),
        ("memory", "one.pss", 0.80, ("gunicorn-sync",), "memory against gunicorn sync"),
    ):
        yield Goal(scenario, text, limit, against_best(report, scenario, sample, rivals))


def _against_itself(report: Report) -> Iterator[Goal]:
    def ours(scenario: str, sample: str, base: str) -> float | None:
        return ratio(report.median(scenario, OURS, sample), report.median(scenario, OURS, base))

    yield Goal("log", "access log to a file, on against off", 1.10, ours("log", "on.cpu", "off.cpu"))
    for scenario in ("scale-hello", "scale-django"):
        text = f"{scenario}: throughput of two workers on two cores, load generator aside"
        yield Goal(scenario, text, 0, ours(scenario, "two.rate_aside", "one.rate_aside"))
    each = ratio(report.median("idle", OURS, "one.pss_each"), 1024)
    yield Goal("idle", "memory of an idle connection", 2.0, each, " KB")
    busy = ratio(report.median("idle", OURS, "one.idle_cpu"), 0.01)
    yield Goal("idle", "CPU while all connections are idle, of one core", 0.1, busy, " %")
    beside = ours("idle", "one.cpu_beside", "one.cpu_without")
    yield Goal("idle", "hello beside the idle connections, against without them", 1.05, beside)


def _of_waiting_apps(report: Report) -> Iterator[Goal]:
    def ours(scenario: str, metric: str, unit: float = 1.0) -> float | None:
        return ratio(report.median(scenario, OURS, f"one.{metric}"), unit)

    def behind(scenario: str, rivals: tuple[str, ...]) -> float | None:
        """The best rival's throughput as a part of ours."""
        found = [rate for rival in rivals if (rate := report.median(scenario, rival, "one.rate")) is not None]
        return ratio(max(found, default=None), ours(scenario, "rate"))

    ideal = ratio(2000, ours("sleep100", "rate"))
    yield Goal("sleep100", "sleeping 100 ms: the ideal 2,000/s ÷ throughput", 1 / 0.95, ideal)
    yield Goal("sleep100", "sleeping 100 ms: p99", 130, ours("sleep100", "p99", 1e3), " ms")
    yield Goal("sleep100", "sleeping: throughput, the best of the others ÷ ours", 1.0, behind("sleep100", POOLS))
    for metric, text in (("p99", "p99"), ("cpu", "CPU per request"), ("pss", "memory")):
        found = against_best(report, "sleep100", f"one.{metric}", POOLS)
        yield Goal("sleep100", f"sleeping: {text} against the best of the others", 1.0, found)
    yield Goal("auto", "hello: throughput, one thread ÷ as many as it takes", 1 / 0.97, behind("auto", ("hostler-1",)))
    alone = ratio(ours("beside-sleepers", "rate_alone"), ours("beside-sleepers", "rate"))
    yield Goal("beside-sleepers", "hello: throughput, alone ÷ beside 8 that sleep", 1 / 0.9, alone)
    yield Goal("beside-sleepers", "hello beside 8 that sleep: p99", 10, ours("beside-sleepers", "p99", 1e3), " ms")
    gthreads = tuple(peer.name for peer in PEERS if peer.name.startswith("gunicorn-gthread-") and peer.pool)
    found = against_best(report, "beside-burners", "one.p99", gthreads)
    yield Goal("beside-burners", "hello beside 4 that compute: p99 against the best gthread", 0.5, found)
    for scenario, text in (("django-wait", "SQLite"), ("django-wait-postgres", "PostgreSQL")):
        found = behind(scenario, POOLS)
        yield Goal(scenario, f"Django waiting, {text}: throughput, the best of the others ÷ ours", 1.0, found)
    grown = ratio(ours("burst", "pss_after"), ours("burst", "pss_before"))
    yield Goal("burst", "memory two minutes after a burst, against before", 1.2, grown)
    more = ratio(ours("burst", "threads_after"), ours("burst", "threads_before"))
    yield Goal("burst", "threads then, native ones too, against before", 1.0, more)


def _of_asgi(report: Report) -> Iterator[Goal]:
    uvicorn, granian = ("uvicorn-asgi",), ("granian-asgi",)
    sockets = ("uvicorn-asgi", "uvicorn-asgi-wsproto")
    streamers = (*uvicorn, *granian, "hypercorn-asgi")
    for scenario, sample, limit, rivals, text in (
        ("asgi-hello", "one.cpu", 0.70, ("fastpysgi-asgi",), "ASGI hello against fastpysgi"),
        ("asgi-hello", "one.cpu", 0.55, granian, "ASGI hello against granian"),
        ("asgi-hello", "one.cpu", 0.45, uvicorn, "ASGI hello against uvicorn"),
        ("asgi-hello", "one.cpu", 1.6, ("raw",), "ASGI hello against the raw epoll loop"),
        ("asgi-post100", "one.cpu", 0.40, uvicorn, "ASGI POST of 100 bytes against uvicorn"),
        ("asgi-post100", "one.cpu", 0.28, granian, "ASGI POST of 100 bytes against granian"),
        ("fastapi-json", "one.cpu", 0.85, granian, "FastAPI against granian"),
        ("fastapi-json", "one.cpu", 0.75, uvicorn, "FastAPI against uvicorn"),
        ("asgi-sleep10", "one.p99", 1.0, streamers, "sleeping 10 ms: p99 against the best of the others"),
        ("asgi-stream", "one.cpu", 1.0, streamers, "10 MB down: CPU against the best of the others"),
        ("asgi-upload", "one.cpu", 1.0, streamers, "10 MB up: CPU against the best of the others"),
        ("ws-echo", "one.cpu", 0.50, sockets, "WebSocket echo against uvicorn, the better of its two"),
        ("ws-echo", "one.cpu", 0.90, granian, "WebSocket echo against granian"),
        ("ws-echo", "one.cpu", 0.20, ("daphne-asgi",), "WebSocket echo against daphne"),
        ("ws-idle", "one.pss_each", 0.60, uvicorn, "memory of an idle WebSocket against uvicorn"),
    ):
        yield Goal(scenario, text, limit, against_best(report, scenario, sample, rivals, "hostler-asgi"))
    rates = [rate for rival in streamers if (rate := report.median("asgi-sleep10", rival, "one.rate")) is not None]
    behind = ratio(max(rates, default=None), report.median("asgi-sleep10", "hostler-asgi", "one.rate"))
    yield Goal("asgi-sleep10", "sleeping 10 ms: throughput, the best of the others ÷ ours", 1.0, behind)


def against_best(report: Report, scenario: str, sample: str, rivals: tuple[str, ...], ours: str = OURS) -> float | None:
    """Our value as a part of the lowest of the rivals'."""
    values = [value for rival in rivals if (value := report.median(scenario, rival, sample)) is not None]
    return ratio(report.median(scenario, ours, sample), min(values, default=None))
