"""What the view shows, from two answers of the server and what /proc tells: pure.

Counters belong to a process: where a slot has a new one they begin at 0, and so does what is subtracted. Rates are over
the time between the answers by the server's own clock; before there are two, there are none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, NamedTuple

from hostler.cli.top.readings import Reading
from hostler.stats.latency import percentile

__all__ = ["Order", "Rates", "Row", "Running", "Server", "View", "view"]

_SHARES = (0.5, 0.95, 0.99)
_NOTHING = Reading()


class Rates(NamedTuple):
    """What happened between two answers, each second; None: not known."""

    requests: float | None = None
    client_errors: float | None = None  # 4xx
    server_errors: float | None = None  # 5xx
    p50: float | None = None  # seconds
    p95: float | None = None
    p99: float | None = None


class Row(NamedTuple):
    """One worker."""

    worker: int
    pid: int  # 0: there is no process now
    state: str
    age: float
    cpu: float | None
    pss: int | None
    in_flight: int
    queued: int
    threads: int
    threads_busy: int
    connections: int
    rates: Rates


class Running(NamedTuple):
    """A request in flight; `key` is the same as long as it runs."""

    key: str
    worker: int
    thread: int
    method: str
    path: str
    age: float


class Server(NamedTuple):
    """The whole; sums are over the workers, `cpu` and `pss` over the arbiter too."""

    version: str
    pid: int
    state: str
    uptime: float
    listening: tuple[str, ...]
    is_reloading: bool
    wanted: int
    most: int
    restarts: Mapping[str, int]
    cpu: float | None
    pss: int | None
    in_flight: int
    queued: int
    connections: int
    rates: Rates


class View(NamedTuple):
    """All that is shown."""

    server: Server
    rows: tuple[Row, ...]
    running: tuple[Running, ...]


class Order(Enum):
    """What the workers are sorted by."""

    NUMBER = "number"
    CPU = "CPU"
    MEMORY = "memory"
    REQUESTS = "requests per second"
    LATENCY = "p99"
    RUNNING = "running requests"
    AGE = "age"

    @property
    def next(self) -> Order:
        """The one that comes after it, round and round."""
        orders = list(Order)
        return orders[(orders.index(self) + 1) % len(orders)]

    def sort(self, rows: tuple[Row, ...]) -> list[Row]:
        """Numbers upwards, everything else from the most downwards."""
        by_number = sorted(rows, key=lambda row: row.worker)
        return sorted(by_number, key=_KEYS[self], reverse=True) if self in _KEYS else by_number


_KEYS: Mapping[Order, Callable[[Row], float]] = {
    Order.CPU: lambda row: row.cpu or 0.0,
    Order.MEMORY: lambda row: row.pss or 0,
    Order.REQUESTS: lambda row: row.rates.requests or 0.0,
    Order.LATENCY: lambda row: row.rates.p99 or 0.0,
    Order.RUNNING: lambda row: row.in_flight + row.queued,
    Order.AGE: lambda row: row.age,
}


class _Change(NamedTuple):
    """How far a process' counters have come since the answer before."""

    requests: int
    client_errors: int
    server_errors: int
    latency: Counter[int]  # bucket -> how many


def view(answer: Mapping[str, Any], before: Mapping[str, Any] | None, readings: Mapping[int, Reading]) -> View:
    """What to show of this answer; `before` is the last one, of the same server."""
    if before is not None and (before["pid"] != answer["pid"] or before["uptime"] >= answer["uptime"]):
        before = None
    seconds = answer["uptime"] - before["uptime"] if before is not None else 0.0
    known = {(each["worker"], each["pid"]): each for each in before["workers"]} if before is not None else {}
    workers = answer["workers"]
    changes = [_change(each, known.get((each["worker"], each["pid"]))) for each in workers]
    rows = tuple(
        _row(each, _rates(change, seconds), readings.get(each["pid"], _NOTHING))
        for each, change in zip(workers, changes, strict=True)
    )
    total = _Change(
        sum(change.requests for change in changes),
        sum(change.client_errors for change in changes),
        sum(change.server_errors for change in changes),
        sum((change.latency for change in changes), Counter()),
    )
    return View(_server(answer, rows, _rates(total, seconds), readings), rows, _running(answer))


def _server(answer: Mapping[str, Any], rows: tuple[Row, ...], rates: Rates, readings: Mapping[int, Reading]) -> Server:
    processes = [readings.get(pid, _NOTHING) for pid in (answer["pid"], *(row.pid for row in rows if row.pid))]
    cpu = [each.cpu for each in processes if each.cpu is not None]
    pss = [each.pss for each in processes if each.pss is not None]
    return Server(
        version=answer["version"],
        pid=answer["pid"],
        state=answer["state"],
        uptime=answer["uptime"],
        listening=tuple(answer["listening"]),
        is_reloading=answer["reloading"],
        wanted=answer["wanted"],
        most=answer["most"],
        restarts=answer["restarts"],
        cpu=sum(cpu) if cpu else None,
        pss=sum(pss) if pss else None,
        in_flight=sum(row.in_flight for row in rows),
        queued=sum(row.queued for row in rows),
        connections=sum(row.connections for row in rows),
        rates=rates,
    )


def _row(worker: Mapping[str, Any], rates: Rates, reading: Reading) -> Row:
    return Row(
        worker=worker["worker"],
        pid=worker["pid"],
        state=worker["state"],
        age=worker["age"],
        cpu=reading.cpu,
        pss=reading.pss,
        in_flight=worker["in_flight"],
        queued=worker["queued"],
        threads=worker["threads"],
        threads_busy=worker["threads_busy"],
        connections=worker["connections"],
        rates=rates,
    )


def _change(worker: Mapping[str, Any], before: Mapping[str, Any] | None) -> _Change:
    then: Mapping[str, Any] = before or {"requests": 0, "statuses": [0] * 5, "latency": []}
    latency = Counter(dict(worker["latency"]))
    latency.subtract(dict(then["latency"]))
    return _Change(
        worker["requests"] - then["requests"],
        worker["statuses"][3] - then["statuses"][3],
        worker["statuses"][4] - then["statuses"][4],
        +latency,
    )


def _rates(change: _Change, seconds: float) -> Rates:
    if seconds <= 0:
        return Rates()
    durations = [percentile(change.latency, share) for share in _SHARES]
    counts = (change.requests, change.client_errors, change.server_errors)
    return Rates(*(count / seconds for count in counts), *durations)


def _running(answer: Mapping[str, Any]) -> tuple[Running, ...]:
    found = []
    seen: Counter[str] = Counter()
    for each in sorted(answer["running"], key=lambda each: -each["age"]):
        begun = answer["uptime"] - each["age"]
        name = f"{each['worker']}/{each['thread']}/{begun:.3f}"
        seen[name] += 1  # of an event loop's requests several may have begun in the same millisecond
        found.append(Running(f"{name}/{seen[name]}", **each))
    return tuple(found)
