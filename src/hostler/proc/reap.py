"""Children that have ended, also those that nobody waits for: as PID 1 we inherit every orphan."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from hostler.proc.fork import reaped

__all__ = ["REAPED_AT_ONCE", "adopt_orphans", "has_ended", "reap"]

# Max children that are collected in one turn: as a subreaper we inherit all that an app leaves behind, at any rate.
REAPED_AT_ONCE = 200
# Seconds between two looks at a child that is awaited.
_PAUSE = 0.005
_PR_SET_CHILD_SUBREAPER = 36


def reap(most: int = REAPED_AT_ONCE) -> Iterator[tuple[int, int]]:
    """Collect at most so many children that have ended: (pid, exit code), a negative code is minus the signal.

    Its pid may mean another process as soon as it is yielded.
    """
    for _ in range(most):
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:  # none is left
            return
        if pid == 0:  # the rest is alive
            return
        reaped(pid)
        yield pid, os.waitstatus_to_exitcode(status)


def has_ended(pid: int, seconds: float) -> bool:
    """Wait until a child has ended, at most so long; whether it has. It is reaped then."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                reaped(pid)
                return True
        except ChildProcessError:  # SIGCHLD is ignored: the kernel has reaped it
            reaped(pid)
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_PAUSE)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends (prctl(2)). Raises OSError where that is not possible."""
    import ctypes  # half a megabyte, for those alone who need it

    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "prctl") or libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
