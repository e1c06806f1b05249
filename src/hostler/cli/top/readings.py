"""What /proc tells of the server's processes: read by the view itself, so that the server has no part in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from hostler.proc.machine import cpu_seconds
from hostler.proc.memory import pss

__all__ = ["Reading", "Readings"]

# The kernel walks a process' whole page table for its PSS: a few milliseconds for a large one, so each is asked rarely,
PSS_EVERY = 5.0
# and not too many at a time.
PSS_AT_ONCE = 16


class Reading(NamedTuple):
    """One process now; None: not known yet, or the system does not tell us."""

    cpu: float | None = None  # processors' shares since the last look: 1.5 is one and a half
    pss: int | None = None  # bytes


class Readings:
    """Remembers what it needs for the next look."""

    def __init__(self) -> None:
        self._cpu: dict[int, tuple[float, float]] = {}  # pid -> when it was read, seconds
        self._pss: dict[int, tuple[float, int]] = {}  # pid -> when it was read, bytes

    def look(self, pids: Iterable[int], now: float) -> Mapping[int, Reading]:
        """Read what there is to read of these processes; the others are forgotten."""
        wanted = list(dict.fromkeys(pids))
        self._pss = {pid: read for pid, read in self._pss.items() if pid in wanted}
        due = [pid for pid in wanted if pid not in self._pss or now - self._pss[pid][0] >= PSS_EVERY]
        due.sort(key=lambda pid: self._pss[pid][0] if pid in self._pss else 0.0)
        for pid in due[:PSS_AT_ONCE]:
            self._pss[pid] = now, pss(pid)
        before, self._cpu = self._cpu, {pid: (now, cpu_seconds(pid)) for pid in wanted}
        return {pid: Reading(self._share(pid, before), self._pss.get(pid, (0.0, 0))[1] or None) for pid in wanted}

    def _share(self, pid: int, before: Mapping[int, tuple[float, float]]) -> float | None:
        now, seconds = self._cpu[pid]
        then, earlier = before.get(pid, (now, 0.0))
        if now <= then or not seconds:
            return None
        return max(0.0, (seconds - earlier) / (now - then))
