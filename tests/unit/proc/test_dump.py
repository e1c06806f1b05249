"""The stacks of a process that cannot run Python."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from hostler.proc.dump import Dump
from hostler.proc.fork import fork
from hostler.proc.threads import threads_of


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


def wait_asleep(pid: int) -> None:
    """Wait until it sleeps in its call."""
    deadline = time.monotonic() + 10
    while threads_of(pid)[0].call != "clock_nanosleep":
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_stacks_come_though_the_lock_is_kept_and_replace_those_before(
    start: Callable[[Callable[[], object]], tuple[int, Dump]],
) -> None:
    pid, dump = start(keeps_the_lock)
    wait_asleep(pid)
    for _ in range(3):
        text = dump.take(pid, wait=5.0)
        assert text.count("in keeps_the_lock\n") == 1
    dump.close()


def test_file_that_the_other_process_has_made_huge_is_read_in_part(
    start: Callable[[Callable[[], object]], tuple[int, Dump]],
) -> None:
    pid, dump = start(keeps_the_lock)
    wait_asleep(pid)
    writer = os.open(f"/proc/self/fd/{dump.fileno()}", os.O_WRONLY)  # grown while the stacks are taken
    grow = threading.Timer(0.01, os.ftruncate, (writer, 1 << 45))
    grow.start()
    text = dump.take(pid, wait=1.0)
    grow.join()
    assert len(text) <= 512 * 1024 + 100
    assert os.fstat(dump.fileno()).st_size == 0
    assert "(cut: it has written 35184372088832 bytes)" in text
    os.close(writer)
    dump.close()


def test_process_that_has_ended_has_no_stacks(start: Callable[[Callable[[], object]], tuple[int, Dump]]) -> None:
    dump = Dump()
    assert dump.take(2**22 + 1) == ""
    dump.close()


def test_process_that_does_not_answer_costs_the_wait(start: Callable[[Callable[[], object]], tuple[int, Dump]]) -> None:
    pid, dump = start(keeps_the_lock)
    os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    assert dump.take(pid, wait=0.1) == ""
    assert 0.1 <= time.monotonic() - started < 1.0
    dump.close()
