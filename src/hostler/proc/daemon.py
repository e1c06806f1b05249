"""Running in the background: the process that was started stays until the server serves, or has failed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from hostler.proc import signals
from hostler.proc.fork import leave

__all__ = ["detach", "let_go"]

_STANDARD = (0, 1, 2)
_SERVES = b"+"


def detach() -> Callable[[], None]:
    """Go on in a child that has a session of its own; returns what to call when the server serves.

    The parent waits for that, and ends with 0; or with the child's exit code, when that ends before. Until then the
    child has its terminal, for the words that say why.
    """
    reader, writer = os.pipe()
    signals.await_children()
    mask = signals.block([signal.SIGINT])
    pid = os.fork()
    if pid:
        os.close(writer)
        _await(pid, reader, mask)
    os.close(reader)
    os.setsid()
    # Ctrl-C from before that was for the command alone, as it is from now on: what is ignored is not held back.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGINT, handler)
    signals.unblock(mask)

    def serves() -> None:
        let_go()
        try:
            os.write(writer, _SERVES)
        except OSError:  # the process that started us has not waited
            pass
        os.close(writer)

    return serves


def let_go() -> None:
    """Give the terminal back: nobody reads there what this process writes from now on."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in _STANDARD:
        os.dup2(null, fd)
    os.close(null)


def _await(pid: int, reader: int, mask: set[int]) -> None:
    try:
        signals.unblock(mask)  # a Ctrl-C that was held back comes here
        is_serving = os.read(reader, 1) == _SERVES
    except KeyboardInterrupt:  # the child is in a session of its own: it goes on
        is_serving = True
    leave(0 if is_serving else os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF)
