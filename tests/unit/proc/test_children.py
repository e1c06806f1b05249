"""Processes that others have started: found below their ancestor, and ended without meaning any other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable

import pytest

from hostler.proc import children as module
from hostler.proc.children import Tree, end_descendants, end_multiprocessing, forget_multiprocessing
from hostler.proc.fork import fork
from hostler.proc.reap import has_ended

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc")


def sleep() -> int:
    time.sleep(60)
    return 0


def family(main: Callable[[], int]) -> tuple[int, int]:
    """A child that has a child of its own, which runs `main`: their pids."""
    reader, writer = os.pipe()

    def parent() -> int:
        os.write(writer, str(fork(lambda: None, main, {})).encode())
        return sleep()

    pid = fork(lambda: None, parent, {})
    inner = int(os.read(reader, 32))
    os.close(reader)
    os.close(writer)
    return pid, inner


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_descendants_are_signalled_and_the_root_is_not() -> None:
    pid, inner = family(sleep)
    tree = Tree(pid)
    tree.signal(signal.SIGKILL)
    tree.wait(10.0)
    tree.close()
    assert not is_alive(inner)
    assert is_alive(pid)
    os.kill(pid, signal.SIGKILL)
    assert has_ended(pid, 10.0)


def test_process_that_has_another_parent_by_now_is_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number was given to another process after the descendants were listed."""
    pid, inner = family(sleep)
    parents = module._parents
    monkeypatch.setattr(module, "_parents", lambda pids=None: parents() if pids is None else [(pids[0], 1)])
    tree = Tree(pid)
    tree.signal(signal.SIGKILL)
    tree.close()
    monkeypatch.undo()
    assert is_alive(inner)
    for each in (pid, inner):
        os.kill(each, signal.SIGKILL)
    assert has_ended(pid, 10.0)


def test_signal_after_the_end_of_a_process_reaches_nothing_else() -> None:
    pid, inner = family(sleep)
    tree = Tree(pid)
    os.kill(inner, signal.SIGKILL)
    tree.wait(10.0)
    tree.signal(signal.SIGKILL)  # the number may mean another process by now; the descriptor does not
    tree.close()
    os.kill(pid, signal.SIGKILL)
    assert has_ended(pid, 10.0)


def test_descendants_that_ignore_term_are_killed() -> None:
    def stubborn() -> int:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return sleep()

    def main() -> int:
        family(stubborn)
        end_descendants()
        left = Tree(os.getpid())
        left.wait(5.0)
        return len([pid for pid in left._fds if is_alive(pid)])

    assert os.waitstatus_to_exitcode(os.waitpid(fork(lambda: None, main, {}), 0)[1]) == 0


def test_daemonic_process_ends_and_another_does_not() -> None:
    reader, writer = os.pipe()

    def main() -> int:
        context = multiprocessing.get_context("fork")
        daemon = context.Process(target=time.sleep, args=(60,), daemon=True)
        other = context.Process(target=time.sleep, args=(60,))
        daemon.start()
        other.start()
        started = time.monotonic()
        end_multiprocessing(0.2)
        assert time.monotonic() - started < 5.0
        daemon.join(5.0)
        os.write(writer, f"{daemon.is_alive()} {other.is_alive()}".encode())
        other.kill()
        other.join()
        return 0

    pid = fork(lambda: None, main, {})
    assert os.read(reader, 32) == b"False True"
    assert has_ended(pid, 10.0)
    os.close(reader)
    os.close(writer)


def test_child_forgets_the_processes_of_its_parent() -> None:
    context = multiprocessing.get_context("fork")
    daemon = context.Process(target=time.sleep, args=(60,), daemon=True)
    daemon.start()

    def main() -> int:
        forget_multiprocessing()
        end_multiprocessing(0.2)
        return 0

    pid = fork(lambda: None, main, {})
    assert has_ended(pid, 10.0)
    assert daemon.is_alive()
    daemon.kill()
    daemon.join()
