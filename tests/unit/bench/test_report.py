"""The page says ratios, orders by them, and hides no failure."""

from __future__ import annotations

import re

from bench.report import base_of, grid, to_markdown
from bench.results import Report, Result, Row

LOAD = ("cpu", "rate", "p99")


def load_row(peer: str, *values: float, error: str = "") -> Row:
    samples = {f"one.{name}": [value] for name, value in zip(LOAD, values, strict=False)}
    return Row(peer, "1.0", f"settings of {peer}", samples, error=error)


HELLO = Result(
    "hello",
    [
        load_row("bjoern", 7.5, 80_000, 200),
        load_row("raw", 5.0, 100_000, 100),
        load_row("hostler", 6.0, 90_000, 150),
        load_row("waitress", error="ended with 1 at start: Traceback\nmore lines"),
    ],
)
PAGE = to_markdown(Report({"date": "2026-01-02", "kernel": "Linux 6"}, [HELLO]))


def test_rows_are_ordered_by_cost_with_their_ratios() -> None:
    rows = [line for line in PAGE.splitlines() if re.match(r"\| (\*\*)?(raw|hostler|bjoern)\W.*×", line)]
    assert rows == [
        "| raw | 1.00× | 0.83× | 1.00× | 1.00× | – |",
        "| **hostler** | 1.20× | 1.00× | 0.90× | 1.50× | – |",
        "| bjoern | 1.50× | 1.25× | 0.80× | 2.00× | – |",
    ]


def test_a_failed_row_is_named_with_its_first_line() -> None:
    assert "* waitress: no result: ended with 1 at start: Traceback\n" in PAGE
    assert "more lines" not in PAGE


def test_the_page_says_where_and_how() -> None:
    assert "* date: 2026-01-02\n* kernel: Linux 6" in PAGE
    assert "| bjoern | 1.0 | settings of bjoern |" in PAGE


def test_goals_are_answered_where_they_were_measured() -> None:
    assert "| hello, CPU per request against the raw epoll loop | ≤ 1.35× | 1.20× | yes |" in PAGE
    assert "| hello against granian | ≤ 0.60× | not measured |  |" in PAGE


def test_no_absolute_time_stands_on_the_page() -> None:
    assert not re.search(r"µs|\bms\b|100000|90000", PAGE)


def test_a_disturbed_run_says_so() -> None:
    quiet = Result("hello", [Row("raw", "", "", {"one.cpu": [5.0], "one.others": [0.01]})])
    loud = Result("hello", [Row("raw", "", "", {"one.cpu": [5.0], "one.others": [0.4]})])
    assert "disturbed" not in to_markdown(Report({}, [quiet]))
    assert "other processes took 0.40 cores" in to_markdown(Report({}, [loud]))


def test_every_kind_of_table_is_written_without_a_single_sample() -> None:
    names = ("hello", "log", "scale-hello", "memory", "idle", "sleep100", "beside-sleepers", "burst")
    empty = Report({}, [Result(name, [Row("hostler", "", "")]) for name in names])
    assert to_markdown(empty).count("| **hostler** |") == len(names)


def test_the_base_is_raw_or_the_lowest() -> None:
    assert base_of(HELLO, "one.cpu") is HELLO.row("raw")
    without = Result("hello", [row for row in HELLO.rows if row.peer != "raw"])
    assert base_of(without, "one.cpu") is HELLO.row("hostler")
    assert base_of(Result("hello"), "one.cpu") is None


def test_a_bar_does_not_break_the_table() -> None:
    assert grid(["server", "x"], [["a|b", "1"]]).splitlines()[2] == "| a\\|b | 1 |"
