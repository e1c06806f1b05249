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

    text: str
    limit: float  # 0: only reported
    found: float | None  # None: not measured
    unit: str = "×"

    @property
    def met(self) -> bool | None:
        """Whether the limit holds; None when there is no limit or no measurement."""
        return self.found <= self.limit if self.limit and self.found is not None else None


def goals(report: Report) -> list[Goal]:
    """Every goal, measured or not."""
    return list(_goals(report))


def _goals(report: Report) -> Iterator[Goal]:
    for text, limit, rivals in (
        ("hello, CPU per request against the raw epoll loop", 1.35, ("raw",)),
        ("hello against the best of bjoern, fastpysgi, fastwsgi", 0.90, C_SERVERS),
        ("hello against granian", 0.60, GRANIAN),
        ("hello against uWSGI", 0.60, UWSGI),
        ("hello against gunicorn gthread", 0.08, GTHREAD),
    ):
        yield Goal(text, limit, against_best(report, "hello", "one.cpu", rivals))
    logged = ratio(report.median("log", OURS, "on.cpu"), report.median("log", OURS, "off.cpu"))
    yield Goal("access log to a file, on against off", 1.10, logged)
    for scenario, text in (("post64k", "POST of 64 KB"), ("big1m", "response of 1 MB"), ("file", "file_wrapper")):
        yield Goal(f"{text} against the best of the others", 1.0, against_best(report, scenario, "one.cpu", OTHERS))
    for scenario in ("scale-hello", "scale-django"):
        grown = ratio(report.median(scenario, OURS, "two.rate_aside"), report.median(scenario, OURS, "one.rate_aside"))
        yield Goal(f"{scenario}: throughput of two workers on two cores, load generator aside", 0, grown)
    yield Goal("memory against gunicorn sync", 0.80, against_best(report, "memory", "one.pss", ("gunicorn-sync",)))
    each = report.median("idle", OURS, "one.pss_each")
    yield Goal("memory of an idle connection", 2.0, ratio(each, 1024), " KB")
    idle = report.median("idle", OURS, "one.idle_cpu")
    yield Goal("CPU while all connections are idle, of one core", 0.1, ratio(idle, 0.01), " %")
    beside = ratio(report.median("idle", OURS, "one.cpu_beside"), report.median("idle", OURS, "one.cpu_without"))
    yield Goal("hello beside the idle connections, against without them", 1.05, beside)


def against_best(report: Report, scenario: str, sample: str, rivals: tuple[str, ...]) -> float | None:
    """Our value as a part of the lowest of the rivals'."""
    values = [value for rival in rivals if (value := report.median(scenario, rival, sample)) is not None]
    return ratio(report.median(scenario, OURS, sample), min(values, default=None))
