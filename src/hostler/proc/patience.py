"""A limit on how long code of the app may take in the main thread, by the interval timer (setitimer(2))."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Late", "alarm", "limit"]


class Late(BaseException):
    """The time is over. No Exception: code that expects faults of its own must not catch it."""


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Raise Late in this block when it takes longer, at the next Python code or interrupted system call.

    Outside of the main thread there is no limit. The app's own handler and timer are as before afterwards.
    """

    is_over = False

    def ring(number: int, frame: FrameType | None) -> None:
        if not is_over:
            raise Late

    try:
        handler = signal.signal(signal.SIGALRM, ring)
    except ValueError:  # not the main thread
        yield
        return
    before = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        is_over = True
        signal.setitimer(signal.ITIMER_REAL, *before)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if handler is None else handler)


def alarm(seconds: float, then: Callable[[], object]) -> None:
    """Call `then` in the main thread after so long, whatever it is in by then; for a process that ends."""
    signal.signal(signal.SIGALRM, lambda number, frame: then())
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
