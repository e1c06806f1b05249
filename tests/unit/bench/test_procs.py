"""The process tree: what belongs to it, what it costs, and that nothing of it stays."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from bench.procs import TICKS, Memory, Server, Stat, cpu_clock, machine_cpu, parse_rollup, parse_stat, read_stats, tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="measuring is done on Linux")


def test_a_command_name_may_look_like_fields() -> None:
    text = f"42 (a) S 7 (x) ) S 7 42 42 0 -1 4194560 1 0 0 0 {3 * TICKS} {TICKS} 0 0 20 0 1 0 5 0 0"
    assert parse_stat(text) == Stat(parent=7, session=42, user=3.0, system=1.0)


def process(parent: int, session: int) -> Stat:
    return Stat(parent, session, 0.0, 0.0)


def test_the_tree_is_the_session_and_all_descendants() -> None:
    stats = {
        1: process(0, 1),
        10: process(1, 10),  # the root
        11: process(10, 10),  # its child
        12: process(1, 10),  # an orphan of its session
        13: process(11, 13),  # a grandchild with a session of its own
        14: process(13, 13),  # and its child
        20: process(1, 20),  # a stranger
    }
    assert tree(stats, 10) == {10, 11, 12, 13, 14}


def test_an_ended_root_leaves_an_empty_tree() -> None:
    assert tree({1: process(0, 1)}, 10) == frozenset()


def test_memory_is_read_in_bytes() -> None:
    text = (
        "55d0-7ffc ---p 00000000 00:00 0 [rollup]\nRss: 40 kB\nPss: 30 kB\nPrivate_Clean: 4 kB\nPrivate_Dirty: 6 kB\n"
    )
    assert parse_rollup(text) == Memory(pss=30 * 1024, uss=10 * 1024, rss=40 * 1024)


def test_the_machines_busy_time_leaves_out_idle_and_waiting() -> None:
    assert machine_cpu(f"cpu  {TICKS} {TICKS} {TICKS} 999 999 {TICKS} {TICKS} {TICKS} 0 0\ncpu0 1 2") == 6.0


def test_the_clock_of_a_process_counts_its_work() -> None:
    before = cpu_clock(os.getpid())
    while time.process_time() - before < 0.05:
        pass
    assert cpu_clock(os.getpid()) - before >= 0.05


TWO_PROCESSES = (
    "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
)


@pytest.mark.parametrize("manners", ["", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "])
def test_nothing_of_a_server_stays(tmp_path: Path, manners: str) -> None:
    command = [sys.executable, "-c", f"{manners}{TWO_PROCESSES}print('up', flush=True); time.sleep(60)"]
    cores = os.sched_getaffinity(0)
    with Server(command, os.environ, tmp_path, tmp_path / "output", cores) as server:
        deadline = time.monotonic() + 20
        while server.output() != "up" and time.monotonic() < deadline:
            time.sleep(0.01)
        cpu = server.cpu()
        assert len(cpu.pids) == 2
        assert cpu.total > 0
        assert server.memory().rss >= server.memory().pss > 0
        server.stop(patience=0.2)
    assert server.ended() is not None
    deadline = time.monotonic() + 20
    while cpu.pids & read_stats().keys() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not cpu.pids & read_stats().keys()
