"""The Python stacks of another process, also while it cannot run Python: a signal handler in C writes them.

The other process may write anything into the file, at any time and without end: what is read is bounded.
"""

from __future__ import annotations

import os
import signal
import time

__all__ = ["DUMP_SIGNAL", "Dump"]

# A real-time signal that neither the C library nor an app is likely to use.
DUMP_SIGNAL: int = signal.SIGRTMIN + 7 if hasattr(signal, "SIGRTMIN") else getattr(signal, "SIGINFO")  # noqa: B009
# Seconds between two looks at the file's size, and for how long it must stay the same.
_PAUSE = 0.005
_REST = 0.02
# Max bytes that are read: a hundred threads (faulthandler writes no more) with 60 frames each.
_MOST = 512 * 1024


class Dump:
    """A file without a name that both processes have open."""

    def __init__(self, fd: int | None = None) -> None:
        """A new one; or the one that another process has open as `fd`."""
        self._fd = _nameless() if fd is None else fd

    def fileno(self) -> int:
        """The file's descriptor."""
        return self._fd

    def register(self) -> None:
        """In the process whose stacks are wanted."""
        import faulthandler

        faulthandler.register(DUMP_SIGNAL, file=self._fd, all_threads=True)

    def take(self, pid: int, wait: float = 0.5) -> str:
        """Ask `pid` for its stacks, and wait at most `wait` seconds until they have come; "" when there are none."""
        try:
            os.ftruncate(self._fd, 0)
            os.lseek(self._fd, 0, os.SEEK_SET)
            os.kill(pid, DUMP_SIGNAL)
            size = self._await(wait)
            text = os.pread(self._fd, _MOST, 0).decode("utf-8", "replace")
            os.ftruncate(self._fd, 0)  # its memory goes back
        except OSError:  # it has ended, or has changed the file's flags
            return ""
        return text if size <= _MOST else f"{text}\n(cut: it has written {size} bytes)"

    def _await(self, wait: float) -> int:
        """Wait until the file does not grow any more; returns its size."""
        deadline = time.monotonic() + wait
        size, since = 0, time.monotonic()
        while (now := time.monotonic()) < deadline and (size == 0 or now - since < _REST):
            time.sleep(_PAUSE)
            if (new := os.fstat(self._fd).st_size) != size:
                size, since = new, now
        return size

    def close(self) -> None:
        """Give the file back."""
        os.close(self._fd)


def _nameless() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("hostler-stacks")
    import tempfile

    fd, path = tempfile.mkstemp()
    os.unlink(path)
    return fd
