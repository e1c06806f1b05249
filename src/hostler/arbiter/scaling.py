"""How many workers there shall be, where no number is set: pure, as the fleet.

The theory. A worker's Python code runs on one processor at a time, so more of them help when those that are there
compute all the time; when requests wait for a database they do not: threads do. So:

* One more when, at GROW_AFTER looks in a row, every worker has computed for most of the time (BUSY) and requests have
  waited for a thread. Then not before the new one is ready, and has been looked at as often.
* One fewer when, at SHRINK_AFTER looks in a row, all together have computed so little (IDLE for each) that one fewer
  would do. Slowly: a worker that is not needed costs some memory, one that is missing costs its users time.
* Where the number is settled, the same for ADVISE_AFTER looks is one line of advice.
* Never outside the bounds. Whether the memory suffices the arbiter asks before it grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from hostler.logs import facts

__all__ = ["Advice", "Bounds", "Load", "Scaling"]

EVERY = 1.0  # seconds between two looks
BUSY = 0.8  # of a processor's time
IDLE = 0.5
GROW_AFTER = 3
SHRINK_AFTER = 30
ADVISE_AFTER = 10
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


class _Usage:
    """What the workers have done between two looks, a second apart."""

    def __init__(self, now: float) -> None:
        self.next = now + EVERY
        self._last = now
        self._before: Mapping[int, Load] = {}

    def look(self, now: float, size: int, workers: Mapping[int, Load]) -> tuple[list[float], bool] | None:
        """Each one's share of a processor, and whether requests wait; None: workers come or go."""
        passed, self._last, self.next = now - self._last, now, now + EVERY
        before, self._before = self._before, dict(workers)
        known = [pid for pid in workers if pid in before]
        if len(known) < size or len(workers) != size:
            return None
        shares = [(workers[pid].cpu - before[pid].cpu) / passed for pid in known]
        waited = sum(workers[pid].waited - before[pid].waited for pid in known) / passed
        return shares, waited > _WAITS or any(workers[pid].queued for pid in known)


class Scaling:
    """Looks at the workers each second, and says when there should be one more or one fewer."""

    def __init__(self, bounds: Bounds, now: float) -> None:
        self.bounds = bounds
        self._usage = _Usage(now)
        self._busy = 0  # looks in a row
        self._idle = 0

    def deadline(self) -> float:
        """When to look the next time."""
        return self._usage.next

    def look(self, now: float, size: int, workers: Mapping[int, Load]) -> tuple[int, str] | None:
        """+1 or -1, and why; None: all is well, or it is not time. `workers`: those that are ready; `size` shall be."""
        if now < self._usage.next:
            return None
        usage = self._usage.look(now, size, workers)
        if usage is None:
            self._busy = self._idle = 0
            return None
        if size < self.bounds.least:
            return 1, f"fewer than min_workers={self.bounds.least}"
        shares, waits = usage
        self._busy = self._busy + 1 if min(shares) >= BUSY and waits else 0
        self._idle = self._idle + 1 if sum(shares) < IDLE * (size - 1) and not waits else 0
        if self._busy >= GROW_AFTER and size < self.bounds.most:
            self._busy = 0
            return 1, f"all workers compute and requests wait, cpu={_percent(shares)}"
        if self._idle >= SHRINK_AFTER and size > self.bounds.least:
            self._idle = 0
            return -1, f"one worker fewer will do, cpu={_percent(shares)}"
        return None


class Advice:
    """Says once that more workers would help, where their number is settled and there are more processors."""

    def __init__(self, processors: int, now: float) -> None:
        self._processors = processors
        self._usage: _Usage | None = _Usage(now)
        self._busy = 0  # looks in a row

    def deadline(self) -> float | None:
        """When to look the next time; None: never again."""
        return self._usage.next if self._usage is not None else None

    def look(self, now: float, size: int, workers: Mapping[int, Load]) -> str | None:
        """The advice, when it is time for it."""
        if self._usage is None or now < self._usage.next:
            return None
        usage = self._usage.look(now, size, workers)
        is_busy = usage is not None and min(usage[0]) >= BUSY and usage[1] and size < self._processors
        self._busy = self._busy + 1 if is_busy else 0
        if usage is None or self._busy < ADVISE_AFTER:
            return None
        self._usage = None
        said = facts(
            workers=size,
            cpu=_percent(usage[0]),
            during=f"{ADVISE_AFTER * EVERY:.0f}s",
            processors=self._processors,
            remedy=f"workers = auto or {self._processors}, if the application keeps no state in the process",
        )
        return f"more workers would help; requests wait and all workers compute {said}"


def _percent(shares: list[float]) -> str:
    return f"{100 * sum(shares) / len(shares):.0f}%"
