"""Medians, spreads and ratios count only what was measured; a report survives its file."""

from __future__ import annotations

import pytest

from bench.results import Report, Result, Row, ratio


def row(peer: str, *cpu: float, error: str = "") -> Row:
    return Row(peer, "1.0", "defaults", {"one.cpu": list(cpu)}, error=error)


def test_the_middle_round_counts() -> None:
    assert row("a", 9.0, 1.0, 2.0).median("one.cpu") == 2.0


def test_a_failed_row_has_no_numbers() -> None:
    failed = row("a", 1.0, 2.0, error="status 500")
    assert failed.median("one.cpu") is None
    assert failed.spread("one.cpu") is None


def test_what_was_not_measured_is_none() -> None:
    assert row("a", 1.0).median("one.rate") is None
    assert row("a").median("one.cpu") is None


def test_the_spread_is_a_part_of_the_median() -> None:
    assert row("a", 9.0, 10.0, 12.0).spread("one.cpu") == pytest.approx(0.3)


def test_one_round_has_no_spread() -> None:
    assert row("a", 9.0).spread("one.cpu") is None


def test_rounds_are_added_by_case() -> None:
    it = row("a")
    it.add("off", {"cpu": 1.0})
    it.add("off", {"cpu": 3.0})
    it.add("on", {"cpu": 4.0})
    assert (it.median("off.cpu"), it.median("on.cpu")) == (2.0, 4.0)


def test_a_note_is_kept_once() -> None:
    it = row("a")
    it.note("closes")
    it.note("closes")
    assert it.notes == ["closes"]


@pytest.mark.parametrize(
    ("value", "base", "found"), [(3.0, 2.0, 1.5), (None, 2.0, None), (3.0, None, None), (3.0, 0.0, None)]
)
def test_a_ratio_needs_both(value: float | None, base: float | None, found: float | None) -> None:
    assert ratio(value, base) == found


def test_disturbance_is_the_median_of_what_others_took() -> None:
    result = Result("hello", [Row("a", "", "", {"off.others": [0.1, 0.9], "on.others": [0.2]}), row("b", 1.0)])
    assert result.disturbance() == 0.2
    assert Result("memory", [row("b", 1.0)]).disturbance() is None


def test_a_report_survives_its_file() -> None:
    report = Report({"date": "2026-01-02"}, [Result("hello", [row("raw", 5.0, 6.0), row("b", error="no answer")])])
    assert Report.from_json(report.to_json()) == report


def test_a_file_holds_four_digits_of_each_number() -> None:
    assert Report.from_json(Report({}, [Result("hello", [row("a", 1234.567)])]).to_json()).median(
        "hello", "a", "one.cpu"
    ) == pytest.approx(1235)
