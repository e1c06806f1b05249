"""What the measurements come to: one unit, one direction, and the goals that are not met.

`python -m bench.summary` writes bench/results/README.md and the tables of README.md again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.goals import goals
from bench.report import grid
from bench.results import Report, ratio

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
BEGIN, END = "<!-- bench table: begin -->\n", "<!-- bench table: end -->"
OURS = ("hostler", "hostler-asgi")
WHAT = {"cpu": "CPU", "rate": "time per request", "p99": "p99", "pss": "memory", "pss_each": "memory"}


class Line(NamedTuple):
    """One row: what is measured, and against which servers."""

    page: str
    scenario: str
    metric: str
    text: str
    rivals: Mapping[str, str]  # name in the results -> name in the table


C_SERVERS = {"fastwsgi": "fastwsgi", "fastpysgi": "fastpysgi"}
BODIES = {"raw": "raw", **C_SERVERS, "granian": "granian", "uwsgi": "uWSGI"}
FILES = {"granian": "granian", "uwsgi": "uWSGI", **C_SERVERS}
GUNICORN = {"gunicorn-gthread": "gunicorn gthread"}
HELLO = {"raw": "raw", **C_SERVERS, "bjoern": "bjoern", "granian": "granian", "uwsgi": "uWSGI", **GUNICORN}
SLEEPERS = {
    "granian-200": "granian", "cheroot-200": "cheroot", "gunicorn-gevent-pool": "gevent",
    "gunicorn-gthread-200": "gunicorn gthread",
}  # fmt: skip
BESIDE = {"granian-40": "granian", "gunicorn-gthread-40": "gunicorn gthread"}
DJANGO = {"granian-40": "granian with 40 threads", **SLEEPERS, "granian-200": "granian with 200"}
SOCKETS = {"uvicorn-asgi-wsproto": "uvicorn", "granian-asgi": "granian", "daphne-asgi": "daphne"}
ASGI = {"granian-asgi": "granian", "uvicorn-asgi": "uvicorn"}
RAW_ASGI = {"raw": "raw", "fastpysgi-asgi": "fastpysgi", **ASGI}
ABOUT = """\
Each page holds ratios of what was measured together. In the goals hostler's value is divided by the other's: of CPU,
time and memory, and throughput counts as time per request. Below 1.00× hostler needs less. `python -m bench.summary`
writes this page, and the tables of the README."""
WSGI_LINES = (
    Line("0.1.0", "hello", "cpu", "hello, 64 keep-alive connections", HELLO),
    Line("0.1.0", "post64k", "cpu", "POST of 64 KB, read by the app", BODIES),
    Line("0.1.0-bodies-log-idle", "big1m", "cpu", "response of 1 MB", BODIES),
    Line("0.1.0", "file", "cpu", "256 KB by `wsgi.file_wrapper`", FILES),
    Line("0.1.0", "memory", "pss", "the process tree (PSS)", {"gunicorn-sync": "gunicorn sync", **HELLO}),
    Line("0.1.0-waiting", "sleep100", "p99", "an app that sleeps 100 ms, 200 connections", SLEEPERS),
    Line("0.1.0-waiting", "sleep100", "cpu", "the same", SLEEPERS),
    Line("0.1.0-waiting", "sleep100", "pss", "the same", SLEEPERS),
    Line("0.1.0-waiting", "beside-sleepers", "p99", "hello beside 8 requests that sleep 1 s", BESIDE),
    Line("0.1.0-waiting", "beside-burners", "p99", "hello beside 4 requests that compute 50 ms each", BESIDE),
    Line("0.1.0-waiting", "django-wait", "rate", "a Django view with 3 queries and a wait, SQLite", DJANGO),
    Line("0.1.0-waiting", "django-wait-postgres", "rate", "the same, PostgreSQL", DJANGO),
)
ASGI_LINES = (
    Line("0.1.0-asgi", "asgi-hello", "cpu", "hello, 64 connections", RAW_ASGI),
    Line("0.1.0-asgi", "asgi-post100", "cpu", "POST of 100 bytes, read by `receive()`", ASGI),
    Line("0.1.0-asgi", "fastapi-json", "cpu", "FastAPI, a small dict", ASGI),
    Line("0.1.0-asgi", "asgi-sleep10", "rate", "`await asyncio.sleep(0.01)`, 500 connections", ASGI),
    Line("0.1.0-asgi", "asgi-sleep10", "p99", "the same", ASGI),
    Line("0.1.0-asgi", "asgi-stream", "cpu", "10 MB down in parts of 64 KB", ASGI),
    Line("0.1.0-asgi", "asgi-upload", "cpu", "10 MB up", ASGI),
    Line("0.1.0-asgi", "ws-echo", "cpu", "WebSocket echo of 100 bytes, 64 connections", SOCKETS),
    Line("0.1.0-asgi", "ws-idle", "pss_each", "an idle WebSocket, of 10,000", {"uvicorn-asgi": "uvicorn"}),
)


def reports() -> dict[str, Report]:
    """The measurements that are kept, by the name of their page."""
    return {path.stem: Report.from_json(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}


def against(report: Report, line: Line, rival: str) -> float | None:
    """What hostler needs, as a part of what the rival needs."""
    sample = f"one.{line.metric}"
    ours = next((value for name in OURS if (value := report.median(line.scenario, name, sample)) is not None), None)
    theirs = report.median(line.scenario, rival, sample)
    return ratio(theirs, ours) if line.metric == "rate" else ratio(ours, theirs)


def table(found: Mapping[str, Report], title: str, lines: Sequence[Line]) -> str:
    """One table: a row for each line."""
    rows = []
    for line in lines:
        values = {label: against(found[line.page], line, rival) for rival, label in line.rivals.items()}
        cells = [f"{value:.2f}× {label}" for label, value in values.items() if value is not None]
        rows.append(f"| {line.text} | {WHAT[line.metric]} | {', '.join(cells)} |")
    return "\n".join([f"| {title} | what | hostler ÷ the other |", "|---|---|---|", *rows])


def missed(found: Mapping[str, Report]) -> str:
    """The goals that some page misses."""
    rows = [
        [goal.text, f"≤ {goal.limit:.2f}{goal.unit}", f"{goal.found:.2f}{goal.unit}", page]
        for page, report in found.items()
        for goal in goals(report)
        if goal.met is False and goal.found is not None
    ]
    return grid(["goal", "limit", "measured", "page"], rows)


def for_readme(found: Mapping[str, Report]) -> str:
    """What stands in README.md between its two marks."""
    parts = [
        table(found, "WSGI, one worker on one core", WSGI_LINES),
        table(found, "ASGI, one worker on one core, uvloop", ASGI_LINES),
        "**Goals that are not met:**",
        missed(found),
    ]
    return "\n\n".join(parts) + "\n\n"


def for_results(found: Mapping[str, Report]) -> str:
    """bench/results/README.md."""
    parts = [
        "# Results",
        ABOUT,
        "## Goals that are not met",
        missed(found),
    ]
    for page, report in found.items():
        measured = [goal for goal in goals(report) if goal.found is not None]
        met = sum(goal.met is True for goal in measured)
        parts.append(f"* [{page}]({page}.md): {met} of {sum(goal.met is not None for goal in measured)} goals are met")
    return "\n\n".join(parts[:4]) + "\n\n## Pages\n\n" + "\n".join(parts[4:]) + "\n"


def between(text: str, new: str) -> str:
    """A page with `new` between its marks."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + new + END + rest.partition(END)[2]


def main() -> None:
    """Write both pages."""
    found = reports()
    readme = ROOT / "README.md"
    readme.write_text(between(readme.read_text(encoding="utf-8"), for_readme(found)), encoding="utf-8")
    (RESULTS / "README.md").write_text(for_results(found), encoding="utf-8")


if __name__ == "__main__":
    main()
