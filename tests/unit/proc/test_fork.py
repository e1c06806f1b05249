"""Children: what is held back for them, how they end, and that they never run the parent's code."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hostler.proc.fork import finish, fork, is_own_fork, leave, stay_frozen
from hostler.proc.reap import has_ended, reap
from hostler.proc.signals import Handler


def wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run(main: Callable[[], int], prepare: Callable[[], None] = lambda: None) -> int:
    return wait(fork(prepare, main, {}))


def test_exit_code_is_what_main_returns() -> None:
    assert run(lambda: 7) == 7


def test_exception_is_shown_and_ends_the_child(capfd: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        sys.excepthook = sys.__excepthook__  # pytest's own may be there
        raise RuntimeError("a fault")

    assert run(main) == 1
    assert "RuntimeError: a fault" in capfd.readouterr().err


def test_parent_code_does_not_run_in_the_child(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    try:
        pid = fork(lambda: None, lambda: 0, {})
    finally:
        with mark.open("a") as file:
            file.write(f"{os.getpid()}\n")
    wait(pid)
    assert mark.read_text() == f"{os.getpid()}\n"


def test_signal_that_comes_before_the_child_has_handlers_runs_its_handler(tmp_path: Path) -> None:
    """Without it the signal would find the parent's handler, or none, in the child."""
    seen = tmp_path / "seen"

    def prepare() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)  # as if the parent had sent it already

    handlers: dict[int, Handler] = {signal.SIGUSR1: lambda number, frame: seen.write_text("by the child's handler")}
    assert wait(fork(prepare, lambda: 0, handlers)) == 0
    assert seen.read_text() == "by the child's handler"
    assert signal.SIGUSR1 not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_signals_that_are_kept_stay_held_back_in_the_child_alone() -> None:
    def main() -> int:
        os.kill(os.getpid(), signal.SIGUSR1)
        return int(signal.SIGUSR1 in signal.sigpending())

    assert wait(fork(lambda: None, main, {signal.SIGUSR1: signal.SIG_DFL}, [signal.SIGUSR1])) == 1
    assert signal.SIGUSR1 not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_fork_that_fails_leaves_the_mask_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(BlockingIOError):
        fork(lambda: None, lambda: 0, {signal.SIGUSR1: signal.SIG_DFL})
    assert signal.SIGUSR1 not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_finish_waits_for_threads_and_runs_atexit(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def say(word: str) -> None:
        with out.open("a") as file:
            file.write(word)

    def slow() -> None:
        time.sleep(0.1)
        say("thread ")

    def main() -> int:
        atexit._clear()
        atexit.register(say, "atexit")
        threading.Thread(target=slow).start()
        finish(5, 10.0, lambda: None)

    assert run(main) == 5
    assert out.read_text() == "thread atexit"


@pytest.mark.parametrize("kind", ["thread", "atexit"])
def test_finish_that_takes_too_long_is_cut_and_says_so(tmp_path: Path, kind: str) -> None:
    late = tmp_path / "late"

    def main() -> int:
        atexit._clear()
        if kind == "atexit":
            atexit.register(time.sleep, 60)
        else:
            threading.Thread(target=time.sleep, args=(60,)).start()
        finish(5, 0.1, late.touch)

    started = time.monotonic()
    assert run(main) == 5
    assert time.monotonic() - started < 5.0
    assert late.exists()


class Closed:
    def flush(self) -> None:
        raise ValueError("closed")


class Stuck:
    def flush(self) -> None:
        time.sleep(60)


class Exits:
    def flush(self) -> None:
        sys.exit("no stream")


@pytest.mark.parametrize(
    "stream", [None, object(), Closed(), Stuck(), Exits()], ids=lambda stream: type(stream).__name__
)
def test_streams_that_cannot_be_flushed_keep_neither_a_fork_nor_an_end(
    monkeypatch: pytest.MonkeyPatch, stream: object
) -> None:
    """An app may have put anything there."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        assert run(lambda: 7) == 7


def test_forked_children_are_known_until_they_are_reaped() -> None:
    pid = fork(lambda: None, lambda: int(is_own_fork(os.getpid())), {})
    assert is_own_fork(pid)
    assert has_ended(pid, 10.0)
    assert not is_own_fork(pid)
    assert has_ended(pid, 0.0), "also when it was reaped already"


def test_child_that_lives_is_awaited_no_longer_than_asked() -> None:
    def main() -> int:
        time.sleep(60)
        return 0

    pid = fork(lambda: None, main, {})
    assert not has_ended(pid, 0.05)
    os.kill(pid, signal.SIGKILL)
    assert has_ended(pid, 10.0)


def test_leave_waits_for_nothing() -> None:
    def main() -> int:
        threading.Thread(target=time.sleep, args=(60,)).start()
        leave(6)

    assert run(main) == 6


def test_reap_collects_every_child() -> None:
    def killed() -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    children = {0: lambda: 0, 3: lambda: 3, -9: killed}
    expected = {fork(lambda: None, main, {}): code for code, main in children.items()}
    found: dict[int, int] = {}
    deadline = time.monotonic() + 10
    while len(found) < 3 and time.monotonic() < deadline:
        found.update(reap())
    assert found == expected
    assert list(reap()) == []


def test_reap_collects_a_bounded_number_at_a_time() -> None:
    expected = {fork(lambda: None, lambda: 0, {}) for _ in range(5)}
    found: set[int] = set()
    deadline = time.monotonic() + 10
    while len(found) < 5 and time.monotonic() < deadline:
        collected = [pid for pid, _ in reap(2)]
        assert len(collected) <= 2
        found.update(collected)
    assert found == expected


def test_exit_code_is_known_where_sigchld_was_ignored() -> None:
    """The process that started us may have it ignored, and an exec keeps that."""
    old = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert run(lambda: 7) == 7
    finally:
        signal.signal(signal.SIGCHLD, old)


def test_reap_leaves_the_living_alone() -> None:
    reader, writer = os.pipe()
    pid = fork(lambda: os.close(writer), lambda: len(os.read(reader, 1)), {})
    assert list(reap()) == []
    os.close(writer)
    os.close(reader)
    assert wait(pid) == 0


@pytest.mark.parametrize("stays", [False, True])
def test_collector_of_a_child_leaves_the_parents_objects_alone(stays: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes into each object that it looks at, so that its page would no longer be shared."""
    monkeypatch.setattr("hostler.proc.fork._stays_frozen", False)
    if stays:
        stay_frozen()
    try:
        assert wait(fork(lambda: None, lambda: int(gc.get_freeze_count() > 1000), {})) == 1
        assert (gc.get_freeze_count() > 1000) is stays
    finally:
        gc.unfreeze()
