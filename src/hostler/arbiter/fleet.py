"""What the arbiter does when something happens to its workers: pure, so it can be tested without processes.

`Fleet.on(event, now)` returns the actions; the time is an argument, and nothing outside is read or changed.
An event that has no row for the present state is impossible: it raises, and changes nothing.

The theory of a single worker stands in life.py. The fleet as a whole:

    NEW ─ Start ─▶ STARTING ─ Opened ─▶ SERVING ─ Stop ─▶ LEAVING ─ Left, Stop ─▶ STOPPING ─▶ ENDED
                      │                    │                 │                       │ Stop, Quit
                      └── GiveUp, Quit ────┴─────────────────┴───────────────────▶ QUITTING ─▶ ENDED

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
* A reload replaces them one after the other: rollout.py; so are those that have reached a limit (Renew), since workers
  that began together reach it together. How many shall serve changes by it, and by Resize; who is
  one too many is told to drain, those that do not serve yet before those that do, the oldest first.
* Silence is counted in looks, not in seconds: when the machine was suspended, or the container was frozen, the
  arbiter was too, and has looked as seldom as the workers' hearts have beaten.
* LEAVING is SERVING for the last time: only /readyz says that it will end, so that balancers send no more.
* Stop in STOPPING means "I am in a hurry": Quit. But some senders reach us twice at once, directly and as
  a member of the group (timeout(1), Ctrl-C under make), so it counts only after a moment.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from signal import SIGUSR1
from typing import Any

from hostler.arbiter import actions as do
from hostler.arbiter import events as ev
from hostler.arbiter import rollout
from hostler.arbiter.actions import Action
from hostler.arbiter.backoff import delay
from hostler.arbiter.handle import WorkerHandle, WorkerState
from hostler.arbiter.life import WORKER
from hostler.arbiter.timing import Timing
from hostler.logs import ERROR, INFO, WARNING, facts

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
    LEAVING = "leaving"  # serves on, and says that it will not for long
    STOPPING = "stopping"  # newcomers are refused, workers drain
    QUITTING = "quitting"  # workers end at once
    ENDED = "ended"


_LEAVING = (WorkerState.RETIRING, WorkerState.SILENT)  # until they are relieved
_LEFT = (WorkerState.DRAINING, WorkerState.KILLED, WorkerState.GONE)
# Who goes first when there are too many.
_DISPENSABLE = (WorkerState.BACKOFF, WorkerState.BOOTING, WorkerState.READY)
_UNDECIDED = (WorkerState.VACANT, WorkerState.FAILED)  # until they are among those


class ImpossibleEvent(Exception):
    """An event that cannot happen in the present state: a fault of its sender."""


class Fleet:
    """The workers and the state of the whole."""

    def __init__(self, size: int, timing: Timing, slots: int = 0) -> None:
        self.state = FleetState.NEW
        self.size = size  # how many shall serve
        self.slots = max(slots, 2 * size)  # of the scoreboard: room for twice as many as may ever serve
        self.generation = 0  # of the workers that are spawned now
        self.generations = 0  # how many there have been
        self.rollout: rollout.Rollout | None = None
        self.wanted: ev.Reload | None = None  # a reload that came before anybody was ready
        self.workers = [WorkerHandle(slot) for slot in range(size)]
        self.timing = timing
        self.exit_code = 0
        self.boot_failures = 0  # in a row, over all slots: a worker that gets ready ends the row
        self.last_failure = ""  # what the latest of them said
        # Workers that were followed by another one, by reason; the order is the scoreboard's.
        self.restarts = {"died": 0, "limit": 0, "reload": 0, "timeout": 0}
        self.hasty = 0  # workers in a row that wanted to retire right after they were ready
        self.look_at = 0.0  # when to look at the heartbeats next, while we serve
        self.stopping_since = 0.0
        self.leave_at = 0.0  # when LEAVING ends
        self.leave_reason = ""

    def on(self, event: ev.Event, now: float) -> list[Action]:
        """Take an event and return what to do about it, in this order."""
        worker = self._addressee(event)
        actions = self.step(event, now) if worker is None else self.step_worker(worker, event, now)
        actions += self._shrink(now)
        self._replace(now)
        actions += self._run_due(now) + self._relieve(now) + self._shrink(now) + rollout.advance(self, now)
        self._replace(now)
        return actions + self._run_due(now) + rollout.finish(self, now) + self._end_if_gone()

    @property
    def most(self) -> int:
        """How many can ever serve."""
        return self.slots // 2

    def deadline(self) -> float | None:
        """When to send Tick, if nothing else happens before."""
        dues = [worker.due for worker in self.workers if worker.due is not None]
        if self.state is FleetState.LEAVING:
            dues.append(self.leave_at)
        return min([*dues, self.look_at] if self._is_watching() else dues, default=None)

    def is_ready(self, pid: int) -> bool:
        """Whether a process is a worker that has been ready and was not told to end."""
        states = (WorkerState.READY, WorkerState.RETIRING, WorkerState.SILENT)
        return any(worker.pid == pid and worker.state in states for worker in self.workers)

    def is_serving(self) -> bool:
        """Whether some worker accepts connections."""
        return any(worker.state in (WorkerState.READY, WorkerState.RETIRING) for worker in self.workers)

    def may_reload(self) -> bool:
        """Whether a reload would be for anything."""
        return self.state in (FleetState.STARTING, FleetState.SERVING)

    def is_whole(self) -> bool:
        """Whether as many are ready as shall be."""
        return sum(worker.state is WorkerState.READY for worker in self.workers) >= self.size

    def is_closed(self) -> bool:
        """Whether no worker accepts connections any more."""
        return all(worker.is_closed or not worker.pid for worker in self.workers)

    def fits(self, event: ev.Event) -> bool:
        """Whether an event about a worker is possible in its state; what a worker says need not be."""
        try:
            worker = self._addressee(event)
        except ImpossibleEvent:
            return False
        return worker is not None and (worker.state, type(event)) in WORKER

    def is_starting(self) -> bool:
        """Whether no worker has been ready yet."""
        return self.state is FleetState.STARTING

    def is_up(self) -> bool:
        """Whether workers that end are followed by others."""
        return self.state in (FleetState.STARTING, FleetState.SERVING, FleetState.LEAVING)

    def _addressee(self, event: ev.Event) -> WorkerHandle | None:
        """The worker an event is about; None: the fleet."""
        if isinstance(event, ev.Started | ev.SpawnFailed):
            found = [worker for worker in self.workers if worker.slot == event.slot]
        elif isinstance(event, ev.Ready | ev.BootFailed | ev.Retire | ev.Renew | ev.Closed | ev.Exited):
            found = [worker for worker in self.workers if worker.pid == event.pid != 0]
        else:
            return None
        if not found:
            raise ImpossibleEvent(f"{event!r}: there is no such worker")
        return found[0]

    def step(self, event: ev.Event | ev.Opened | ev.GiveUp | ev.ReloadFailed | ev.Left, now: float) -> list[Action]:
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
        return self.state in (FleetState.SERVING, FleetState.LEAVING) and self.timing.silence > 0

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
        if self.state is FleetState.LEAVING and self.leave_at <= now:
            actions += self.step(ev.Left(self.leave_reason), now)
        return actions

    def _replace(self, now: float) -> None:
        """Forget who is gone, and put a new worker beside each that is on its way out, if a slot is free."""
        self.workers = [worker for worker in self.workers if worker.state is not WorkerState.GONE]
        if self.is_up():
            staying = [worker for worker in self.workers if worker.state not in _LEAVING + _LEFT]
            taken = {worker.slot for worker in self.workers}
            free = [slot for slot in range(self.slots) if slot not in taken]
            hurried = [worker for worker in self.workers if not worker.is_unhurried]
            room = 2 * self.size - len(hurried)  # those that drain take memory too
            for slot in free[: max(0, min(self.size - len(staying), room))]:
                self.workers.append(WorkerHandle(slot, WorkerState.BACKOFF, now + delay(self.hasty)))

    def _relieve(self, now: float) -> list[Action]:
        """Let go who is on the way out, as far as more serve than shall: first those that serve nobody."""
        ready = [worker for worker in self.workers if worker.state is WorkerState.READY]
        leaving = [worker for state in reversed(_LEAVING) for worker in self.workers if worker.state is state]
        surplus = max(0, len(ready) + len(leaving) - self.size)
        return [action for worker in leaving[:surplus] for action in self.step_worker(worker, ev.Relieved(), now)]

    def _shrink(self, now: float) -> list[Action]:
        """Let go who is one too many."""
        if not self.is_up():
            return []
        staying = [worker for worker in self.workers if worker.state not in _LEAVING + _LEFT]
        dispensable = [worker for worker in staying if worker.state in _DISPENSABLE]
        dispensable.sort(key=lambda worker: (_DISPENSABLE.index(worker.state), worker.generation, worker.ready_at))
        undecided = sum(worker.state in _UNDECIDED for worker in staying)
        surplus = max(0, len(staying) - undecided - self.size)
        actions = [a for worker in dispensable[:surplus] for a in self.step_worker(worker, ev.Surplus(), now)]
        return actions + self.hurry(now, leave=max(0, self.slots - 2 * self.size))

    def hurry(self, now: float, leave: int = 0) -> list[Action]:
        """Give a deadline to those that drain without one, but for `leave` of them."""
        unhurried = [worker for worker in self.workers if worker.is_unhurried]
        hurried = unhurried[: max(0, len(unhurried) - leave)]
        return [action for worker in hurried for action in self.step_worker(worker, ev.Hurried(), now)]

    def _end_if_gone(self) -> list[Action]:
        is_ending = self.state in (FleetState.STOPPING, FleetState.QUITTING)
        if not is_ending or any(worker.state is not WorkerState.GONE for worker in self.workers):
            return []
        self.state = FleetState.ENDED
        return [do.Log(INFO, "stopped"), do.Exit(self.exit_code)]


# --- What happens to the fleet. `fleet.state` is the new one already. ---


def _nothing(fleet: Fleet, event: Any, now: float) -> list[Action]:
    return []


def _too_late(fleet: Fleet, event: ev.Reload, now: float) -> list[Action]:
    return [do.Restore(), do.ReloadEnded(False, "the server is stopping")]


def _start(fleet: Fleet, event: ev.Start, now: float) -> list[Action]:
    return [do.Spawn(worker.slot) for worker in fleet.workers]


def _announce(fleet: Fleet, event: ev.Opened, now: float) -> list[Action]:
    fleet.look_at = now + fleet.timing.silence / LOOKS
    wanted, fleet.wanted = fleet.wanted, None
    return [do.Announce(), *(fleet.step(wanted, now) if wanted else [])]


def _reload_later(fleet: Fleet, event: ev.Reload, now: float) -> list[Action]:
    fleet.wanted = event
    return [do.Log(INFO, f"reload waits for the first ready worker {facts(reason=event.reason)}")]


def _resize(fleet: Fleet, event: ev.Resize, now: float) -> list[Action]:
    before = fleet.size
    after = min(max(1, before + event.by), max(fleet.most, before))
    if after == before:
        bound = "there is one worker" if event.by < 0 else "there is room for no more"
        return [do.Log(WARNING, f"workers not scaled; {bound} {facts(reason=event.reason, workers=before)}")]
    fleet.size = after
    if fleet.rollout is not None:
        fleet.rollout.size = max(1, fleet.rollout.size + event.by)
    return [do.Log(INFO, f"workers scaled {facts(reason=event.reason, workers=after, before=before)}")]


def _look(fleet: Fleet, event: ev.Look, now: float) -> list[Action]:
    actions: list[Action] = []
    for worker in fleet.workers:
        worker.look(event.beats.get(worker.pid, worker.beat))
        if worker.state is WorkerState.SILENT and worker.still == 0:
            actions += fleet.step_worker(worker, ev.Beats(), now)
        elif worker.state in (WorkerState.READY, WorkerState.RETIRING) and worker.still >= LOOKS:
            actions += fleet.step_worker(worker, ev.Silent(), now)
    return actions


def _hurry(fleet: Fleet, event: ev.Importable, now: float) -> list[Action]:
    for worker in fleet.workers:
        if worker.state is WorkerState.BACKOFF:
            worker.due, worker.streak = now, 0
    return []


def _reopen(fleet: Fleet, event: ev.Reopen, now: float) -> list[Action]:
    pids = [worker.pid for worker in fleet.workers if worker.pid]
    return [do.ReopenLogs(), *(do.Signal(pid, SIGUSR1) for pid in pids)]


def _leave(fleet: Fleet, event: ev.Stop, now: float) -> list[Action]:
    if event.is_succeeded or not fleet.timing.notice:
        return fleet.step(ev.Left(event.reason, event.is_succeeded), now)
    fleet.stopping_since = now
    fleet.leave_at = now + fleet.timing.notice
    fleet.leave_reason = event.reason
    said = facts(reason=event.reason, drain_delay=f"{fleet.timing.notice:g}s")
    text = f"stopping after drain_delay; until then only /readyz says so {said}"
    return [*rollout.abandon(fleet), do.Log(INFO, text), do.Withdraw()]


def _leave_now(fleet: Fleet, event: ev.Stop, now: float) -> list[Action]:
    if now - fleet.stopping_since < ONE_STOP:
        return []
    return fleet.step(ev.Left(f"{event.reason} again"), now)


def _stop(fleet: Fleet, event: ev.Stop | ev.Left, now: float) -> list[Action]:
    fleet.stopping_since = now
    said = facts(reason=event.reason, graceful_timeout=f"{fleet.timing.graceful:g}s")
    is_last: list[Action] = [do.RefuseNewcomers(), do.CloseListeners()]
    return [
        *rollout.abandon(fleet),
        do.Log(INFO, f"stopping; requests that run may end {said}"),
        *([do.LeaveListeners()] if event.is_succeeded else is_last),
        *fleet._tell_workers(ev.Stop(event.reason), now),
    ]


def _stop_again(fleet: Fleet, event: ev.Stop, now: float) -> list[Action]:
    if now - fleet.stopping_since < ONE_STOP:
        return []
    return fleet.step(ev.Quit(f"{event.reason} again"), now)


def _quit_all(fleet: Fleet, event: ev.Quit, now: float) -> list[Action]:
    return [
        *rollout.abandon(fleet),
        do.Log(INFO, f"stopping at once {facts(reason=event.reason)}"),
        do.CloseListeners(),
        *fleet._tell_workers(event, now),
    ]


def _give_up(fleet: Fleet, event: ev.GiveUp, now: float) -> list[Action]:
    fleet.exit_code = event.code
    return [
        *rollout.abandon(fleet),
        do.Log(ERROR, event.text),
        do.CloseListeners(),
        *fleet._tell_workers(ev.Quit("giving up"), now),
    ]


_F = FleetState

FLEET: dict[tuple[FleetState, type], tuple[FleetState, Callable[..., list[Action]]]] = {
    (_F.NEW, ev.Start): (_F.STARTING, _start),
    (_F.NEW, ev.Resize): (_F.NEW, _resize),
    (_F.NEW, ev.GiveUp): (_F.QUITTING, _give_up),
    (_F.NEW, ev.Stop): (_F.STOPPING, _stop),
    (_F.NEW, ev.Quit): (_F.QUITTING, _quit_all),
    (_F.STARTING, ev.Opened): (_F.SERVING, _announce),
    (_F.STARTING, ev.Reload): (_F.STARTING, _reload_later),
    (_F.STARTING, ev.Resize): (_F.STARTING, _resize),
    (_F.STARTING, ev.GiveUp): (_F.QUITTING, _give_up),
    (_F.STARTING, ev.Stop): (_F.STOPPING, _stop),
    (_F.STARTING, ev.Quit): (_F.QUITTING, _quit_all),
    (_F.SERVING, ev.Look): (_F.SERVING, _look),
    (_F.SERVING, ev.Reload): (_F.SERVING, rollout.begin),
    (_F.SERVING, ev.ReloadFailed): (_F.SERVING, rollout.roll_back),
    (_F.SERVING, ev.Resize): (_F.SERVING, _resize),
    (_F.SERVING, ev.GiveUp): (_F.QUITTING, _give_up),
    (_F.SERVING, ev.Stop): (_F.LEAVING, _leave),
    (_F.SERVING, ev.Quit): (_F.QUITTING, _quit_all),
    (_F.LEAVING, ev.Look): (_F.LEAVING, _look),
    (_F.LEAVING, ev.Reload): (_F.LEAVING, _too_late),
    (_F.LEAVING, ev.Resize): (_F.LEAVING, _nothing),
    (_F.LEAVING, ev.GiveUp): (_F.QUITTING, _give_up),
    (_F.LEAVING, ev.Left): (_F.STOPPING, _stop),
    (_F.LEAVING, ev.Stop): (_F.LEAVING, _leave_now),
    (_F.LEAVING, ev.Quit): (_F.QUITTING, _quit_all),
    (_F.STOPPING, ev.Stop): (_F.STOPPING, _stop_again),
    (_F.STOPPING, ev.Quit): (_F.QUITTING, _quit_all),
    (_F.QUITTING, ev.Stop): (_F.QUITTING, _nothing),
    (_F.QUITTING, ev.Quit): (_F.QUITTING, _nothing),
}
for _state in (_F.STOPPING, _F.QUITTING):
    FLEET[_state, ev.Reload] = (_state, _too_late)
    FLEET[_state, ev.Resize] = (_state, _nothing)
for _state in (_F.NEW, _F.STARTING, _F.SERVING, _F.LEAVING, _F.STOPPING, _F.QUITTING):
    FLEET[_state, ev.Importable] = (_state, _hurry)
    FLEET[_state, ev.Tick] = (_state, _nothing)  # what is due runs after every event
    FLEET[_state, ev.Reopen] = (_state, _reopen)
