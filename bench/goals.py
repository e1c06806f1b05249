"""What ostler has to reach, computed from a report: limits on ratios, each against named servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bench.adapters import PEERS
from bench.results import Report, ratio

OURS = "ostler"
C_SERVERS = ("bjoern", "fastpysgi", "fastwsgi")
GRANIAN = ("granian", "granian-mt", "granian-defaults")
UWSGI = ("uwsgi", "uwsgi-close", "uwsgi-router")
GTHREAD = ("gunicorn-gthread", "gunicorn-gthread-py")
OTHERS = tuple(peer.name for peer in PEERS if peer.distribution not in ("", OURS))


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
    return [goal for goal in (*_against_rivals(report), *_against_itself(report)) if report.result(goal.scenario)]


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


def against_best(report: Report, scenario: str, sample: str, rivals: tuple[str, ...]) -> float | None:
    """Our value as a part of the lowest of the rivals'."""
    values = [value for rival in rivals if (value := report.median(scenario, rival, sample)) is not None]
    return ratio(report.median(scenario, OURS, sample), min(values, default=None))
