"""The loop with workers that do as the test says: what they say and suffer reaches the fleet; nothing is left open."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostler.arbiter import processes as module
from hostler.arbiter.arbiter import Arbiter
from hostler.arbiter.fleet import Fleet
from hostler.arbiter.plan import Plan
from hostler.arbiter.timing import Timing
from hostler.logs import DEBUG, Logs
from hostler.proc.channel import Channel
from hostler.proc.dump import Dump
from hostler.proc.fork import fork
from hostler.proc.poll import Poll
from hostler.stats.scoreboard import READY, STOPPED, Scoreboard

Work = Callable[["World", int, Channel, Dump], int]


class World:
    """An arbiter over one worker, in a process of its own."""

    def __init__(self, folder: Path, work: Work, timing: Timing) -> None:
        self.folder = folder
        fleet = Fleet(1, timing)
        self.board = Scoreboard(fleet.slots)
        logs = Logs(str(folder / "log"), level=DEBUG)

        def run(slot: int, channel: Channel, dump: Dump) -> int:
            self.board.begin(slot, os.getpid())
            return work(self, slot, channel, dump)

        def main() -> int:
            before = len(os.listdir("/proc/self/fd"))
            code = Arbiter(fleet, Plan(1, timing, run), self.board, logs).run()
            assert len(os.listdir("/proc/self/fd")) == before
            return code

        self.pid = fork(lambda: None, main, {})
        logs.close()

    def ready(self, slot: int, channel: Channel, dump: Dump) -> None:
        dump.register()
        self.board.set_state(slot, READY)
        self.board.beat(slot)
        channel.send("ready")

    def wait_log(self, words: str) -> str:
        deadline = time.monotonic() + 10
        while words not in (text := (self.folder / "log").read_text()):
            assert time.monotonic() < deadline, text
            time.sleep(0.005)
        return text

    def stop(self) -> int:
        pid, self.pid = self.pid, 0
        os.kill(pid, signal.SIGTERM)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def end(self) -> None:
        """Leave nobody behind when a test fails: these workers do not watch their channel."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            for slot in range(self.board.slots):
                if self.board.read(slot).state == READY:
                    os.kill(self.board.read(slot).pid, signal.SIGKILL)


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Callable[[Work, Timing], World]]:
    worlds: list[World] = []

    def make(work: Work, timing: Timing) -> World:
        worlds.append(World(tmp_path, work, timing))
        return worlds[-1]

    yield make
    for world in worlds:
        world.end()


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")


def wait_for_the_end() -> int:
    while True:
        signal.pause()


def retires_once(world: World, slot: int, channel: Channel, dump: Dump) -> int:
    world.ready(slot, channel, dump)
    if slot == 0:
        channel.send("retire\nGET /slow runs for 2s\nsecond line")
        channel.send("retire\nagain")
    return wait_for_the_end()


def test_worker_that_retires_is_replaced_first(build: Callable[[Work, Timing], World], tmp_path: Path) -> None:
    world = build(retires_once, Timing())
    deadline = time.monotonic() + 10
    while world.board.read(0).state != STOPPED:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert world.board.read(1).state == READY
    assert world.stop() == 0
    log = (tmp_path / "log").read_text()
    assert log.count("worker replaced ") == 1
    assert 'reason="GET /slow runs for 2s\\\\nsecond line"\n' in log
    words = [log.index(word) for word in ("worker replaced", "worker ready worker=1", "stopping")]
    assert words == sorted(words)
    assert "please report" not in log


def falls_silent(world: World, slot: int, channel: Channel, dump: Dump) -> int:
    world.ready(slot, channel, dump)
    while slot == 1:
        world.board.beat(slot)
        time.sleep(0.02)
    return wait_for_the_end()


def test_worker_without_a_beat_is_diagnosed_and_killed(build: Callable[[Work, Timing], World]) -> None:
    world = build(falls_silent, Timing(silence=0.4))
    log = world.wait_log("worker killed; it is silent still")
    assert "worker=0 pid=" in log
    assert "worker unresponsive" in log
    assert "in wait_for_the_end" in log  # its stack
    assert world.stop() == 0


def test_stacks_of_many_workers_share_the_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The arbiter has other workers to look after."""
    waits: list[float] = []

    class Slow:
        def take(self, pid: int, wait: float) -> str:
            waits.append(wait)
            time.sleep(wait / 2)
            return ""

    logs = Logs(str(tmp_path / "log"))
    board = Scoreboard(8)
    processes = module.Processes(board, logs, Poll())
    monkeypatch.setattr(module, "threads_of", lambda pid: [])
    processes.begin_turn()
    for pid in range(6):
        processes._dumps[pid] = Slow()  # type: ignore[assignment]
        processes.diagnose(pid, pid, 30.0)
    assert waits[0] == module._STACKS_WITHIN
    assert waits == sorted(waits, reverse=True)
    assert min(waits) == module._STACKS_MINIMUM
    logs.close()
