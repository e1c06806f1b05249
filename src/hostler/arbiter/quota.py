"""How much a process that is not trusted may say to the arbiter; pure: the time is an argument.

A worker or a template says a few words in its life, and answers a question about its stacks now and then. What comes in
a flood stays in the kernel until there is room in the quota again: it is the sender that waits then.
"""

from __future__ import annotations

from collections.abc import Callable

from hostler.logs import facts

__all__ = ["Quota", "Remarks"]

# Messages that a process may say in a row, and how many more it may say each second after that.
_BURST = 32
_PER_SECOND = 8.0
# Seconds between two lines about the same process.
_REMARK_EVERY = 60.0


class Quota:
    """Messages that may still be read from one process. 0 <= tokens <= _BURST."""

    def __init__(self, now: float) -> None:
        self._tokens = float(_BURST)
        self._at = now

    def left(self, now: float) -> int:
        """How many messages may be read now."""
        self._tokens = min(_BURST, self._tokens + (now - self._at) * _PER_SECOND)
        self._at = now
        return int(self._tokens)

    def spend(self, count: int) -> None:
        """So many were read."""
        self._tokens -= count

    def due(self) -> float:
        """When the next message may be read."""
        return self._at + max(0.0, 1.0 - self._tokens) / _PER_SECOND


class Remarks:
    """Warnings about what processes do wrong: the first at once, those that follow soon are counted."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._said: dict[int, tuple[float, int]] = {}  # pid -> when a line was written, how many were not since

    def add(self, pid: int, text: str, now: float) -> None:
        """Write `text`, with the number of those before it that were not written; or count it."""
        at, count = self._said.get(pid, (now - _REMARK_EVERY, 0))
        if now - at < _REMARK_EVERY:
            self._said[pid] = at, count + 1
            return
        self._said[pid] = now, 0
        self._warn(f"{text} {facts(left_out=count)}" if count else text)

    def forget(self, pid: int) -> None:
        """The process has ended: say how many lines about it were left out."""
        _, count = self._said.pop(pid, (0.0, 0))
        if count:
            self._warn(f"process ended; lines about what it said were left out {facts(pid=pid, left_out=count)}")
