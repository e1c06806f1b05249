"""The fleet that sizes itself: reads what scaling.py decides by, and does so as far as the memory suffices."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING

from hostler.arbiter import events as ev
from hostler.arbiter.fleet import FleetState
from hostler.arbiter.plan import Plan
from hostler.arbiter.scaling import Advice, Load, Scaling
from hostler.proc.machine import cpu_seconds
from hostler.proc.memory import megabytes, pss

if TYPE_CHECKING:
    from hostler.arbiter.arbiter import Arbiter

__all__ = ["Elastic"]


class Elastic:
    """Resizes the fleet within the plan's `bounds`; where its size is settled it only advises (`processors`)."""

    def __init__(self, arbiter: Arbiter, plan: Plan, now: float) -> None:
        self._arbiter = arbiter
        self._bounds = plan.bounds
        self._scaling = Scaling(plan.bounds, now) if plan.bounds is not None else None
        self._advice = Advice(plan.processors, now) if plan.bounds is None and plan.size < plan.processors else None
        self._refused_at = 0  # the size at which the memory did not suffice for one more; it is told once

    def deadline(self) -> float | None:
        """When to call `look`."""
        chosen = self._scaling or self._advice
        return chosen.deadline() if chosen is not None else None

    def size(self, planned: int) -> int:
        """How many shall serve after a reload: what was planned, or as many as now."""
        if self._bounds is None:
            return planned
        return min(max(self._arbiter.fleet.size, self._bounds.least), self._bounds.most)

    def look(self, now: float, workers: Collection[int], others: Collection[int]) -> None:
        """Have one worker more or fewer, when it is time to and there is a reason; `others` have memory too."""
        due = self.deadline()
        if due is None or now < due:
            return
        arbiter = self._arbiter
        fleet, slots = arbiter.fleet, arbiter.processes.slots
        loads = {pid: self._load(pid, slots[pid]) for pid in workers}
        if self._advice is not None and (advice := self._advice.look(now, fleet.size, loads)) is not None:
            arbiter.logs.warning(advice)
        found = self._scaling.look(now, fleet.size, loads) if self._scaling is not None else None
        if found is None or fleet.state is not FleetState.SERVING or fleet.rollout is not None:
            return
        by, reason = found
        if by < 0 or self._has_room(workers, others):
            arbiter.feed(ev.Resize(reason, by))

    def _load(self, pid: int, slot: int) -> Load:
        seen = self._arbiter.board.read(slot)
        return Load(cpu_seconds(pid), seen.queued, seen.queue_ns / 1e9)

    def _has_room(self, workers: Collection[int], others: Collection[int]) -> bool:
        """Whether the memory suffices for one worker more, as large as the largest."""
        limit = self._bounds.memory if self._bounds is not None else 0
        if not limit:
            return True
        sizes = [pss(pid) for pid in workers]
        total = sum(sizes) + sum(map(pss, others)) + pss(os.getpid()) + max(sizes, default=0)
        if total <= limit:
            return True
        size = self._arbiter.fleet.size
        if self._refused_at != size:
            self._refused_at = size
            text = "another worker would help, but there is no memory for it"
            self._arbiter.logs.warning(text, with_it=megabytes(total), allowed=megabytes(limit))
        return False
