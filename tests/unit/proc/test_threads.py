"""What is read of another process's threads."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from hostler.proc import threads as module
from hostler.proc.fork import fork
from hostler.proc.threads import Thread, threads_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


class Child:
    """A process whose main thread wants the GIL while another one sleeps with it."""

    def __init__(self, run: Callable[[], object]) -> None:
        ours, theirs = os.pipe()

        def main() -> int:
            thread = threading.Thread(target=run, daemon=True)
            os.write(theirs, b"x")
            thread.start()
            while True:
                time.sleep(0.001)

        self.pid = fork(lambda: None, main, {})
        os.read(ours, 1)
        os.close(ours)
        os.close(theirs)

    def wait(self, condition: Callable[[list[Thread]], bool]) -> list[Thread]:
        """Look until it is as the test wants it."""
        deadline = time.monotonic() + 10
        while not condition(found := threads_of(self.pid)):
            assert time.monotonic() < deadline, found
            time.sleep(0.005)
        return found

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@pytest.fixture
def child(request: pytest.FixtureRequest) -> Iterator[Child]:
    made = Child(request.param)
    yield made
    made.end()


def sleep_with_lock() -> None:
    ctypes.PyDLL(None).sleep(60)


def compute() -> None:
    while True:
        pass


@pytest.mark.parametrize("child", [sleep_with_lock], indirect=True)
def test_threads_that_sleep(child: Child) -> None:
    main, other = child.wait(
        lambda found: len(found) == 2 and found[0].waits_for_lock and "nanosleep" in found[1].doing
    )
    assert (main.tid, main.state, other.state) == (child.pid, "S", "S")
    assert not other.waits_for_lock
    assert other.doing.startswith("sleeps in ")


@pytest.mark.parametrize("child", [compute], indirect=True)
def test_thread_that_runs(child: Child) -> None:
    [_, other] = child.wait(lambda found: len(found) == 2 and found[1].state == "R")
    assert other.doing == "is running"
    assert not other.waits_for_lock


@pytest.mark.parametrize("child", [sleep_with_lock], indirect=True)
def test_thread_that_wakes_up_to_ask_for_the_lock_is_not_running(child: Child) -> None:
    child.wait(lambda found: len(found) == 2 and found[1].state == "S")
    # On a busy machine it may be on its way to a processor in all the looks of one reading.
    assert sum(threads_of(child.pid)[0].waits_for_lock for _ in range(300)) > 280


@pytest.mark.parametrize("child", [compute], indirect=True)
def test_process_that_is_stopped(child: Child) -> None:
    os.kill(child.pid, signal.SIGSTOP)
    child.wait(lambda found: {thread.state for thread in found} == {"T"})


def test_process_that_is_not_there() -> None:
    pid = fork(lambda: None, lambda: 0, {})
    os.waitpid(pid, 0)
    assert threads_of(pid) == []


@pytest.mark.parametrize(
    ("files", "thread"),
    [
        (
            {"stat": "7 (a) b (c) D 1 2", "wchan": "nfs_wait", "syscall": "0 0x1 0x2 0xab 0xcd"},
            Thread(7, "a) b (c", "D", "read", "nfs_wait", 0xAB),
        ),
        ({"stat": "7 (x) R 1 2", "wchan": "0", "syscall": "running"}, Thread(7, "x", "R", "", "")),
        ({"stat": "7 (x) S 1 2", "wchan": "", "syscall": "-1 0x1 0x2"}, Thread(7, "x", "S", "", "", 1)),
        ({"stat": "7 (x) S 1 2", "syscall": "202 0x1 0x2"}, Thread(7, "x", "S", "futex", "", 1)),
        ({"stat": "7 (x) S 1 2", "syscall": "999 0x1 0x2"}, Thread(7, "x", "S", "system call 999", "", 1)),
        ({}, None),
    ],
)
def test_what_the_kernel_writes(monkeypatch: pytest.MonkeyPatch, files: dict[str, str], thread: Thread | None) -> None:
    monkeypatch.setattr(module, "_text", lambda pid, tid, name: files.get(name, ""))
    monkeypatch.setattr(os, "uname", lambda: type("Uname", (), {"machine": "x86_64"}))
    assert module._read(1, 7) == thread


@pytest.mark.parametrize(
    ("state", "call", "place", "doing", "waits"),
    [
        ("R", "", "", "is running", False),
        ("D", "", "", "waits in the kernel (where is not known)", False),
        ("D", "read", "", "waits in the kernel (read)", False),
        ("D", "read", "nfs_wait", "waits in the kernel (nfs_wait)", False),
        ("S", "futex", "futex_do_wait", "sleeps in futex", True),
        ("S", "", "futex_wait_queue", "sleeps in futex_wait_queue", True),
        ("S", "poll", "futex_wait_queue", "sleeps in poll", False),
        ("S", "", "", "sleeps in a system call", False),
    ],
)
def test_words(state: str, call: str, place: str, doing: str, waits: bool) -> None:
    thread = Thread(1, "x", state, call, place)
    assert (thread.doing, thread.waits_for_lock) == (doing, waits)
