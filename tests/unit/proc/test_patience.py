"""A limit on code that may take for ever."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress

import pytest

from hostler.proc.patience import Late, limit


def test_block_that_takes_longer_is_left() -> None:
    started = time.monotonic()
    with pytest.raises(Late), limit(0.05):
        time.sleep(60)
    assert time.monotonic() - started < 10.0


def test_late_is_no_exception_that_code_of_the_app_would_catch() -> None:
    def code_of_the_app() -> None:
        with suppress(Exception):
            time.sleep(60)

    with pytest.raises(Late), limit(0.05):
        code_of_the_app()


def test_handler_and_timer_are_as_before_afterwards() -> None:
    rings: list[int] = []
    old = signal.signal(signal.SIGALRM, lambda number, frame: rings.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    with limit(60):
        pass
    assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 0.1
    deadline = time.monotonic() + 10
    while not rings:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    signal.signal(signal.SIGALRM, old)


def test_other_threads_have_no_limit() -> None:
    done: list[bool] = []

    def run() -> None:
        with limit(0.01):
            time.sleep(0.05)
        done.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert done == [True]
