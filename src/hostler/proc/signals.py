"""Signals as a queue: the handler only enqueues, and the loop that polls `fileno()` takes them out and decides.

The queue is the interpreter's wake-up descriptor: the C handler writes the signal's number to a pipe, so a
signal ends a poll() at once and two of them keep their order.

A process has no moment without handlers. From the command's first line until the arbiter's queue stands, `EARLY`
signals are remembered for it; after its end, while the command removes its files, `ENDING` ones are passed over. A
child holds back all of `HANDLED` from the fork until it has those of `in_a_child`.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from types import FrameType
from typing import Any

__all__ = [
    "EARLY", "ENDING", "HANDLED", "LEAVE", "ORPHANED", "STACKS", "Handler", "SignalQueue", "await_children", "block",
    "in_a_child", "name_of", "pass_over", "remember_early", "restore", "unblock",
]  # fmt: skip

# Asks a worker for its stacks; a real-time signal that neither the C library nor an app is likely to use.
STACKS: int = signal.SIGRTMIN + 6 if hasattr(signal, "SIGRTMIN") else signal.SIGXFSZ

# Tells a worker that there are too many: it leaves when its requests, streams and WebSockets have ended by themselves.
# Its default action ends a process that has no queue yet.
LEAVE: int = signal.SIGRTMIN + 9 if hasattr(signal, "SIGRTMIN") else signal.SIGXCPU

# What the kernel sends when the line to the arbiter closes (`Channel.die_with_peer`). Its default action is the end.
ORPHANED: int = signal.SIGRTMIN + 8 if hasattr(signal, "SIGRTMIN") else signal.SIGIO

# Signals that ask a server for something. Their default action ends or stops a process that has no handler yet.
EARLY: frozenset[int] = frozenset((signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU))
# Signals that ask a server for its end.
ENDING: frozenset[int] = frozenset((signal.SIGTERM, signal.SIGINT, signal.SIGQUIT))
# All that an arbiter has handlers for.
HANDLED: frozenset[int] = EARLY | ENDING | frozenset((signal.SIGWINCH, signal.SIGCHLD))

Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None

_early: list[int] = []  # signals that have come before there was a queue, each once


class SignalQueue:
    """Takes over `numbers` from their handlers until `close()`. Only the main thread may make one.

    Those of them that were remembered before are the first in the queue, and those that were held back follow.
    `others`: called by `take` with each signal that came and is none of these. `restarts`: system calls of the main
    thread go on after a signal, as code of an app expects that knows no EINTR.
    """

    def __init__(
        self, numbers: Iterable[int], others: Callable[[int], object] | None = None, restarts: bool = False
    ) -> None:
        self.numbers = frozenset(numbers)
        self._others = others
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        # Full means that the reader has a lot to do already: no need for a warning on stderr.
        self._old_fd = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._old_handlers: dict[int, Handler] = {number: signal.signal(number, self.hear) for number in self.numbers}
        for number in self.numbers if restarts else ():
            signal.siginterrupt(number, False)
        os.write(self._writer, bytes(_early))
        _early.clear()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self.numbers)

    def fileno(self) -> int:
        """Readable while there are signals to take."""
        return self._reader

    @property
    def descriptors(self) -> list[int]:
        """Of the pipe. The kernel's copies in a forked child are the same pipe: what it writes there is taken here."""
        return [self._reader, self._writer]

    def take(self) -> list[int]:
        """The signals since the last call, in order."""
        taken = bytearray()
        while chunk := _read(self._reader):
            taken += chunk
        if self._others is not None:
            for number in taken:
                if number not in self.numbers:
                    self._others(number)
        return [number for number in taken if number in self.numbers]

    def hear(self, number: int, frame: FrameType | None) -> None:
        """The handler of each of them. The number is in the pipe by then, unless an event loop has the descriptor.

        uvloop takes it as long as a loop of it runs in the main thread, and asyncio for `add_signal_handler`.
        """
        with contextlib.suppress(OSError, ValueError):  # full; or a forked child, which has /dev/null in its place
            fd = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
            if fd not in (self._writer, -1):
                signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
            if fd != self._writer:
                os.write(self._writer, bytes([number]))

    def claim(self) -> None:
        """Have the wake-up descriptor again, where an event loop has taken it. In the main thread."""
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def close(self, *, is_last: bool = False) -> None:
        """Give the signals back to the handlers before.

        `is_last`: the process ends. Those that ask for that are passed over from now on, so that a second TERM does not
        keep it from removing its files; what `remember_early` returned has their handlers.
        """
        late = ENDING & self.numbers if is_last else frozenset()
        restore(self._old_handlers | dict.fromkeys(late, pass_over))
        signal.set_wakeup_fd(self._old_fd)
        self._close_pipe()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's queue; the handlers are the child's to set."""
        signal.set_wakeup_fd(-1)
        self._close_pipe()

    def _close_pipe(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


def remember_early() -> dict[int, Handler]:
    """Keep `EARLY` signals for the queue that will be there, instead of ending by them.

    Returns the handlers of `HANDLED` before.

    A handler and not the mask: programs that a configuration file starts meanwhile would inherit a mask. But a server
    passes one on to its successor by exec, which has no handlers: it ends here.
    """
    before: dict[int, Handler] = {number: signal.getsignal(number) for number in HANDLED}
    for number in EARLY:
        signal.signal(number, _remember)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, EARLY)
    return before


def restore(handlers: Mapping[int, Handler]) -> None:
    """Set handlers again, as `signal.signal` returned them (None: not set by Python)."""
    for number, handler in handlers.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


def await_children() -> None:
    """Have the kernel keep children's exit codes. It does not where SIGCHLD is ignored, which an exec passes on."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def in_a_child(reopen: Callable[[], None]) -> dict[int, Handler]:
    """What a new child of the arbiter does with the signals in `HANDLED`, until it knows better.

    Terminals and process managers signal whole groups, but only the arbiter decides: the child ignores what does not
    mean its end. That is a function and not SIG_IGN, which programs that the child starts would inherit. USR1 calls
    `reopen`, for the log files.
    """
    handlers: dict[int, Handler] = dict.fromkeys(EARLY | {signal.SIGINT}, pass_over)
    handlers |= dict.fromkeys(HANDLED - handlers.keys(), signal.SIG_DFL)
    handlers[signal.SIGUSR1] = lambda number, frame: reopen()
    return handlers


def pass_over(number: int, frame: FrameType | None) -> None:
    """A handler that does nothing."""


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


def _remember(number: int, frame: FrameType | None) -> None:
    if number not in _early:
        _early.append(number)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 256)
    except BlockingIOError:
        return b""
