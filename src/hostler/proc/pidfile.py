"""The pid file: written only on demand, replaced when its process is gone, removed only if it is still ours."""

from __future__ import annotations

import os

from hostler.errors import HostlerError
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
        draft = f"{self.path}.{self._pid}"
        try:
            with open(draft, "w", encoding="ascii") as file:
                file.write(f"{self._pid}\n")
            os.replace(draft, self.path)  # whole, or not at all
        except OSError as error:
            _unlink(draft)
            raise HostlerError(f"pidfile {self.path}: {error.strerror}") from None

    def remove(self) -> None:
        """Remove the file if it still names us."""
        if self._read() == self._pid:
            _unlink(self.path)

    def _owner(self) -> Owner | None:
        """Whoever wrote the file, if alive. A pid may have been given to another process since then."""
        pid = self._read()
        if pid is None or pid == self._pid or not _is_alive(pid):
            return None
        started = started_at(pid)
        try:
            if started is not None and started > os.stat(self.path).st_mtime + _TICK:
                return None  # younger than the file: not the process that wrote it
        except OSError:
            return None
        return Owner.of(pid)

    def _read(self) -> int | None:
        try:
            with open(self.path, encoding="ascii", errors="replace") as file:
                text = file.read(32).strip()
        except OSError:
            return None
        return int(text) if text.isdigit() and int(text) > 0 else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:  # another user's
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
