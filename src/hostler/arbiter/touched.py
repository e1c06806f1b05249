"""Files whose change asks for a reload: `touch FILE` is all that a deployment script needs to do."""

from __future__ import annotations

import os
from collections.abc import Sequence

__all__ = ["Touched"]

# Between two looks, in seconds. Only where files were named: the arbiter wakes up for nothing else.
_EVERY = 1.0

_Seen = tuple[int, int] | None  # (mtime in ns, inode); None: there is no such file


class Touched:
    """Remembers how the files were."""

    def __init__(self, paths: Sequence[str], now: float) -> None:
        # Absolute by name, so that a link in the path may lead elsewhere later: that is a change too.
        self._seen = {os.path.join(os.getcwd(), path): _look(path) for path in paths}
        self._next = now + _EVERY

    def deadline(self) -> float | None:
        """When to look the next time; None: never."""
        return self._next if self._seen else None

    def take(self, now: float) -> str | None:
        """The path of a file that was touched, made or replaced since the last look, if it is time to look."""
        if not self._seen or now < self._next:
            return None
        self._next = now + _EVERY
        found = {path: _look(path) for path in self._seen}
        changed = [path for path, seen in found.items() if seen is not None and seen != self._seen[path]]
        self._seen = found
        return changed[0] if changed else None


def _look(path: str) -> _Seen:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
