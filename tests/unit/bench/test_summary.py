"""The summary has one unit and one direction, and hides no goal that is missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.goals import goals
from bench.results import Report, Result, Row
from bench.summary import RESULTS, Line, against, between, for_readme, for_results, missed, reports


def measured(sample: str, **values: float) -> Report:
    return Report({}, [Result("hello", [Row(peer, "", "", {sample: [value]}) for peer, value in values.items()])])


@pytest.mark.parametrize(("metric", "ours", "theirs"), [("cpu", 1.0, 2.0), ("p99", 3.0, 6.0), ("rate", 200.0, 100.0)])
def test_what_is_cheaper_or_faster_is_below_one(metric: str, ours: float, theirs: float) -> None:
    report = measured(f"one.{metric}", hostler=ours, granian=theirs)
    assert against(report, Line("", "hello", metric, "", {}), "granian") == 0.5


def test_every_goal_that_a_page_misses_is_named() -> None:
    found = reports()
    rows = missed(found).splitlines()[2:]
    assert len(rows) == sum(goal.met is False for report in found.values() for goal in goals(report))


def test_pages_are_those_of_the_measurements(root: Path) -> None:
    """`python -m bench.summary` writes them."""
    found, readme = reports(), (root / "README.md").read_text(encoding="utf-8")
    assert readme == between(readme, for_readme(found))
    assert (RESULTS / "README.md").read_text(encoding="utf-8") == for_results(found)
