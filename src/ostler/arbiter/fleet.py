"""What the arbiter does when something happens to its workers: pure, so it can be tested without processes.

`Fleet.on(event, now)` returns the actions; the time is an argument, and nothing outside is read or changed.
An event that has no row for the present state is impossible: it raises, and changes nothing.

The theory of a single worker stands in life.py. The fleet as a whole:

    NEW ─ Start ─▶ STARTING ─ Opened ─▶ SERVING ─ Stop ─▶ STOPPING ─▶ ENDED
                      │                    │                 │ Stop, Quit
                      └── GiveUp, Quit ────┴─────────────▶ QUITTING ─▶ ENDED

* Opened: the first worker ever is ready. Before it, a worker that says why it cannot boot ends the start:
  trying again would say the same again. One that dies without a word (a crash in a C module, the memory
  killer) is tried again, `BOOT_ATTEMPTS` times for each slot.
* After it, workers that cannot boot (files changed under us) are tried for as long as another one serves.
  When none does, `BOOT_ATTEMPTS` counts again: a closed port is better than one that never answers.
* There are as many workers as were asked for, plus those on their way out: RETIRING and SILENT ones until they
  are relieved, DRAINING and KILLED ones until they have ended. A slot of the scoreboard belongs to one of them,
  and there are twice as many slots as workers; who finds none free for its successor goes on meanwhile. Whose
  successor is ready does not matter: while more serve than were asked for, one on its way out is relieved, so
  that a worker that dies meanwhile does not leave a gap.
* Silence is counted in looks, not in seconds: when the machine was suspended, or the container was frozen, the
  arbiter was too, and has looked as seldom as the workers' hearts have beaten.
* Stop in STOPPING means "I am in a hurry": Quit. But some senders reach us twice at once, directly and as
  a member of the group (timeout(1), Ctrl-C under make), so it counts only after a moment.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from signal import SIGUSR1
from typing import Any, NamedTuple

from ostler.arbiter import actions as do
from ostler.arbiter import events as ev
from ostler.arbiter.actions import Action
from ostler.arbiter.backoff import delay
from ostler.arbiter.handle import WorkerHandle, WorkerState
from ostler.arbiter.life import WORKER
from ostler.logs import ERROR, INFO

__all__ = ["Fleet", "FleetState", "ImpossibleEvent", "Timing"]

# So many looks in a row must find the same heartbeat; in that time a worker's heart should beat as often.
LOOKS = 4
# Stop and Stop again within this time is one Stop.
ONE_STOP = 0.5


class FleetState(Enum):
    """How far the whole is."""

    NEW = "new"
    STARTING = "starting"  # no worker has been ready yet
    SERVING = "serving"
    STOPPING = "stopping"  # newcomers are refused, workers drain
    QUITTING = "quitting"  # workers end at once
    ENDED = "ended"


class Timing(NamedTuple):
    """Waits in seconds."""

    graceful: float = 30.0  # for the requests that run when we stop
    boot: float = 0.0  # from fork to ready; 0: as long as it takes
    handshakes: float = 0.0  # for clients that are half connected when we stop
    silence: float = 0.0  # how long a worker may run no Python; 0: for ever


_LEAVING = (WorkerState.RETIRING, WorkerState.SILENT)  # until they are relieved
_LEFT = (WorkerState.DRAINING, WorkerState.KILLED, WorkerState.GONE)


class ImpossibleEvent(Exception):
    """An event that cannot happen in the present state: a fault of whoever sent it."""


class Fleet:
    """The workers and the state of the whole."""

    def __init__(self, size: int, timing: Timing) -> None:
        self.state = FleetState.NEW
        self.size = size  # how many shall serve
        self.slots = 2 * size  # len(workers) <= slots
        self.workers = [WorkerHandle(slot) for slot in range(size)]
        self.timing = timing
        self.exit_code = 0
        self.boot_failures = 0  # in a row, over all slots: a worker that gets ready ends the row
        self.last_failure = ""  # what the latest of them said
        self.hasty = 0  # workers in a row that wanted to retire right after they were ready
        self.look_at = 0.0  # when to look at the heartbeats next, while we serve
        self.stopping_since = 0.0

    def on(self, event: ev.Event, now: float) -> list[Action]:
        """Take an event and return what to do about it, in this order."""
        worker = self._addressee(event)
        actions = self.step(event, now) if worker is None else self.step_worker(worker, event, now)
        self._replace(now)
        return actions + self._run_due(now) + self._relieve(now) + self._end_if_gone()

    def deadline(self) -> float | None:
        """When to send Tick, if nothing else happens before."""
        dues = [worker.due for worker in self.workers if worker.due is not None]
        return min([*dues, self.look_at] if self._is_watching() else dues, default=None)

    def is_ready(self, pid: int) -> bool:
        """Whether a process is a worker that has been ready and was not told to end."""
        states = (WorkerState.READY, WorkerState.RETIRING, WorkerState.SILENT)
        return any(worker.pid == pid and worker.state in states for worker in self.workers)

    def is_serving(self) -> bool:
        """Whether some worker accepts connections."""
        return any(worker.state in (WorkerState.READY, WorkerState.RETIRING) for worker in self.workers)

    def is_starting(self) -> bool:
        """Whether no worker has been ready yet."""
        return self.state is FleetState.STARTING

    def is_up(self) -> bool:
        """Whether workers that end are followed by others."""
        return self.state in (FleetState.STARTING, FleetState.SERVING)

    def _addressee(self, event: ev.Event) -> WorkerHandle | None:
        """The worker an event is about; None: the fleet."""
        if isinstance(event, ev.Started | ev.SpawnFailed):
            found = [worker for worker in self.workers if worker.slot == event.slot]
        elif isinstance(event, ev.Ready | ev.BootFailed | ev.Retire | ev.Exited):
            found = [worker for worker in self.workers if worker.pid == event.pid != 0]
        else:
            return None
        if not found:
            raise ImpossibleEvent(f"{event!r}: there is no such worker")
        return found[0]

    def step(self, event: ev.Event | ev.Opened | ev.GiveUp, now: float) -> list[Action]:
        rule = FLEET.get((self.state, type(event)))
        if rule is None:
            raise ImpossibleEvent(f"{event!r} while the fleet is {self.state.value}")
        self.state, effect = rule
        return effect(self, event, now)

    def step_worker(self, worker: WorkerHandle, event: ev.Event | ev.WorkerEvent, now: float) -> list[Action]:
        rule = WORKER.get((worker.state, type(event)))
        if rule is None:
            raise ImpossibleEvent(f"{event!r} while {worker} is {worker.state.value}")
        worker.state, effect = rule
        return effect(self, worker, event, now)

    def _is_watching(self) -> bool:
        return self.state is FleetState.SERVING and self.timing.silence > 0

    def _tell_workers(self, event: ev.Stop | ev.Quit, now: float) -> list[Action]:
        return [action for worker in self.workers for action in self.step_worker(worker, event, now)]

    def _run_due(self, now: float) -> list[Action]:
        actions: list[Action] = []
        for worker in self.workers:
            if worker.due is not None and worker.due <= now:
                worker.due = None
                actions += self.step_worker(worker, ev.Due(), now)
        if self._is_watching() and self.look_at <= now:
            self.look_at = now + self.timing.silence / LOOKS
            actions.append(do.Look())
        return actions

    def _replace(self, now: float) -> None:
        """Forget who is gone, and put a new worker beside each that is on its way out, if a slot is free."""
        self.workers = [worker for worker in self.workers if worker.state is not WorkerState.GONE]
        if self.is_up():
            staying = [worker for worker in self.workers if worker.state not in _LEAVING + _LEFT]
            taken = {worker.slot for worker in self.workers}
            free = [slot for slot in range(self.slots) if slot not in taken]
            for slot in free[: self.size - len(staying)]:
                self.workers.append(WorkerHandle(slot, WorkerState.BACKOFF, now + delay(self.hasty)))

    def _relieve(self, now: float) -> list[Action]:
        """Let go who is on the way out, as far as more serve than shall: first those that serve nobody."""
        ready = [worker for worker in self.workers if worker.state is WorkerState.READY]
        leaving = [worker for state in reversed(_LEAVING) for worker in self.workers if worker.state is state]
        surplus = max(0, len(ready) + len(leaving) - self.size)
        return [action for worker in leaving[:surplus] for action in self.step_worker(worker, ev.Relieved(), now)]

    def _end_if_gone(self) -> list[Action]:
        is_ending = self.state in (FleetState.STOPPING, FleetState.QUITTING)
        if not is_ending or any(worker.state is not WorkerState.GONE for worker in self.workers):
            return []
        self.state = FleetState.ENDED
        return [do.Log(INFO, "stopped"), do.Exit(self.exit_code)]


# --- What happens to the fleet. `fleet.state` is the new one already. ---


def _nothing(fleet: Fleet, event: Any, now: float) -> list[Action]:
    return []


def _start(fleet: Fleet, event: ev.Start, now: float) -> list[Action]:
    return [do.Spawn(worker.slot) for worker in fleet.workers]


def _announce(fleet: Fleet, event: ev.Opened, now: float) -> list[Action]:
    fleet.look_at = now + fleet.timing.silence / LOOKS
    return [do.Announce()]


def _look(fleet: Fleet, event: ev.Look, now: float) -> list[Action]:
    actions: list[Action] = []
    for worker in fleet.workers:
        worker.look(event.beats.get(worker.pid, worker.beat))
        if worker.state is WorkerState.SILENT and worker.still == 0:
            actions += fleet.step_worker(worker, ev.Beats(), now)
        elif worker.state in (WorkerState.READY, WorkerState.RETIRING) and worker.still >= LOOKS:
            actions += fleet.step_worker(worker, ev.Silent(), now)
    return actions


def _reopen(fleet: Fleet, event: ev.Reopen, now: float) -> list[Action]:
    pids = [worker.pid for worker in fleet.workers if worker.pid]
    return [do.ReopenLogs(), *(do.Signal(pid, SIGUSR1) for pid in pids)]


def _stop(fleet: Fleet, event: ev.Stop, now: float) -> list[Action]:
    fleet.stopping_since = now
    wait = f"requests that run have {fleet.timing.graceful:g}s to end"
    return [
        do.Log(INFO, f"{event.reason}: stopping; {wait}"),
        do.RefuseNewcomers(),
        do.CloseListeners(),
        *fleet._tell_workers(event, now),
    ]


def _stop_again(fleet: Fleet, event: ev.Stop, now: float) -> list[Action]:
    if now - fleet.stopping_since < ONE_STOP:
        return []
    return fleet.step(ev.Quit(f"{event.reason} again"), now)


def _quit_all(fleet: Fleet, event: ev.Quit, now: float) -> list[Action]:
    return [
        do.Log(INFO, f"{event.reason}: stopping at once"),
        do.CloseListeners(),
        *fleet._tell_workers(event, now),
    ]


def _give_up(fleet: Fleet, event: ev.GiveUp, now: float) -> list[Action]:
    fleet.exit_code = event.code
    return [
        do.Log(ERROR, event.text),
        do.CloseListeners(),
        *fleet._tell_workers(ev.Quit("giving up"), now),
    ]


_F = FleetState

FLEET: dict[tuple[FleetState, type], tuple[FleetState, Callable[..., list[Action]]]] = {
    (_F.NEW, ev.Start): (_F.STARTING, _start),
    (_F.STARTING, ev.Opened): (_F.SERVING, _announce),
    (_F.STARTING, ev.GiveUp): (_F.QUITTING, _give_up),
    (_F.STARTING, ev.Stop): (_F.STOPPING, _stop),
    (_F.STARTING, ev.Quit): (_F.QUITTING, _quit_all),
    (_F.SERVING, ev.Look): (_F.SERVING, _look),
    (_F.SERVING, ev.GiveUp): (_F.QUITTING, _give_up),
    (_F.SERVING, ev.Stop): (_F.STOPPING, _stop),
    (_F.SERVING, ev.Quit): (_F.QUITTING, _quit_all),
    (_F.STOPPING, ev.Stop): (_F.STOPPING, _stop_again),
    (_F.STOPPING, ev.Quit): (_F.QUITTING, _quit_all),
    (_F.QUITTING, ev.Stop): (_F.QUITTING, _nothing),
    (_F.QUITTING, ev.Quit): (_F.QUITTING, _nothing),
}
for _state in (_F.STARTING, _F.SERVING, _F.STOPPING, _F.QUITTING):
    FLEET[_state, ev.Tick] = (_state, _nothing)  # what is due runs after every event
    FLEET[_state, ev.Reopen] = (_state, _reopen)
