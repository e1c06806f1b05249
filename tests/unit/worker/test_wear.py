"""Limits of a worker's memory and age, with made-up times."""

from __future__ import annotations

import pytest

from hostler.config import Config
from hostler.config.settings import Assignment
from hostler.proc import memory
from hostler.worker import wear
from hostler.worker.wear import Wear


def config(**options: object) -> Config:
    return Config([Assignment(name, value, "test", "test") for name, value in options.items()])


def test_without_limits_nothing_is_looked_at() -> None:
    nothing = Wear(config(), 0.0)
    assert nothing.interval is None
    assert nothing.look(1e9) is None


def test_age_is_said_once() -> None:
    aged = Wear(config(max_lifetime="1m"), 100.0)
    assert aged.interval == 10.0
    assert aged.look(159.0) is None
    assert aged.look(169.5) == "it has served for 70s (max_lifetime)"
    assert aged.is_due
    assert aged.look(200.0) is None


def test_memory_is_looked_at_each_second(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [50 << 20, 90 << 20]
    monkeypatch.setattr(wear, "rss", lambda: sizes.pop(0))
    worn = Wear(config(max_rss="80M"), 0.0)
    assert worn.interval == 1.0
    assert worn.look(0.0) is None
    assert worn.look(0.5) is None
    assert len(sizes) == 1
    assert worn.look(1.0) == "it has 90M of memory (max_rss 80M)"


def test_proportional_memory_is_looked_at_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def pss() -> int:
        looks.append(1)
        return 0

    monkeypatch.setattr(wear, "pss", pss)
    worn = Wear(config(max_rss="1G", max_pss="1G"), 0.0)
    for second in range(25):
        assert worn.look(float(second)) is None
    assert len(looks) == 3


def test_the_system_tells() -> None:
    assert 1 << 20 < memory.rss() < 1 << 34
    assert 1 << 20 < memory.pss() <= memory.rss() + (64 << 20)
