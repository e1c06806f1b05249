"""How much a process may say: a burst, then a few messages a second; lines about it are few as well."""

from __future__ import annotations

from hostler.arbiter.quota import Quota, Remarks


def test_burst_is_followed_by_a_rate() -> None:
    quota = Quota(100.0)
    assert quota.left(100.0) == 32
    quota.spend(32)
    assert quota.left(100.0) == 0
    assert quota.due() == 100.125
    assert quota.left(100.12) == 0
    assert quota.left(quota.due()) == 1
    quota.spend(1)
    assert quota.left(101.125) == 8


def test_quota_never_exceeds_the_burst() -> None:
    quota = Quota(0.0)
    quota.spend(5)
    assert quota.left(1e6) == 32


def test_remark_is_written_once_and_the_others_are_counted() -> None:
    lines: list[str] = []
    remarks = Remarks(lines.append)
    for number in range(1000):
        remarks.add(7, f"remark {number}", 50.0 + number / 1000)
    remarks.add(8, "of another process", 51.0)
    assert lines == ["remark 0", "of another process"]
    remarks.add(7, "a minute later", 110.0)
    assert lines[2:] == ["a minute later left_out=999"]


def test_number_of_lines_left_out_is_said_at_the_end_of_the_process() -> None:
    lines: list[str] = []
    remarks = Remarks(lines.append)
    for _ in range(4):
        remarks.add(7, "remark", 50.0)
    remarks.forget(7)
    remarks.forget(7)
    remarks.forget(9)
    assert lines == ["remark", "process ended; lines about what it said were left out pid=7 left_out=3"]
