"""What of the machine we may use."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hostler.proc import machine

Write = Callable[[dict[str, str]], None]


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """A machine with 8 processors and the files that are written."""
    monkeypatch.setattr(machine, "_ROOT", str(tmp_path))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    read = machine._read

    def write(files: dict[str, str]) -> None:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        own = files["self"]
        monkeypatch.setattr(machine, "_read", lambda path: own if path == "/proc/self/cgroup" else read(path))

    return write


@pytest.mark.parametrize(
    ("files", "processors", "memory"),
    [
        ({"self": "0::/"}, 8.0, None),
        ({"self": "0::/", "cpu.max": "max 100000", "memory.max": "max"}, 8.0, None),
        ({"self": "0::/", "cpu.max": "150000 100000", "memory.max": "536870912"}, 1.5, 512 << 20),
        ({"self": "0::/a/b", "a/cpu.max": "200000 100000", "a/b/cpu.max": "max 100000"}, 2.0, None),
        ({"self": "0::/a/b", "a/memory.max": "100", "a/b/memory.max": "200"}, 8.0, 100),
        (
            {
                "self": "4:cpu,cpuacct:/x\n9:memory:/x",
                "cpu,cpuacct/x/cpu.cfs_quota_us": "50000",
                "cpu,cpuacct/x/cpu.cfs_period_us": "100000",
                "memory/x/memory.limit_in_bytes": "1000",
                "memory/memory.limit_in_bytes": "9223372036854771712",
            },
            0.5,
            1000,
        ),
        ({"self": "4:cpu:/", "cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8.0, None),
    ],
)
def test_limits(cgroup: Write, files: dict[str, str], processors: float, memory: int | None) -> None:
    cgroup(files)
    assert (machine.processors(), machine.memory_limit()) == (processors, memory)


def test_processor_time_grows_with_work() -> None:
    before = machine.cpu_seconds(os.getpid())
    deadline = time.monotonic() + 10
    while machine.cpu_seconds(os.getpid()) < before + 0.05:
        assert time.monotonic() < deadline
    assert machine.cpu_seconds(999_999_999) == 0.0
