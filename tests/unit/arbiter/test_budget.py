"""The whole server's memory: who goes when it is too much, and when nobody does."""

from __future__ import annotations

import os

from hostler.arbiter.budget import Budget

MB = 1 << 20
SIZES = {os.getpid(): 6 * MB, 7: 50 * MB, 8: 80 * MB, 9: 30 * MB}


def budget(limit: int) -> Budget:
    return Budget(limit, 0.0, lambda pid: SIZES.get(pid, 0))


def test_the_largest_goes_when_all_together_have_too_much() -> None:
    found = budget(130 * MB).look(10.0, [7, 8])
    assert found == (8, "all processes have 136M of memory (memory_budget 130M), and it has the most, 80M")


def test_what_is_no_worker_counts_too() -> None:
    assert budget(140 * MB).look(10.0, [7, 8]) is None
    assert budget(140 * MB).look(10.0, [7, 8], [9]) is not None


def test_looks_seldom_and_after_a_replacement_later_still() -> None:
    looked = budget(1)
    assert looked.look(9.9, [7]) is None
    assert looked.look(10.0, [7]) is not None
    assert looked.deadline() == 70.0
    assert looked.look(69.0, [7]) is None
    assert looked.look(70.0, []) is None
    assert looked.deadline() == 80.0  # not at once again: who waits until then must not spin
    assert looked.look(80.0, [7]) is not None


def test_without_a_limit_nobody_looks() -> None:
    assert budget(0).deadline() is None
    assert budget(0).look(100.0, [7]) is None
