"""The stacks of a process that cannot run Python."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from hostler.proc.dump import Dump
from hostler.proc.fork import fork


@pytest.fixture
def start() -> Iterator[Callable[[Callable[[], object]], tuple[int, Dump]]]:
    pids: list[int] = []

    def make(run: Callable[[], object]) -> tuple[int, Dump]:
        dump = Dump()
        ours, theirs = os.pipe()

        def main() -> int:
            dump.register()
            os.write(theirs, b"x")
            run()
            return 0

        pids.append(fork(lambda: None, main, {}))
        os.read(ours, 1)
        os.close(ours)
        os.close(theirs)
        return pids[-1], dump

    yield make
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def keeps_the_lock() -> None:
    libc = ctypes.PyDLL(None)
    while True:
        libc.sleep(60)  # a signal ends it, and the next one begins


def test_stacks_come_though_the_lock_is_kept_and_replace_those_before(
    start: Callable[[Callable[[], object]], tuple[int, Dump]],
) -> None:
    pid, dump = start(keeps_the_lock)
    for _ in range(3):
        text = dump.take(pid, wait=5.0)
        assert text.count("in keeps_the_lock\n") == 1
    dump.close()


def test_process_that_does_not_answer_costs_the_wait(start: Callable[[Callable[[], object]], tuple[int, Dump]]) -> None:
    pid, dump = start(keeps_the_lock)
    os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    assert dump.take(pid, wait=0.1) == ""
    assert 0.1 <= time.monotonic() - started < 1.0
    dump.close()
