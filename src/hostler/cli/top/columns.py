"""The columns of both tables: how wide, and what stands in a cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rich.text import Text

from hostler.cli.spans import duration, span
from hostler.cli.top.model import Order, Row, Running
from hostler.logs import printable
from hostler.proc.memory import megabytes

__all__ = ["COLOURS", "REQUESTS", "WORKERS", "Column", "RequestColumn", "bar", "count", "percent", "rate", "took"]

GREEN, YELLOW, BLUE, RED, DIM = "#7fd88f", "#e5c07b", "#6cb6ff", "#f47067", "#5c6773"
COLOURS = {
    "ready": GREEN, "serving": GREEN, "booting": YELLOW, "starting": YELLOW, "vacant": YELLOW, "retiring": BLUE,
    "closing": BLUE, "draining": BLUE, "leaving": BLUE, "stopping": BLUE, "gone": BLUE, "backoff": RED, "failed": RED,
    "silent": RED, "killed": RED, "quitting": RED,
}  # fmt: skip
_BAR = 8
# From these ages on a request in flight is coloured, in seconds.
_SLOW, _STUCK = 1.0, 10.0


class Column(NamedTuple):
    """One of the workers' table."""

    title: str
    width: int
    cell: Callable[[Row], Text]
    order: Order | None = None  # which order it shows
    is_left: bool = False
    is_extra: bool = False  # only where there is room


class RequestColumn(NamedTuple):
    """One of the requests' table; a width of 0 takes the rest."""

    title: str
    width: int
    cell: Callable[[Running], Text]
    is_left: bool = False


def percent(share: float | None) -> str:
    """ "87%"."""
    return "-" if share is None else f"{share * 100:.0f}%"


def rate(value: float | None) -> str:
    """A number each second: "0", "0.4", "12", "12,345"."""
    if value is None:
        return "-"
    return f"{value:.1f}" if 0 < value < 9.95 else f"{value:,.0f}"


def took(seconds: float | None) -> str:
    """A duration; "-" where nothing has ended."""
    return "-" if seconds is None else duration(seconds)


def count(value: int) -> str:
    """ "12,345"."""
    return f"{value:,}"


def bar(share: float) -> Text:
    """How full something is."""
    filled = min(_BAR, max(0, round(share * _BAR)))
    colour = GREEN if share < 0.7 else YELLOW if share < 0.9 else RED
    return Text.assemble(("━" * filled, colour), ("━" * (_BAR - filled), "#2a313c"))


def _plain(text: str, is_news: bool = True, colour: str = "") -> Text:
    """What says nothing (0, -) is dim."""
    return Text(text, style=colour if is_news else DIM)


def _number(value: int, colour: str = "") -> Text:
    return _plain(count(value), bool(value), colour)


def _took(seconds: float | None) -> Text:
    return _plain(took(seconds), seconds is not None)


def _rate(value: float | None, colour: str = "") -> Text:
    return _plain(rate(value), bool(value), colour)


def _state(row: Row) -> Text:
    return Text(row.state, style=COLOURS.get(row.state, ""))


def _memory(row: Row) -> Text:
    return _plain(megabytes(row.pss) if row.pss is not None else "-", row.pss is not None)


def _threads(row: Row) -> Text:
    return Text.assemble((str(row.threads_busy), "" if row.threads_busy else DIM), (f"/{row.threads}", DIM))


WORKERS = (
    Column("#", 3, lambda row: Text(str(row.worker), style="bold"), Order.NUMBER),
    Column("pid", 7, lambda row: _plain(str(row.pid or "-"), False)),
    Column("state", 8, _state, is_left=True),
    Column("age", 4, lambda row: _plain(span(row.age), row.pid != 0), Order.AGE),
    Column("CPU", 5, lambda row: _plain(percent(row.cpu), bool(row.cpu)), Order.CPU),
    Column("", _BAR, lambda row: bar(row.cpu or 0.0), is_left=True, is_extra=True),
    Column("memory", 6, _memory, Order.MEMORY),
    Column("req/s", 6, lambda row: _rate(row.rates.requests), Order.REQUESTS),
    Column("run", 4, lambda row: _number(row.in_flight), Order.RUNNING),
    Column("wait", 4, lambda row: _number(row.queued, YELLOW)),
    Column("threads", 7, _threads),
    Column("", _BAR, lambda row: bar(row.threads_busy / row.threads if row.threads else 0.0), None, True, True),
    Column("conns", 5, lambda row: _number(row.connections)),
    Column("p50", 5, lambda row: _took(row.rates.p50)),
    Column("p95", 5, lambda row: _took(row.rates.p95)),
    Column("p99", 5, lambda row: _took(row.rates.p99), Order.LATENCY),
    Column("5xx/s", 5, lambda row: _rate(row.rates.server_errors, RED)),
)


def _age(request: Running) -> Text:
    colour = RED if request.age >= _STUCK else YELLOW if request.age >= _SLOW else ""
    return Text(duration(request.age), style=colour)


REQUESTS = (
    RequestColumn("age", 6, _age),
    RequestColumn("method", 7, lambda request: Text(printable(request.method), style=BLUE), is_left=True),
    RequestColumn("path", 0, lambda request: Text(printable(request.path)), is_left=True),
    RequestColumn("worker", 6, lambda request: Text(str(request.worker), style="bold")),
    RequestColumn("thread", 8, lambda request: _plain(str(request.thread), False)),
)
