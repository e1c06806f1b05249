"""Signals as a queue: the handler only enqueues, whoever polls `fileno()` takes them out and decides.

The queue is the interpreter's wake-up descriptor: the C handler writes the signal's number to a pipe, so a
signal ends a poll() at once and two of them keep their order.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

__all__ = ["STACKS", "SignalQueue", "block", "name_of", "unblock"]

# Asks a worker for its stacks; a real-time signal that neither the C library nor an app is likely to use.
STACKS: int = signal.SIGRTMIN + 6 if hasattr(signal, "SIGRTMIN") else signal.SIGXFSZ

_Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None


class SignalQueue:
    """Takes over `numbers` from their handlers until `close()`. Only the main thread may make one."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self.numbers = frozenset(numbers)
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        # Full means that the reader has a lot to do already: no need for a warning on stderr.
        self._old_fd = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._old_handlers: dict[int, _Handler] = {number: signal.signal(number, _enqueue) for number in self.numbers}

    def fileno(self) -> int:
        """Readable while there are signals to take."""
        return self._reader

    def take(self) -> list[int]:
        """The signals since the last call, in order."""
        taken = bytearray()
        while chunk := _read(self._reader):
            taken += chunk
        return [number for number in taken if number in self.numbers]

    def close(self) -> None:
        """Give the signals back to those who had them."""
        for number, handler in self._old_handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._old_fd)
        self._close_pipe()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's queue; the handlers are the child's to set."""
        signal.set_wakeup_fd(-1)
        self._close_pipe()

    def _close_pipe(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


def block(numbers: Iterable[int]) -> set[int]:
    """Hold signals back; returns what `unblock` takes."""
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, numbers))


def unblock(mask: set[int]) -> None:
    """Deliver what was held back since `block` returned `mask`."""
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def name_of(number: int) -> str:
    """ "SIGTERM" for 15."""
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _enqueue(number: int, frame: FrameType | None) -> None:
    """A Python function must be there, or the interpreter installs no handler that writes to the pipe."""


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 256)
    except BlockingIOError:
        return b""
