"""Children that have ended, also those that nobody waits for: as PID 1 we inherit every orphan."""

from __future__ import annotations

import os
from collections.abc import Iterator

__all__ = ["adopt_orphans", "reap"]

_PR_SET_CHILD_SUBREAPER = 36


def reap() -> Iterator[tuple[int, int]]:
    """Collect every child that has ended: (pid, exit code), a negative code is minus the signal."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:  # none is left
            return
        if pid == 0:  # the rest is alive
            return
        yield pid, os.waitstatus_to_exitcode(status)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends (prctl(2)). Raises OSError where that is not possible."""
    import ctypes  # half a megabyte, for those alone who need it

    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "prctl") or libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
