"""What is measured of an app that waits, and when; the server, the load and the clock are played."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import probes
from bench.load import Load, Request
from bench.probes import BURST, Effort, ProbeFailed, Run, after_a_burst, beside_others, while_waiting
from bench.procs import Cpu, Memory

FINE = Load(requests=100, seconds=2.0, p50=0.1, p99=0.12, errors="", generator_cpu=0.5)


class Stage:
    """A server whose threads and memory follow the load and the clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, leaves_after: float = 20.0) -> None:
        self.now = 0.0
        self.loads = 0
        self.ended = -1e6  # when the last load did
        self.leaves_after = leaves_after
        self.beside = FINE
        clock = SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep)
        monkeypatch.setattr(probes, "time", clock)
        monkeypatch.setattr(probes, "drive", lambda *_: FINE)
        monkeypatch.setattr(probes, "beside", self.other)
        monkeypatch.setattr(probes, "visit", lambda *_: None)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    @contextmanager
    def other(self, _port: int, _request: Request, seconds: float, *_: Any) -> Iterator[list[Load]]:
        results: list[Load] = []
        end = self.now + seconds
        self.loads += 1
        yield results
        self.loads -= 1
        self.now = self.ended = max(end, self.now)
        results.append(self.beside)

    @property
    def busy(self) -> bool:
        return bool(self.loads) or self.now - self.ended < self.leaves_after

    def threads(self) -> int:
        return 130 if self.busy else 3

    def memory(self) -> Memory:
        return Memory(60, 50, 80) if self.busy else Memory(22, 20, 30)

    def cpu(self) -> Cpu:
        return Cpu(self.now, self.now, 0.0, frozenset({1}))

    def run(self, **changes: Any) -> Run:
        server: Any = self
        effort = Effort(seconds=2, warmup=0, rest=120)
        run = Run(server, 1, Request(b"", path="/sleep100"), True, (0,), (1,), Path(), effort)
        return run._replace(**changes)


def test_memory_is_read_while_the_app_works(monkeypatch: pytest.MonkeyPatch) -> None:
    found = while_waiting(Stage(monkeypatch).run())
    assert (found["pss"], found["threads"], found["rate"]) == (60, 130, 50.0)


def test_a_burst_is_compared_with_the_state_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    found = after_a_burst(stage.run())
    assert (found["pss_before"], found["pss_busy"], found["pss_after"]) == (22, 60, 22)
    assert (found["threads_before"], found["threads_busy"], found["threads_after"]) == (3, 130, 3)
    assert found["gone"] == pytest.approx(20, abs=1)
    assert stage.now == pytest.approx(0.5 + BURST + 120)


def test_threads_that_stay_are_not_called_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    found = after_a_burst(Stage(monkeypatch, leaves_after=1000).run())
    assert found["threads_after"] == 130
    assert "gone" not in found


def test_the_load_beside_is_reported_and_must_be_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    run = stage.run(background=Request(b"", path="/sleep1000", connections=8))
    assert beside_others(run)["background"] == 50.0
    stage.beside = FINE._replace(errors="Non-2xx or 3xx responses: 4")
    with pytest.raises(ProbeFailed, match="beside: Non-2xx or 3xx responses: 4"):
        beside_others(run)


def test_a_scenario_without_another_load_has_nothing_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProbeFailed, match="no other load"):
        beside_others(Stage(monkeypatch).run())
