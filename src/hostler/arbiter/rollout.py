"""How a new version takes the place of the old one: worker by worker, the replacement first; pure, as the fleet.

A reload gives the fleet a new generation. Workers that are spawned from then on belong to it; those of older ones are
outdated. As many as `batch` allows are made RETIRING, which has the fleet start as many new ones, and each of these
that is ready relieves one of the old: no worker stops accepting before another one does in its place.

    Reload ─▶ unproven ─ first new worker is ready ─▶ proven ─ the last old one accepts no more ─▶ done
                 │
                 └─ first new worker cannot boot ─▶ rolled back: the old ones stay

* Until it is proven nothing of the old version is lost: as many serve as before, whatever the new size is.
* A worker that cannot boot after it is proven is tried again like any other; the old ones serve meanwhile.
* An urgent one (development) lets the old workers go at once: requests wait in the kernel for the new code.
* Where no old worker serves there is nothing to go back to: then the new version is tried as at a start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.arbiter import actions as do
from hostler.arbiter import events as ev
from hostler.arbiter.actions import Action
from hostler.arbiter.handle import WorkerHandle, WorkerState
from hostler.arbiter.timing import Timing
from hostler.logs import ERROR, INFO, facts

if TYPE_CHECKING:
    from hostler.arbiter.fleet import Fleet

__all__ = ["Rollout", "abandon", "advance", "begin", "finish", "is_unproven", "prove", "roll_back"]

_S = WorkerState
_SERVING = (_S.READY, _S.RETIRING)
_COMING = (_S.VACANT, _S.BOOTING, _S.FAILED, _S.BACKOFF)


class Rollout:
    """A reload on its way."""

    def __init__(self, event: ev.Reload, since: float, before: tuple[int, int, Timing]) -> None:
        self.size = event.size
        self.batch = event.batch
        self.since = since
        self.before = before  # generation, size and timing to go back to
        self.is_proven = False


def begin(fleet: Fleet, event: ev.Reload, now: float) -> list[Action]:
    """The configuration is there: have it take over."""
    before = (fleet.generation, fleet.size, fleet.timing)
    if fleet.rollout is not None and not fleet.rollout.is_proven:
        before = fleet.rollout.before
    fleet.rollout = Rollout(event, now, before)
    fleet.generations += 1
    fleet.generation = fleet.generations
    fleet.timing = event.timing
    fleet.size = max(event.size, before[1]) if fleet.is_serving() else event.size
    fleet.look_at = now  # the interval may have changed
    fleet.hasty = 0  # whatever was worn out so fast may be mended
    for worker in fleet.workers:
        if worker.state is _S.BACKOFF:  # what failed before may work now
            worker.due = now
            worker.streak = 0
    if event.is_urgent:
        return _turn_out(fleet, event, now)
    said = facts(reason=event.reason, workers=event.size)
    return [do.Log(INFO, f"reloading; each worker leaves when its replacement is ready {said}")]


def _turn_out(fleet: Fleet, event: ev.Reload, now: float) -> list[Action]:
    """Nobody wants the old version: it leaves at once, and there is no way back."""
    assert fleet.rollout is not None
    fleet.rollout.is_proven = True
    fleet.size = event.size
    old = [worker for worker in fleet.workers if worker.state in (_S.READY, _S.BOOTING)]
    fleet.restarts["reload"] += len(old)
    leaving = [action for worker in old for action in fleet.step_worker(worker, ev.Hurried(), now)]
    leaving += fleet.hurry(now)
    return [do.Log(INFO, f"starting anew {facts(reason=event.reason)}"), do.Commit(), *leaving]


def is_unproven(fleet: Fleet, worker: WorkerHandle) -> bool:
    """Whether this worker's failed boot ends a reload."""
    rollout = fleet.rollout
    if rollout is None or rollout.is_proven or worker.generation != fleet.generation:
        return False
    return fleet.is_serving()


def prove(fleet: Fleet, worker: WorkerHandle, now: float) -> list[Action]:
    """A worker is ready: is it the first of a new version?"""
    rollout = fleet.rollout
    if rollout is None or rollout.is_proven or worker.generation != fleet.generation:
        return []
    rollout.is_proven = True
    fleet.size = rollout.size
    return [do.Commit(), *fleet.hurry(now)]


def roll_back(fleet: Fleet, event: ev.ReloadFailed, now: float) -> list[Action]:
    """Keep the old version. What has begun to boot is surplus then."""
    rollout = fleet.rollout
    if rollout is None:
        return []
    fleet.rollout = None
    fleet.generation, fleet.size, fleet.timing = rollout.before
    old = [worker for worker in fleet.workers if worker.state in _SERVING]
    kept = [worker for worker in old if worker.state is _S.RETIRING and worker.is_outdated]
    actions = [action for worker in kept for action in fleet.step_worker(worker, ev.Kept(), now)]
    said = f"reload failed; those that served before serve on workers={len(old)}"
    return [
        do.Restore(),
        *actions,
        do.Log(ERROR, event.text),
        do.Log(ERROR, said),
        do.ReloadEnded(False, f"{event.text}\n{said}"),
    ]


def advance(fleet: Fleet, now: float) -> list[Action]:
    """Have the next workers replaced that are outdated or worn, as many at a time as the batch allows.

    After a roll-back too: a worker of the version that was given up may have got ready all the same.
    """
    if not fleet.is_up():
        return []
    batch = fleet.rollout.batch if fleet.rollout else 1
    ready = [each for each in fleet.workers if each.state is _S.READY]
    outdated = [each for each in ready if each.generation != fleet.generation]
    outdated += [each for each in ready if each.is_worn and each not in outdated]
    leaving = sum(each.state in (_S.RETIRING, _S.SILENT) for each in fleet.workers)
    coming = sum(each.state in _COMING for each in fleet.workers)
    room = max(0, batch - max(leaving, coming))
    return [action for worker in outdated[:room] for action in fleet.step_worker(worker, ev.Outdated(), now)]


def finish(fleet: Fleet, now: float) -> list[Action]:
    """Say so when the last old worker has been relieved and accepts no more."""
    rollout = fleet.rollout
    if rollout is None or not rollout.is_proven or not fleet.is_up():
        return []
    present = [each for each in fleet.workers if each.state in (*_SERVING, _S.SILENT)]
    new = [each for each in present if each.generation == fleet.generation]
    if len(new) < len(present) or len(new) < fleet.size:
        return []
    if any(
        each.state is _S.DRAINING and each.generation != fleet.generation and not each.is_closed
        for each in fleet.workers
    ):
        return []  # it may still accept, and answer as the old version
    fleet.rollout = None
    text = f"reloaded {facts(workers=fleet.size, took=f'{now - rollout.since:.1f}s')}"
    return [do.Log(INFO, text), do.ReloadEnded(True, text)]


def abandon(fleet: Fleet) -> list[Action]:
    """The server ends: so does the reload."""
    if fleet.rollout is None:
        return []
    fleet.rollout = None
    return [do.ReloadEnded(False, "the server is stopping")]
