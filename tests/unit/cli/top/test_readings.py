"""What is read of /proc, and how often."""

from __future__ import annotations

import os

import pytest

from hostler.cli.top import readings as module
from hostler.cli.top.readings import PSS_AT_ONCE, PSS_EVERY, Reading, Readings


class System:
    """What /proc would say: seconds and bytes by pid; 0 where it says nothing."""

    def __init__(self) -> None:
        self.seconds: dict[int, float] = {}
        self.asked: list[int] = []

    def pss(self, pid: int) -> int:
        self.asked.append(pid)
        return pid * 1000 if pid < 900 else 0


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    system = System()
    monkeypatch.setattr(module, "cpu_seconds", lambda pid: system.seconds.get(pid, 0.0))
    monkeypatch.setattr(module, "pss", system.pss)
    return system


def test_cpu_is_a_share_of_the_time_since_the_last_look(system: System) -> None:
    readings = Readings()
    system.seconds = {1: 10.0, 2: 5.0}
    assert readings.look([1, 2], 100.0) == {1: Reading(None, 1000), 2: Reading(None, 2000)}
    system.seconds = {1: 13.0, 2: 5.0}
    found = readings.look([1, 2], 102.0)
    assert (found[1].cpu, found[2].cpu) == (1.5, 0.0)


def test_what_may_not_be_read_is_none(system: System) -> None:
    readings = Readings()
    readings.look([901], 1.0)
    assert readings.look([901], 2.0) == {901: Reading(None, None)}


def test_memory_is_read_rarely_and_in_turn(system: System) -> None:
    readings, pids = Readings(), range(1, 65)
    for second in range(5):
        before = len(system.asked)
        readings.look(pids, float(second))
        assert len(system.asked) - before <= PSS_AT_ONCE
    assert sorted(system.asked) == list(pids), "each once in five looks"
    system.asked.clear()
    found = readings.look(pids, PSS_EVERY)
    assert system.asked == list(range(1, PSS_AT_ONCE + 1)), "those that were read first are due first"
    assert found[64] == Reading(None, 64000), "the others stay"


def test_processes_that_have_gone_are_forgotten(system: System) -> None:
    readings = Readings()
    readings.look([1], 1.0)
    readings.look([2], 2.0)
    system.asked.clear()
    readings.look([1], 3.0)
    assert system.asked == [1]


def test_this_very_process() -> None:
    readings, pid = Readings(), os.getpid()
    readings.look([pid], 1.0)
    found = readings.look([pid], 2.0)[pid]
    assert found.cpu is not None
    assert found.pss is not None
    assert found.pss > 1 << 20
