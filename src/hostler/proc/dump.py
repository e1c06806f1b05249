"""The Python stacks of another process, also while it cannot run Python: a signal handler in C writes them."""

from __future__ import annotations

import os
import signal
import time

__all__ = ["DUMP_SIGNAL", "Dump"]

# A real-time signal that neither the C library nor an app is likely to use.
DUMP_SIGNAL: int = signal.SIGRTMIN + 7 if hasattr(signal, "SIGRTMIN") else getattr(signal, "SIGINFO")  # noqa: B009
_PAUSE = 0.005
_REST = 0.02


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
        """Ask `pid` for its stacks, and wait until they have come."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        os.kill(pid, DUMP_SIGNAL)
        deadline = time.monotonic() + wait
        size, since = 0, time.monotonic()
        while (now := time.monotonic()) < deadline and (size == 0 or now - since < _REST):
            time.sleep(_PAUSE)
            if (new := os.fstat(self._fd).st_size) != size:
                size, since = new, now
        return os.pread(self._fd, os.fstat(self._fd).st_size, 0).decode("utf-8", "replace")

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
