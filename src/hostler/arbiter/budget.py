"""The memory of the whole server: arbiter, workers, and what they share, counted once (PSS)."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection

from hostler.proc.memory import megabytes, pss

__all__ = ["Budget"]

# Between two looks: the kernel adds up every page of every process. After a replacement, until what it freed is seen.
_EVERY = 10.0
_AFTER = 60.0


class Budget:
    """Names the worker to replace when all processes together have more than `limit` bytes; 0: there is no limit."""

    def __init__(self, limit: int, now: float, measure: Callable[[int], int] = pss) -> None:
        self._limit = limit
        self._measure = measure
        self._next = now + _EVERY

    def deadline(self) -> float | None:
        """When to look the next time; None: never."""
        return self._next if self._limit else None

    def look(self, now: float, workers: Collection[int], others: Collection[int] = ()) -> tuple[int, str] | None:
        """The pid of the largest worker, and why it should go; None: it is not time to look, or all is well."""
        if not self._limit or now < self._next:
            return None
        self._next = now + _EVERY
        if not workers:
            return None
        sizes = {pid: self._measure(pid) for pid in workers}
        total = sum(sizes.values()) + sum(map(self._measure, others)) + self._measure(os.getpid())
        if total <= self._limit:
            return None
        self._next = now + _AFTER
        largest = max(sizes, key=lambda pid: sizes[pid])
        sums = f"{megabytes(total)} of memory (memory_budget {megabytes(self._limit)})"
        return largest, f"all processes have {sums}, and it has the most, {megabytes(sizes[largest])}"
