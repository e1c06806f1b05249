"""How many workers there shall be, where nobody has said a number: pure, as the fleet.

The theory. A worker's Python code runs on one processor at a time, so more of them help when those that are there
compute all the time; when requests wait for a database they do not: threads do. So:

* One more when, at GROW_AFTER looks in a row, every worker has computed for most of the time (BUSY) and requests have
  waited for a thread. Then not before the new one is ready, and has been looked at as often.
* One fewer when, at SHRINK_AFTER looks in a row, all together have computed so little (IDLE for each) that one fewer
  would do. Slowly: a worker that is not needed costs some memory, one that is missing costs its users time.
* Never outside the bounds. Whether the memory suffices the arbiter asks before it grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Bounds", "Load", "Scaling"]

EVERY = 1.0  # seconds between two looks
BUSY = 0.8  # of a processor's time
IDLE = 0.5
GROW_AFTER = 3
SHRINK_AFTER = 30
# Seconds that requests have waited, of each second: below it the queue is as good as empty.
_WAITS = 0.02


class Bounds(NamedTuple):
    """From how many to how many; and the bytes that all may have together, 0: no limit."""

    least: int
    most: int
    memory: int = 0


class Load(NamedTuple):
    """What is known of one worker; all but `queued` only grows."""

    cpu: float  # seconds of processor time
    queued: int  # requests that wait for a thread, now
    waited: float  # seconds that requests have waited for one


class Scaling:
    """Looks at the workers each second, and says when there should be one more or one fewer."""

    def __init__(self, bounds: Bounds, now: float) -> None:
        self.bounds = bounds
        self._next = now + EVERY
        self._last = now
        self._before: Mapping[int, Load] = {}
        self._busy = 0  # looks in a row
        self._idle = 0

    def deadline(self) -> float:
        """When to look the next time."""
        return self._next

    def look(self, now: float, size: int, workers: Mapping[int, Load]) -> tuple[int, str] | None:
        """+1 or -1, and why; None: all is well, or it is not time. `workers`: those that are ready; `size` shall be."""
        if now < self._next:
            return None
        passed, self._last, self._next = now - self._last, now, now + EVERY
        before, self._before = self._before, dict(workers)
        known = [pid for pid in workers if pid in before]
        if len(known) < size or len(workers) != size:  # somebody comes or goes
            self._busy = self._idle = 0
            return None
        if size < self.bounds.least:
            return 1, f"there are fewer than min_workers ({self.bounds.least})"
        shares = [(workers[pid].cpu - before[pid].cpu) / passed for pid in known]
        waited = sum(workers[pid].waited - before[pid].waited for pid in known) / passed
        waits = waited > _WAITS or any(workers[pid].queued for pid in known)
        self._busy = self._busy + 1 if min(shares) >= BUSY and waits else 0
        self._idle = self._idle + 1 if sum(shares) < IDLE * (size - 1) and not waits else 0
        if self._busy >= GROW_AFTER and size < self.bounds.most:
            self._busy = 0
            return 1, f"all workers compute ({_percent(shares)} of a processor each) and requests wait"
        if self._idle >= SHRINK_AFTER and size > self.bounds.least:
            self._idle = 0
            return -1, f"one worker fewer will do: they compute {_percent(shares)} of the time"
        return None


def _percent(shares: list[float]) -> str:
    return f"{100 * sum(shares) / len(shares):.0f} %"
