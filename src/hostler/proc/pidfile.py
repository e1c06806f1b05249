"""The pid file: written only on demand, replaced when its process is gone, removed only if it is still ours."""

from __future__ import annotations

import os

from hostler.errors import HostlerError
from hostler.proc import trusted
from hostler.proc.owners import Owner, started_at

__all__ = ["Pidfile"]

# The clock of files ticks a few milliseconds behind the one of processes, whose own unit is 10 ms.
_TICK = 0.1


class Pidfile:
    """A file with the pid of the process that made this object."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)  # so that a later chdir changes nothing
        self._pid = os.getpid()

    def write(self, heir_of: int = 0) -> None:
        """Claim the file; HostlerError when a living process has it (but `heir_of`), or it cannot be written."""
        owner = self._owner()
        if owner is not None and owner.pid != heir_of:
            raise HostlerError(f"pidfile {self.path}: it belongs to {owner}, which is running")
        try:
            trusted.replace(self.path, f"{self._pid}\n")
        except OSError as error:
            raise HostlerError(f"pidfile {self.path}: {error.strerror}") from None

    def remove(self) -> None:
        """Remove the file if it still names us."""
        pid, found = self._read()
        if pid == self._pid and found is not None:
            trusted.remove(self.path, (found.st_dev, found.st_ino))

    def _owner(self) -> Owner | None:
        """The process that wrote the file, if alive. A pid may have been given to another process since then."""
        pid, found = self._read()
        if pid is None or found is None or pid == self._pid or not _is_alive(pid):
            return None
        started = started_at(pid)
        if started is not None and started > found.st_mtime + _TICK:
            return None  # younger than the file: not the process that wrote it
        return Owner.of(pid)

    def _read(self) -> tuple[int | None, os.stat_result | None]:
        """The pid in the file, where there is one; a file that other users may have put there tells nothing."""
        try:
            text, found = trusted.read(self.path, 32)
        except OSError:
            return None, None
        text = text.strip()
        return (int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None), found


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:  # another user's
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True
