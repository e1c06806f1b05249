"""Signals become entries of a queue, and nothing else.

They are raised in the main thread: a signal to the process may reach another thread, which a runner of tests may have.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator

import pytest

from hostler.proc.dump import DUMP_SIGNAL
from hostler.proc.signals import (
    EARLY,
    HANDLED,
    LEAVE,
    ORPHANED,
    STACKS,
    SignalQueue,
    block,
    in_a_child,
    name_of,
    remember_early,
    restore,
    unblock,
)


@pytest.fixture
def queue() -> Iterator[SignalQueue]:
    made = SignalQueue((signal.SIGUSR1, signal.SIGUSR2))
    yield made
    made.close()


def test_signals_come_out_in_their_order(queue: SignalQueue) -> None:
    for number in (signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR2):
        signal.raise_signal(number)
    assert queue.take() == [signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR2]
    assert queue.take() == []


def test_a_signal_ends_a_poll(queue: SignalQueue) -> None:
    poll = select.poll()
    poll.register(queue, select.POLLIN)
    assert poll.poll(0) == []
    signal.raise_signal(signal.SIGUSR1)
    assert [fd for fd, _ in poll.poll(5000)] == [queue.fileno()]


def test_signals_of_others_are_left_out(queue: SignalQueue) -> None:
    """A script that calls serve() may have handlers; they write to the same pipe."""
    old = signal.signal(signal.SIGWINCH, lambda number, frame: None)
    signal.raise_signal(signal.SIGWINCH)
    signal.signal(signal.SIGWINCH, old)
    assert queue.take() == []


def test_signals_of_others_are_passed_on_by_take() -> None:
    heard: list[int] = []
    queue = SignalQueue([signal.SIGUSR1], heard.append)
    old = signal.signal(signal.SIGWINCH, lambda number, frame: None)
    for number in (signal.SIGWINCH, signal.SIGUSR1):
        signal.raise_signal(number)
    assert queue.take() == [signal.SIGUSR1]
    assert heard == [signal.SIGWINCH]
    signal.signal(signal.SIGWINCH, old)
    queue.close()


@pytest.mark.parametrize("reset", [False, True])
def test_signal_is_heard_while_another_has_the_wake_up_descriptor(queue: SignalQueue, reset: bool) -> None:
    """As event loops do in the main thread; asyncio leaves none at all when its last handler is removed."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(-1 if reset else writer)
    signal.raise_signal(signal.SIGUSR1)
    assert queue.take() == [signal.SIGUSR1]
    queue.claim()
    signal.raise_signal(signal.SIGUSR2)
    assert queue.take() == [signal.SIGUSR2]
    os.close(writer)
    assert os.read(reader, 99) == (b"" if reset else bytes([signal.SIGUSR1]))
    os.close(reader)


def test_a_flood_of_signals_does_not_block(queue: SignalQueue) -> None:
    for _ in range(100_000):
        signal.raise_signal(signal.SIGUSR1)
    assert signal.SIGUSR1 in queue.take()


def test_close_gives_the_handlers_back() -> None:
    def mine(number: int, frame: object) -> None:
        pass

    old = signal.signal(signal.SIGUSR1, mine)
    queue = SignalQueue([signal.SIGUSR1])
    assert signal.getsignal(signal.SIGUSR1) is not mine
    queue.close()
    assert signal.getsignal(signal.SIGUSR1) is mine
    assert signal.set_wakeup_fd(-1) == -1
    signal.signal(signal.SIGUSR1, old)


def test_blocked_signals_come_later(queue: SignalQueue) -> None:
    mask = block([signal.SIGUSR1])
    signal.raise_signal(signal.SIGUSR1)
    assert queue.take() == []
    unblock(mask)
    assert queue.take() == [signal.SIGUSR1]


def test_early_signals_are_the_first_in_the_queue_each_once() -> None:
    before = remember_early()
    for number in (signal.SIGUSR2, signal.SIGHUP, signal.SIGUSR2):
        signal.raise_signal(number)
    queue = SignalQueue(HANDLED)
    try:
        poll = select.poll()
        poll.register(queue, select.POLLIN)
        assert poll.poll(0)
        assert queue.take() == [signal.SIGUSR2, signal.SIGHUP]
    finally:
        queue.close()
        restore(before)
    assert signal.getsignal(signal.SIGHUP) is before[signal.SIGHUP]


def test_signals_that_ask_for_the_end_are_passed_over_after_the_last_queue() -> None:
    before = remember_early()
    queue = SignalQueue(HANDLED)
    queue.close(is_last=True)
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.raise_signal(number)
    finally:
        restore(before)
    assert {number: signal.getsignal(number) for number in HANDLED} == before


def test_early_signals_that_an_exec_has_passed_on_held_back_are_delivered() -> None:
    block(EARLY)
    signal.raise_signal(signal.SIGUSR1)
    before = remember_early()
    queue = SignalQueue(HANDLED)
    assert queue.take() == [signal.SIGUSR1]
    queue.close()
    restore(before)


def test_new_child_ends_by_what_means_its_end_and_by_nothing_else() -> None:
    reopened: list[int] = []
    handlers = in_a_child(lambda: reopened.append(1))
    assert handlers.keys() == HANDLED
    defaults = {number for number, handler in handlers.items() if handler is signal.SIG_DFL}
    assert defaults == {signal.SIGTERM, signal.SIGQUIT, signal.SIGWINCH, signal.SIGCHLD}
    assert signal.SIG_IGN not in handlers.values()
    reopen = handlers[signal.SIGUSR1]
    assert callable(reopen)
    reopen(signal.SIGUSR1, None)
    assert reopened == [1]


def test_names() -> None:
    assert name_of(15) == "SIGTERM"
    assert name_of(signal.SIGRTMIN + 5) == f"signal {signal.SIGRTMIN + 5}"


def test_signals_of_our_own_are_all_different() -> None:
    ours = [STACKS, LEAVE, ORPHANED, DUMP_SIGNAL]
    assert len({*ours, *HANDLED}) == len(ours) + len(HANDLED)
