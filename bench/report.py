"""The tables. Ratios: an absolute time says something about one machine, a ratio about the servers.

Where the app's own waiting sets the time, the time is the point and stands there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from bench.goals import goals
from bench.results import Report, Result, Row, ratio
from bench.scenarios import SCENARIOS, Scenario

MEGABYTE = 1 << 20
KILOBYTE = 1 << 10
OURS = "hostler"
DISTURBED = 0.05
"""Cores that others may take before the page says so."""


class Column(NamedTuple):
    """One column of numbers."""

    title: str
    value: Callable[[Row], float | None]
    form: str = "{:.2f}×"


class Table(NamedTuple):
    """How one kind of scenario is laid out: its columns, and the sample that orders the rows."""

    columns: Callable[[Result], Sequence[Column]]
    order: str


def to_markdown(report: Report) -> str:
    """The whole page."""
    parts = ["# Benchmark", _about(report), _goals(report)]
    for scenario in SCENARIOS:
        result = report.result(scenario.name)
        if result and result.rows:
            parts += [f"## {scenario.title}", _table(scenario, result), _notes(result)]
    parts += ["## Settings", _settings(report)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _about(report: Report) -> str:
    lines = [f"* {name}: {value}" for name, value in report.about.items()]
    explained = (
        "CPU is the processor time of the server's whole process tree per request, median of the rounds; "
        "spread is the distance between the lowest and the highest round, as a part of the median."
    )
    return "\n".join(lines) + "\n\n" + explained


def _goals(report: Report) -> str:
    rows = []
    for goal in goals(report):
        verdict = "" if goal.met is None else "yes" if goal.met else "**no**"
        found = "not measured" if goal.found is None else f"{goal.found:.2f}{goal.unit}"
        rows.append([goal.text, f"≤ {goal.limit:.2f}{goal.unit}" if goal.limit else "reported", found, verdict])
    return "## Goals\n\n" + grid(["goal", "limit", "measured", "met"], rows) if rows else ""


def _table(scenario: Scenario, result: Result) -> str:
    layout = TABLES[scenario.table]
    columns = layout.columns(result)
    rows = []
    for row in sorted(result.rows, key=lambda row: row.median(layout.order) or float("inf")):
        if not row.error:
            name = f"**{row.peer}**" if row.peer == OURS else row.peer
            rows.append([name, *(_cell(column, row) for column in columns)])
    return grid(["server", *(column.title for column in columns)], rows)


def _cell(column: Column, row: Row) -> str:
    value = column.value(row)
    return "–" if value is None else column.form.format(value)


def _notes(result: Result) -> str:
    lines = [f"* {row.peer}: {note}" for row in result.rows if not row.error for note in row.notes]
    lines += [f"* {row.peer}: no result: {row.error.splitlines()[0]}" for row in result.rows if row.error]
    disturbance = result.disturbance()
    if disturbance and disturbance > DISTURBED:
        lines.append(f"* disturbed: other processes took {disturbance:.2f} cores meanwhile")
    return "\n".join(lines)


def _settings(report: Report) -> str:
    rows = {row.peer: [row.peer, row.version or "–", row.settings] for result in report.results for row in result.rows}
    return grid(["server", "version", "settings"], list(rows.values()))


def grid(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column left, numbers right, words left."""
    words = {"settings", "goal", "server", "version", "met", "page"}
    rules = ["---" if title in words else "---:" for title in titles]
    lines = [titles, rules, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def base_of(result: Result, sample: str) -> Row | None:
    """What the others are compared with: the raw loop, or the lowest where it takes no part."""
    raw = result.row("raw")
    if raw and raw.median(sample) is not None:
        return raw
    measured = [row for row in result.rows if row.median(sample) is not None]
    return min(measured, key=lambda row: row.median(sample) or 0, default=None)


def _against(base: Row | None, sample: str) -> Callable[[Row], float | None]:
    return lambda row: ratio(row.median(sample), base.median(sample) if base else None)


def _within(sample: str, base: str) -> Callable[[Row], float | None]:
    return lambda row: ratio(row.median(sample), row.median(base))


def _scaled(sample: str, unit: float) -> Callable[[Row], float | None]:
    return lambda row: ratio(row.median(sample), unit)


def _load(result: Result) -> list[Column]:
    base = base_of(result, "one.cpu")
    name = base.peer if base else "?"
    columns = [Column(f"CPU, {name} = 1", _against(base, "one.cpu"))]
    ours = result.row(OURS)
    if ours and ours is not base and ours.median("one.cpu") is not None:
        columns.append(Column("CPU, hostler = 1", _against(ours, "one.cpu")))
    return [
        *columns,
        Column(f"throughput, {name} = 1", _against(base, "one.rate")),
        Column(f"p99, {name} = 1", _against(base, "one.p99")),
        Column("spread", lambda row: row.spread("one.cpu"), "{:.0%}"),
    ]


def _log(result: Result) -> list[Column]:
    return [
        Column("CPU, on ÷ off", _within("on.cpu", "off.cpu")),
        Column("CPU with the log, lowest = 1", _against(base_of(result, "on.cpu"), "on.cpu")),
        Column("spread", lambda row: row.spread("on.cpu"), "{:.0%}"),
    ]


def _scale(result: Result) -> list[Column]:
    return [
        Column("throughput, 2 ÷ 1", _within("two.rate", "one.rate")),
        Column("load generator aside", _within("two.rate_aside", "one.rate_aside")),
        Column("CPU, 2 ÷ 1", _within("two.cpu", "one.cpu")),
        Column("spread", lambda row: row.spread("two.rate"), "{:.0%}"),
    ]


def _memory(result: Result) -> list[Column]:
    return [
        Column("PSS, MB", _scaled("one.pss", MEGABYTE), "{:.1f}"),
        Column("gunicorn-sync = 1", _against(result.row("gunicorn-sync"), "one.pss")),
        Column("unshared, MB", _scaled("one.uss", MEGABYTE), "{:.1f}"),
        Column("processes", _scaled("one.processes", 1), "{:.0f}"),
    ]


def _idle(result: Result) -> list[Column]:
    return [
        Column("PSS each, KB", _scaled("one.pss_each", KILOBYTE), "{:.2f}"),
        Column("kernel each, both ends, KB", _scaled("one.kernel_each", KILOBYTE), "{:.1f}"),
        Column("CPU while idle, of one core", _scaled("one.idle_cpu", 1), "{:.2%}"),
        Column("hello CPU, with ÷ without", _within("one.cpu_beside", "one.cpu_without")),
        Column("hello p99, with ÷ without", _within("one.p99_beside", "one.p99_without")),
    ]


def _waiting(result: Result) -> list[Column]:
    ours = result.row(OURS)
    return [
        Column("throughput, hostler = 1", _against(ours, "one.rate")),
        Column("requests/s", _scaled("one.rate", 1), "{:.0f}"),
        Column("p50, ms", _scaled("one.p50", 1e3), "{:.0f}"),
        Column("p99, ms", _scaled("one.p99", 1e3), "{:.0f}"),
        Column("CPU per request, hostler = 1", _against(ours, "one.cpu")),
        Column("PSS, MB", _scaled("one.pss", MEGABYTE), "{:.0f}"),
        Column("threads", _scaled("one.threads", 1), "{:.0f}"),
        Column("spread", lambda row: row.spread("one.rate"), "{:.0%}"),
    ]


def _beside(result: Result) -> list[Column]:
    return [
        Column("hello p99, ms", _scaled("one.p99", 1e3), "{:.1f}"),
        Column("hello p50, ms", _scaled("one.p50", 1e3), "{:.2f}"),
        Column("throughput, beside ÷ alone", _within("one.rate", "one.rate_alone")),
        Column("throughput, hostler = 1", _against(result.row(OURS), "one.rate")),
        Column("the others, requests/s", _scaled("one.background", 1), "{:.1f}"),
        Column("spread of p99", lambda row: row.spread("one.p99"), "{:.0%}"),
    ]


def _burst(result: Result) -> list[Column]:
    return [
        Column("PSS before, MB", _scaled("one.pss_before", MEGABYTE), "{:.1f}"),
        Column("busy", _within("one.pss_busy", "one.pss_before")),
        Column("after", _within("one.pss_after", "one.pss_before")),
        Column("threads before", _scaled("one.threads_before", 1), "{:.0f}"),
        Column("threads busy", _scaled("one.threads_busy", 1), "{:.0f}"),
        Column("threads after", _scaled("one.threads_after", 1), "{:.0f}"),
        Column("gone after, s", _scaled("one.gone", 1), "{:.0f}"),
    ]


def _sockets(result: Result) -> list[Column]:
    return [
        Column("PSS each, KB", _scaled("one.pss_each", KILOBYTE), "{:.2f}"),
        Column("hostler = 1", _against(result.row("hostler-asgi"), "one.pss_each")),
        Column("CPU while idle, of one core", _scaled("one.idle_cpu", 1), "{:.2%}"),
    ]


TABLES = {
    "sockets": Table(_sockets, "one.pss_each"),
    "waiting": Table(_waiting, "one.p99"),
    "beside": Table(_beside, "one.p99"),
    "burst": Table(_burst, "one.pss_after"),
    "load": Table(_load, "one.cpu"),
    "log": Table(_log, "on.cpu"),
    "scale": Table(_scale, "one.cpu"),
    "memory": Table(_memory, "one.pss"),
    "idle": Table(_idle, "one.pss_each"),
}
