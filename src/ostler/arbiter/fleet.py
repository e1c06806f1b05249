"""What the arbiter does when something happens to its workers: pure, so it can be tested without processes.

`Fleet.on(event, now)` returns the actions; the time is an argument, and nothing outside is read or changed.
An event that has no row for the present state is impossible: it raises, and changes nothing.

The theory. A worker's slot goes round a circle, one process after another, until it is told to stop:

                    Started           Ready
    VACANT ───────────────▶ BOOTING ────────▶ READY ─┐
       ▲                       │ │                   │ Exited
       │ Due        BootFailed │ │ Exited            │
       │                FAILED ◀─┘                   │
       │             Exited │    ▼                   │
       └──────────────── BACKOFF ◀───────────────────┘

    Stop: READY ─▶ CLOSING ─ Due ─▶ DRAINING ─ Due ─▶ KILLED, other processes ─▶ DRAINING, without ─▶ GONE
    Quit: the same, but straight to DRAINING.  All three ─ Exited ─▶ GONE

* Every death leads to BACKOFF, with a delay of 0 for the first; so there is one way to a new process.
* FAILED is a worker whose fate is known while its process still is: nobody counts its end again.
* A word (Ready, BootFailed) may cross with our signal, so DRAINING, KILLED and FAILED hear and ignore it.
* VACANT is passed within one step: the loop answers Spawn before it brings another event.
* In CLOSING the arbiter's door is shut already; the worker takes those who were in it. Whoever signals the
  whole process group or control group reaches workers too: one that ends in CLOSING is not replaced.

The fleet as a whole:

    NEW ─ Start ─▶ STARTING ─ Opened ─▶ SERVING ─ Stop ─▶ STOPPING ─▶ ENDED
                      │                    │                 │ Stop, Quit
                      └── GiveUp, Quit ────┴─────────────▶ QUITTING ─▶ ENDED

* Opened: the first worker ever is ready. Before it, a worker that says why it cannot boot ends the start:
  trying again would say the same again. One that dies without a word (a crash in a C module, the memory
  killer) is tried again, `BOOT_ATTEMPTS` times for each slot.
* After it, workers that cannot boot (files changed under us) are tried for as long as another one serves.
  When none does, `BOOT_ATTEMPTS` counts again: a closed port is better than one that never answers.
* Stop in STOPPING means "I am in a hurry": Quit. But some senders reach us twice at once, directly and as
  a member of the group (timeout(1), Ctrl-C under make), so it counts only after a moment.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from signal import SIGKILL, SIGQUIT, SIGTERM, SIGUSR1, Signals
from typing import Any, NamedTuple

from ostler.arbiter import actions as do
from ostler.arbiter import events as ev
from ostler.arbiter.actions import Action
from ostler.arbiter.backoff import delay
from ostler.arbiter.handle import WorkerHandle, WorkerState
from ostler.logs import DEBUG, ERROR, INFO, WARNING

__all__ = ["Fleet", "FleetState", "ImpossibleEvent", "Timing"]

# Failed boots in a row, for each slot, after which nobody expects the next one to work.
BOOT_ATTEMPTS = 5
# A worker that ends within this many seconds after it was ready has died early (supervisord's startsecs).
EARLY = 1.0
# What a worker gets beyond graceful_timeout, to name the requests that it cuts.
CUT_GRACE = 1.0
# From SIGQUIT to SIGKILL: time to flush the logs.
QUIT_GRACE = 1.0
# Stop and Stop again within this time is one Stop.
ONE_STOP = 0.5
# From a worker's last word to SIGKILL: the app's clean-up may hang.
FAILED_GRACE = 5.0

BOOT_CODE, APP_CODE = 3, 4  # exit codes, as in errors.py
# How a worker ends when it was told to: by itself (perhaps its boot had failed), or by our signal.
_EXPECTED_ENDS = (0, BOOT_CODE, APP_CODE, -SIGTERM, -SIGQUIT, -SIGKILL)


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


class ImpossibleEvent(Exception):
    """An event that cannot happen in the present state: a fault of whoever sent it."""


class Fleet:
    """The workers and the state of the whole."""

    def __init__(self, slots: int, timing: Timing) -> None:
        self.state = FleetState.NEW
        self.workers = [WorkerHandle(slot) for slot in range(slots)]
        self.timing = timing
        self.exit_code = 0
        self.boot_failures = 0  # in a row, over all slots: a worker that gets ready ends the row
        self.last_failure = ""  # what the latest of them said
        self.stopping_since = 0.0

    def on(self, event: ev.Event, now: float) -> list[Action]:
        """Take an event and return what to do about it, in this order."""
        worker = self._addressee(event)
        actions = self._step(event, now) if worker is None else self._step_worker(worker, event, now)
        return actions + self._run_due(now) + self._end_if_gone()

    def deadline(self) -> float | None:
        """When to send Tick, if nothing else happens before."""
        return min((worker.due for worker in self.workers if worker.due is not None), default=None)

    def is_serving(self) -> bool:
        """Whether some worker accepts connections."""
        return any(worker.state is WorkerState.READY for worker in self.workers)

    def _addressee(self, event: ev.Event) -> WorkerHandle | None:
        """The worker an event is about; None: the fleet."""
        if isinstance(event, ev.Started | ev.SpawnFailed):
            found = [worker for worker in self.workers if worker.slot == event.slot]
        elif isinstance(event, ev.Ready | ev.BootFailed | ev.Exited):
            found = [worker for worker in self.workers if worker.pid == event.pid != 0]
        else:
            return None
        if not found:
            raise ImpossibleEvent(f"{event!r}: there is no such worker")
        return found[0]

    def _step(self, event: ev.Event | ev.Due | ev.Opened | ev.GiveUp, now: float) -> list[Action]:
        rule = FLEET.get((self.state, type(event)))
        if rule is None:
            raise ImpossibleEvent(f"{event!r} while the fleet is {self.state.value}")
        self.state, effect = rule
        return effect(self, event, now)

    def _step_worker(self, worker: WorkerHandle, event: ev.Event | ev.Due, now: float) -> list[Action]:
        rule = WORKER.get((worker.state, type(event)))
        if rule is None:
            raise ImpossibleEvent(f"{event!r} while {worker} is {worker.state.value}")
        worker.state, effect = rule
        return effect(self, worker, event, now)

    def _tell_workers(self, event: ev.Stop | ev.Quit, now: float) -> list[Action]:
        return [action for worker in self.workers for action in self._step_worker(worker, event, now)]

    def _run_due(self, now: float) -> list[Action]:
        actions: list[Action] = []
        for worker in self.workers:
            if worker.due is not None and worker.due <= now:
                worker.due = None
                actions += self._step_worker(worker, ev.Due(), now)
        return actions

    def _end_if_gone(self) -> list[Action]:
        is_ending = self.state in (FleetState.STOPPING, FleetState.QUITTING)
        if not is_ending or any(worker.state is not WorkerState.GONE for worker in self.workers):
            return []
        self.state = FleetState.ENDED
        return [do.Log(INFO, "stopped"), do.Exit(self.exit_code)]


# --- What happens to a worker's slot. `worker.state` is the new one already. ---


def _ignore(fleet: Fleet, worker: WorkerHandle, event: Any, now: float) -> list[Action]:
    return []


def _spawn(fleet: Fleet, worker: WorkerHandle, event: ev.Due, now: float) -> list[Action]:
    return [do.Spawn(worker.slot)]


def _spawn_failed(fleet: Fleet, worker: WorkerHandle, event: ev.SpawnFailed, now: float) -> list[Action]:
    worker.streak += 1
    wait = delay(worker.streak + 1)  # never at once: the machine is out of something
    worker.due = now + wait
    return [do.Log(ERROR, f"{worker} cannot be forked: {event.reason}; next try in {wait:g}s")]


def _started(fleet: Fleet, worker: WorkerHandle, event: ev.Started, now: float) -> list[Action]:
    worker.pid = event.pid
    worker.starts += 1
    worker.due = now + fleet.timing.boot if fleet.timing.boot else None
    return [do.Log(DEBUG, f"{worker} boots")]


def _ready(fleet: Fleet, worker: WorkerHandle, event: ev.Ready, now: float) -> list[Action]:
    worker.ready_at = now
    worker.due = None
    fleet.boot_failures = 0
    level = DEBUG if worker.starts == 1 else INFO
    actions: list[Action] = [do.Log(level, f"{worker} is ready")]
    if fleet.state is FleetState.STARTING:
        actions += fleet._step(ev.Opened(), now)
    return actions


def _boot_failed(fleet: Fleet, worker: WorkerHandle, event: ev.BootFailed, now: float) -> list[Action]:
    worker.due = now + FAILED_GRACE
    code = APP_CODE if event.is_app else BOOT_CODE
    if fleet.state is FleetState.STARTING:
        return fleet._step(ev.GiveUp(code, event.text), now)
    return _count_failure(fleet, worker, code, event.text, now)


def _boot_timeout(fleet: Fleet, worker: WorkerHandle, event: ev.Due, now: float) -> list[Action]:
    text = f"{worker} was not ready within boot_timeout ({fleet.timing.boot:g}s): killed"
    return [
        do.Signal(worker.pid, SIGKILL),
        *_count_failure(fleet, worker, BOOT_CODE, text, now),
    ]


def _died_booting(fleet: Fleet, worker: WorkerHandle, event: ev.Exited, now: float) -> list[Action]:
    text = f"{worker} {_how(event.code)} before it was ready"
    actions = _count_failure(fleet, worker, BOOT_CODE, text, now)
    if worker.state is WorkerState.BACKOFF:  # and not given up
        actions += _await_restart(fleet, worker, event, now)
    else:
        worker.pid = 0
    return actions


def _count_failure(fleet: Fleet, worker: WorkerHandle, code: int, text: str, now: float) -> list[Action]:
    """Log a failed boot, its evidence only once; or give up."""
    worker.streak += 1
    fleet.boot_failures += 1
    is_trying = fleet.state in (FleetState.STARTING, FleetState.SERVING)
    is_hopeless = fleet.boot_failures >= BOOT_ATTEMPTS * len(fleet.workers)
    if is_trying and is_hopeless and not fleet.is_serving():
        return fleet._step(ev.GiveUp(code, f"{text}\ngiving up: no worker can boot"), now)
    is_news = text != fleet.last_failure or fleet.boot_failures == 1
    fleet.last_failure = text
    wait = f"next try in {delay(worker.streak):g}s"
    if is_news:
        return [do.Log(ERROR, text), do.Log(WARNING, f"worker {worker.slot}: {wait}")]
    headline = text.partition("\n")[0]
    return [do.Log(ERROR, f"{headline} (as before); {wait}")]


def _await_restart(fleet: Fleet, worker: WorkerHandle, event: ev.Exited, now: float) -> list[Action]:
    worker.pid = 0
    worker.due = now + delay(worker.streak)
    return []


def _died(fleet: Fleet, worker: WorkerHandle, event: ev.Exited, now: float) -> list[Action]:
    worker.streak = worker.streak + 1 if now - worker.ready_at < EARLY else 0
    wait = delay(worker.streak)
    text = f"{worker} {_how(event.code)}; a new one starts" + (f" in {wait:g}s" if wait else "")
    return [do.Log(WARNING, text), *_await_restart(fleet, worker, event, now)]


def _close(fleet: Fleet, worker: WorkerHandle, event: ev.Stop, now: float) -> list[Action]:
    worker.due = now + fleet.timing.handshakes
    return []


def _drain(fleet: Fleet, worker: WorkerHandle, event: ev.Stop | ev.Due, now: float) -> list[Action]:
    worker.due = now + fleet.timing.graceful + CUT_GRACE
    return [do.Signal(worker.pid, SIGTERM)]


def _quit(fleet: Fleet, worker: WorkerHandle, event: ev.Quit, now: float) -> list[Action]:
    worker.due = now + QUIT_GRACE
    return [do.Signal(worker.pid, SIGQUIT)]


def _cut(fleet: Fleet, worker: WorkerHandle, event: ev.Due, now: float) -> list[Action]:
    return [
        do.Log(WARNING, f"{worker} did not end in time: killed"),
        do.NameCut(worker.slot),
        do.Signal(worker.pid, SIGKILL),
    ]


def _kill(fleet: Fleet, worker: WorkerHandle, event: ev.Due, now: float) -> list[Action]:
    return [do.Signal(worker.pid, SIGKILL)]


def _forget(fleet: Fleet, worker: WorkerHandle, event: Any, now: float) -> list[Action]:
    worker.pid = 0
    worker.due = None
    return []


def _ended(fleet: Fleet, worker: WorkerHandle, event: ev.Exited, now: float) -> list[Action]:
    log: list[Action] = []
    if event.code not in _EXPECTED_ENDS:
        log = [do.Log(WARNING, f"{worker} {_how(event.code)} while it was draining")]
    return log + _forget(fleet, worker, event, now)


def _how(code: int) -> str:
    """Words for an exit code."""
    if code == 0:
        return "has ended"
    if code > 0:
        return f"ended with exit code {code}"
    try:
        name = Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (kill -9, or the kernel for want of memory)" if code == -SIGKILL else ""
    return f"was killed by {name}{hint}"


# --- What happens to the fleet. `fleet.state` is the new one already. ---


def _nothing(fleet: Fleet, event: Any, now: float) -> list[Action]:
    return []


def _start(fleet: Fleet, event: ev.Start, now: float) -> list[Action]:
    return [do.Spawn(worker.slot) for worker in fleet.workers]


def _announce(fleet: Fleet, event: ev.Opened, now: float) -> list[Action]:
    return [do.Announce()]


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
    return fleet._step(ev.Quit(f"{event.reason} again"), now)


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


_S, _F = WorkerState, FleetState

WORKER: dict[tuple[WorkerState, type], tuple[WorkerState, Callable[..., list[Action]]]] = {
    (_S.VACANT, ev.Started): (_S.BOOTING, _started),
    (_S.VACANT, ev.SpawnFailed): (_S.BACKOFF, _spawn_failed),
    (_S.VACANT, ev.Stop): (_S.GONE, _forget),
    (_S.VACANT, ev.Quit): (_S.GONE, _forget),
    (_S.BOOTING, ev.Ready): (_S.READY, _ready),
    (_S.BOOTING, ev.BootFailed): (_S.FAILED, _boot_failed),
    (_S.BOOTING, ev.Exited): (_S.BACKOFF, _died_booting),
    (_S.BOOTING, ev.Due): (_S.FAILED, _boot_timeout),
    (_S.BOOTING, ev.Stop): (_S.DRAINING, _drain),
    (_S.BOOTING, ev.Quit): (_S.DRAINING, _quit),
    (_S.READY, ev.Exited): (_S.BACKOFF, _died),
    (_S.READY, ev.Stop): (_S.CLOSING, _close),
    (_S.READY, ev.Quit): (_S.DRAINING, _quit),
    (_S.FAILED, ev.Ready): (_S.FAILED, _ignore),
    (_S.FAILED, ev.BootFailed): (_S.FAILED, _ignore),
    (_S.FAILED, ev.Exited): (_S.BACKOFF, _await_restart),
    (_S.FAILED, ev.Due): (_S.FAILED, _kill),
    (_S.FAILED, ev.Stop): (_S.DRAINING, _drain),
    (_S.FAILED, ev.Quit): (_S.DRAINING, _quit),
    (_S.BACKOFF, ev.Due): (_S.VACANT, _spawn),
    (_S.BACKOFF, ev.Stop): (_S.GONE, _forget),
    (_S.BACKOFF, ev.Quit): (_S.GONE, _forget),
    (_S.CLOSING, ev.Due): (_S.DRAINING, _drain),
    (_S.CLOSING, ev.Exited): (_S.GONE, _ended),
    (_S.CLOSING, ev.Quit): (_S.DRAINING, _quit),
    (_S.DRAINING, ev.Ready): (_S.DRAINING, _ignore),
    (_S.DRAINING, ev.BootFailed): (_S.DRAINING, _ignore),
    (_S.DRAINING, ev.Exited): (_S.GONE, _ended),
    (_S.DRAINING, ev.Due): (_S.KILLED, _cut),
    (_S.DRAINING, ev.Quit): (_S.DRAINING, _quit),
    (_S.KILLED, ev.Ready): (_S.KILLED, _ignore),
    (_S.KILLED, ev.BootFailed): (_S.KILLED, _ignore),
    (_S.KILLED, ev.Exited): (_S.GONE, _ended),
    (_S.KILLED, ev.Quit): (_S.KILLED, _ignore),
    (_S.GONE, ev.Quit): (_S.GONE, _ignore),
}

FLEET: dict[tuple[FleetState, type], tuple[FleetState, Callable[..., list[Action]]]] = {
    (_F.NEW, ev.Start): (_F.STARTING, _start),
    (_F.STARTING, ev.Opened): (_F.SERVING, _announce),
    (_F.STARTING, ev.GiveUp): (_F.QUITTING, _give_up),
    (_F.STARTING, ev.Stop): (_F.STOPPING, _stop),
    (_F.STARTING, ev.Quit): (_F.QUITTING, _quit_all),
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
