"""Children that have ended, also those that nobody waits for: as PID 1 we inherit every orphan."""

from __future__ import annotations

import os
from collections.abc import Iterator

__all__ = ["reap"]


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
