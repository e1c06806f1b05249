"""What happens to one worker: the effects, and the table of its states; pure, as the fleet that steps through it.

The theory. A worker's slot goes round a circle, one process after another, until it is told to stop:

                    Started           Ready
    VACANT ───────────────▶ BOOTING ────────▶ READY ─┐
       ▲                       │ │                   │ Exited
       │ Due        BootFailed │ │ Exited            │
       │                FAILED ◀─┘                   │
       │             Exited │    ▼                   │
       └──────────────── BACKOFF ◀───────────────────┘

    READY ─ Retire, Outdated ─▶ RETIRING ─ Relieved ─▶ DRAINING ─ Due ─▶ KILLED ─ Exited ─▶ GONE
        │              │  ▲                                       ▲
        └─── Silent ───┤  │ Beats                                 │
                       ▼  │                                       │
                      SILENT ─ Relieved, Due ─────────────────────┘

    Stop: READY, RETIRING, SILENT ─▶ CLOSING ─ Due ─▶ DRAINING ─ Due ─▶ KILLED
          other processes ─▶ DRAINING, without ─▶ GONE
    Quit: the same, but straight to DRAINING.  All three ─ Exited ─▶ GONE

* Every death leads to BACKOFF, without a delay for the first; so there is one way to a new process.
* FAILED is a worker whose fate is known while its process still is: nobody counts its end again.
* Renew leaves a worker READY, and marks it: when there is room the rollout makes it RETIRING, by Outdated.
* Outdated is a reload's word: RETIRING then, and READY again (Kept) when the new version cannot boot.
* Surplus: READY and BOOTING ─▶ DRAINING, BACKOFF ─▶ GONE: there are more than shall be. One that was READY drains
  without a deadline (`due` is None), as long as its streams and WebSockets take. Stop, Retire, Renew and a reload
  (Hurried) give it the deadline of any other drain.
* RETIRING and SILENT are on their way out: the fleet starts another worker in a slot of its own, and when that
  is ready it relieves one of them. What serves still is told to drain; what is silent would not hear it, and is
  killed, whatever worker is ready by then, after as long again as it was given to speak. When one of them ends by
  itself, the other worker is there or coming: GONE, no BACKOFF.
* A word (Ready, BootFailed, Retire, Renew) may cross with our signal, so the states after it hear and ignore it.
* VACANT lasts until the loop has answered Spawn: at once, or with preload when the template has.
* In CLOSING the arbiter's door is shut already; the worker takes those who were in it. A process that signals the
  whole process group or control group reaches workers too: one that ends in CLOSING is not replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from signal import SIGKILL, SIGQUIT, SIGTERM, Signals
from typing import TYPE_CHECKING, Any

from hostler.arbiter import actions as do
from hostler.arbiter import events as ev
from hostler.arbiter import rollout
from hostler.arbiter.actions import Action
from hostler.arbiter.backoff import delay
from hostler.arbiter.handle import WorkerHandle, WorkerState
from hostler.logs import DEBUG, ERROR, INFO, WARNING, facts
from hostler.proc.signals import LEAVE

if TYPE_CHECKING:
    from hostler.arbiter.fleet import Fleet

__all__ = ["APP_CODE", "BOOT_CODE", "WORKER", "how_it_ended"]

# Failed boots in a row, for each slot, after which nobody expects the next one to work.
BOOT_ATTEMPTS = 5
# A worker that ends within this many seconds after it was ready has died early (supervisord's startsecs).
EARLY = 1.0
# So many early deaths in a row may be accidents: whatever kills workers one after the other finds full strength again.
ACCIDENTS = 2
# What a worker gets beyond graceful_timeout: it names what it cuts, cancels tasks (0.5 s) and has ASGI applications
# shut down (1.5 s).
CUT_GRACE = 3.0
# From SIGQUIT to SIGKILL: time to flush the logs.
QUIT_GRACE = 1.0
# From a worker's last word to SIGKILL: the app's clean-up may hang.
FAILED_GRACE = 5.0

BOOT_CODE, APP_CODE = 3, 4  # exit codes, as in errors.py
# How a worker ends when it was told to: by itself (perhaps its boot had failed), or by our signal.
_EXPECTED_ENDS = (0, BOOT_CODE, APP_CODE, -SIGTERM, -SIGQUIT, -SIGKILL)

# --- Effects. `worker.state` is the new one already. ---


def _ignore(fleet: Fleet, worker: WorkerHandle, event: Any, now: float) -> list[Action]:
    return []


def _spawn(fleet: Fleet, worker: WorkerHandle, event: ev.Due, now: float) -> list[Action]:
    worker.is_successor = True
    worker.generation = fleet.generation
    return [do.Spawn(worker.slot)]


def _spawn_failed(fleet: Fleet, worker: WorkerHandle, event: ev.SpawnFailed, now: float) -> list[Action]:
    worker.streak += 1
    wait = delay(worker.streak + 1)  # never at once: the machine is out of something
    worker.due = now + wait
    return [do.Log(ERROR, f"worker cannot be forked {worker} {facts(reason=event.reason, next_try=f'{wait:g}s')}")]


def _started(fleet: Fleet, worker: WorkerHandle, event: ev.Started, now: float) -> list[Action]:
    worker.pid = event.pid
    worker.is_closed = worker.is_worn = False
    worker.reason = ""
    worker.due = now + fleet.timing.boot if fleet.timing.boot else None
    return [do.Log(DEBUG, f"worker boots {worker}")]


def _ready(fleet: Fleet, worker: WorkerHandle, event: ev.Ready, now: float) -> list[Action]:
    worker.ready_at = now
    worker.due = None
    worker.beat = worker.still = 0
    fleet.boot_failures = 0
    level = INFO if worker.is_successor else DEBUG
    actions: list[Action] = [do.Log(level, f"worker ready {worker}"), *rollout.prove(fleet, worker, now)]
    if fleet.is_starting():
        actions += fleet.step(ev.Opened(), now)
    return actions


def _boot_failed(fleet: Fleet, worker: WorkerHandle, event: ev.BootFailed, now: float) -> list[Action]:
    worker.due = now + FAILED_GRACE
    code = APP_CODE if event.is_app else BOOT_CODE
    if fleet.is_starting():
        return fleet.step(ev.GiveUp(code, event.text), now)
    return _count_failure(fleet, worker, code, event.text, now)


def _boot_timeout(fleet: Fleet, worker: WorkerHandle, event: ev.Due, now: float) -> list[Action]:
    text = f"worker killed; it was not ready in time {worker} boot_timeout={fleet.timing.boot:g}s"
    return [
        do.Signal(worker.pid, SIGKILL),
        *_count_failure(fleet, worker, BOOT_CODE, text, now),
    ]


def _died_booting(fleet: Fleet, worker: WorkerHandle, event: ev.Exited, now: float) -> list[Action]:
    text = f"worker died before it was ready {worker} {how_it_ended(event.code)}"
    actions = _count_failure(fleet, worker, BOOT_CODE, text, now)
    if worker.state is WorkerState.BACKOFF:  # and not given up
        actions += _await_restart(fleet, worker, event, now)
    else:
        worker.pid = 0
    return actions


def _count_failure(fleet: Fleet, worker: WorkerHandle, code: int, text: str, now: float) -> list[Action]:
    """Log a failed boot, its evidence only once; or give up, or end the reload that it belongs to."""
    if rollout.is_unproven(fleet, worker):
        return fleet.step(ev.ReloadFailed(text), now)
    worker.streak += 1
    fleet.boot_failures += 1
    is_hopeless = fleet.boot_failures >= BOOT_ATTEMPTS * fleet.size
    if fleet.is_up() and is_hopeless and not fleet.is_serving():
        return fleet.step(ev.GiveUp(code, f"{text}\ngiving up: no worker can boot"), now)
    is_news = text != fleet.last_failure or fleet.boot_failures == 1
    fleet.last_failure = text
    next_try = f"{delay(worker.streak):g}s"
    if is_news:
        said = facts(worker=worker.slot, next_try=next_try)
        return [do.Log(ERROR, text), do.Log(WARNING, f"worker boot failed {said}")]
    headline = text.partition("\n")[0]
    said = facts(worker=worker.slot, next_try=next_try, reason=headline)
    return [do.Log(ERROR, f"worker boot failed as before {said}")]


def _await_restart(fleet: Fleet, worker: WorkerHandle, event: ev.Exited, now: float) -> list[Action]:
    worker.pid = 0
    worker.due = now + delay(worker.streak)
    return []


def _died(fleet: Fleet, worker: WorkerHandle, event: ev.Exited, now: float) -> list[Action]:
    worker.streak = worker.streak + 1 if now - worker.ready_at < EARLY else 0
    wait = delay(worker.streak - ACCIDENTS)
    end = how_it_ended(event.code)
    text = f"worker died; a new one starts {worker} {end}" + (f" starts_in={wait:g}s" if wait else "")
    log = do.Log(WARNING, text)
    _count_restart(fleet, worker)
    worker.pid = 0
    worker.due = now + wait
    return [log]


def _closed(fleet: Fleet, worker: WorkerHandle, event: ev.Closed, now: float) -> list[Action]:
    worker.is_closed = True
    return []


def _become_outdated(fleet: Fleet, worker: WorkerHandle, event: ev.Outdated, now: float) -> list[Action]:
    worker.is_outdated = True
    worker.reason = worker.reason or "reload"
    return []


def _keep(fleet: Fleet, worker: WorkerHandle, event: ev.Kept, now: float) -> list[Action]:
    worker.is_outdated = False
    worker.reason = ""
    return []


def _retire_anyway(fleet: Fleet, worker: WorkerHandle, event: ev.Retire, now: float) -> list[Action]:
    worker.is_outdated = False  # it goes, whatever becomes of the reload
    return []


def _retire(fleet: Fleet, worker: WorkerHandle, event: ev.Retire, now: float) -> list[Action]:
    _note_haste(fleet, worker, now)
    worker.reason = worker.reason or "timeout"
    return [do.Log(WARNING, f"worker replaced {worker} {facts(reason=event.reason)}")]


def _wear_out(fleet: Fleet, worker: WorkerHandle, event: ev.Renew, now: float) -> list[Action]:
    if worker.is_worn:
        return []
    _note_haste(fleet, worker, now)
    worker.reason = worker.reason or "limit"
    worker.is_worn = True
    return [do.Log(INFO, f"worker replaced {worker} {facts(reason=event.reason)}")]


def _note_haste(fleet: Fleet, worker: WorkerHandle, now: float) -> None:
    """Who wants to go right after it was ready would do so for ever: its successors wait longer and longer."""
    fleet.hasty = fleet.hasty + 1 if now - worker.ready_at < EARLY else 0


def _fall_silent(fleet: Fleet, worker: WorkerHandle, event: ev.Silent, now: float) -> list[Action]:
    worker.due = now + fleet.timing.silence
    worker.reason = worker.reason or "timeout"
    return [do.Diagnose(worker.slot, worker.pid, fleet.timing.silence)]


def _speak_again(fleet: Fleet, worker: WorkerHandle, event: ev.Beats, now: float) -> list[Action]:
    worker.due = None
    return [do.Log(WARNING, f"worker runs again; it is replaced all the same {worker}")]


def _end_silent(fleet: Fleet, worker: WorkerHandle, event: ev.Relieved | ev.Due, now: float) -> list[Action]:
    _count_restart(fleet, worker)
    worker.due = None
    return [
        do.Log(WARNING, f"worker killed; it is silent still {worker}"),
        do.NameCut(worker.slot),
        do.Signal(worker.pid, SIGKILL),
    ]


def _died_leaving(fleet: Fleet, worker: WorkerHandle, event: ev.Exited, now: float) -> list[Action]:
    _count_restart(fleet, worker)
    text = f"worker died before it was replaced {worker} {how_it_ended(event.code)}"
    return [do.Log(WARNING, text), *_forget(fleet, worker, event, now)]


def _close(fleet: Fleet, worker: WorkerHandle, event: ev.Stop, now: float) -> list[Action]:
    worker.due = now + fleet.timing.handshakes
    return []


def _count_restart(fleet: Fleet, worker: WorkerHandle) -> None:
    """It is, or will be, followed by another one."""
    fleet.restarts[worker.reason or "died"] += 1


def _relieve(fleet: Fleet, worker: WorkerHandle, event: ev.Relieved, now: float) -> list[Action]:
    _count_restart(fleet, worker)
    return _drain(fleet, worker, event, now)


def _drain(fleet: Fleet, worker: WorkerHandle, event: Any, now: float) -> list[Action]:
    worker.due = now + fleet.timing.graceful + CUT_GRACE
    return [do.Signal(worker.pid, SIGTERM)]


def _let_go(fleet: Fleet, worker: WorkerHandle, event: ev.Surplus, now: float) -> list[Action]:
    """Nothing hurries: only a stop, a reload or a limit cuts what it serves."""
    worker.due = None
    return [do.Signal(worker.pid, LEAVE)]


def _hurry(fleet: Fleet, worker: WorkerHandle, event: Any, now: float) -> list[Action]:
    return _drain(fleet, worker, event, now) if worker.is_unhurried else []


def _quit(fleet: Fleet, worker: WorkerHandle, event: ev.Quit, now: float) -> list[Action]:
    worker.due = now + QUIT_GRACE
    return [do.Signal(worker.pid, SIGQUIT)]


def _cut(fleet: Fleet, worker: WorkerHandle, event: ev.Due, now: float) -> list[Action]:
    return [
        do.Log(WARNING, f"worker killed; it did not end in time {worker}"),
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
        log = [do.Log(WARNING, f"worker died while it was draining {worker} {how_it_ended(event.code)}")]
    return log + _forget(fleet, worker, event, now)


def how_it_ended(code: int) -> str:
    """An exit code as facts of a log line."""
    if code >= 0:
        return facts(exit_code=code)
    try:
        name = Signals(-code).name
    except ValueError:
        name = str(-code)
    return facts(signal=name, hint="kill -9, or the kernel for want of memory" if code == -SIGKILL else None)


_S = WorkerState

WORKER: dict[tuple[WorkerState, type], tuple[WorkerState, Callable[..., list[Action]]]] = {
    (_S.VACANT, ev.Started): (_S.BOOTING, _started),
    (_S.VACANT, ev.SpawnFailed): (_S.BACKOFF, _spawn_failed),
    (_S.VACANT, ev.Stop): (_S.GONE, _forget),
    (_S.VACANT, ev.Quit): (_S.GONE, _forget),
    (_S.BOOTING, ev.Ready): (_S.READY, _ready),
    (_S.BOOTING, ev.BootFailed): (_S.FAILED, _boot_failed),
    (_S.BOOTING, ev.Exited): (_S.BACKOFF, _died_booting),
    (_S.BOOTING, ev.Due): (_S.FAILED, _boot_timeout),
    (_S.BOOTING, ev.Surplus): (_S.DRAINING, _drain),
    (_S.BOOTING, ev.Hurried): (_S.DRAINING, _drain),
    (_S.BOOTING, ev.Stop): (_S.DRAINING, _drain),
    (_S.BOOTING, ev.Quit): (_S.DRAINING, _quit),
    (_S.READY, ev.Exited): (_S.BACKOFF, _died),
    (_S.READY, ev.Retire): (_S.RETIRING, _retire),
    (_S.READY, ev.Outdated): (_S.RETIRING, _become_outdated),
    (_S.READY, ev.Surplus): (_S.DRAINING, _let_go),
    (_S.READY, ev.Hurried): (_S.DRAINING, _drain),
    (_S.READY, ev.Silent): (_S.SILENT, _fall_silent),
    (_S.READY, ev.Stop): (_S.CLOSING, _close),
    (_S.READY, ev.Quit): (_S.DRAINING, _quit),
    (_S.RETIRING, ev.Retire): (_S.RETIRING, _retire_anyway),
    (_S.RETIRING, ev.Kept): (_S.READY, _keep),
    (_S.RETIRING, ev.Silent): (_S.SILENT, _fall_silent),
    (_S.RETIRING, ev.Relieved): (_S.DRAINING, _relieve),
    (_S.RETIRING, ev.Exited): (_S.GONE, _died_leaving),
    (_S.RETIRING, ev.Stop): (_S.CLOSING, _close),
    (_S.RETIRING, ev.Quit): (_S.DRAINING, _quit),
    (_S.SILENT, ev.Retire): (_S.SILENT, _ignore),
    (_S.SILENT, ev.Beats): (_S.RETIRING, _speak_again),
    (_S.SILENT, ev.Relieved): (_S.KILLED, _end_silent),
    (_S.SILENT, ev.Due): (_S.KILLED, _end_silent),
    (_S.SILENT, ev.Exited): (_S.GONE, _died_leaving),
    (_S.SILENT, ev.Stop): (_S.CLOSING, _close),
    (_S.SILENT, ev.Quit): (_S.DRAINING, _quit),
    (_S.FAILED, ev.Ready): (_S.FAILED, _ignore),
    (_S.FAILED, ev.BootFailed): (_S.FAILED, _ignore),
    (_S.FAILED, ev.Retire): (_S.FAILED, _ignore),
    (_S.FAILED, ev.Exited): (_S.BACKOFF, _await_restart),
    (_S.FAILED, ev.Due): (_S.FAILED, _kill),
    (_S.FAILED, ev.Stop): (_S.DRAINING, _drain),
    (_S.FAILED, ev.Quit): (_S.DRAINING, _quit),
    (_S.BACKOFF, ev.Due): (_S.VACANT, _spawn),
    (_S.BACKOFF, ev.Surplus): (_S.GONE, _forget),
    (_S.BACKOFF, ev.Stop): (_S.GONE, _forget),
    (_S.BACKOFF, ev.Quit): (_S.GONE, _forget),
    (_S.CLOSING, ev.Due): (_S.DRAINING, _drain),
    (_S.CLOSING, ev.Retire): (_S.CLOSING, _ignore),
    (_S.CLOSING, ev.Exited): (_S.GONE, _ended),
    (_S.CLOSING, ev.Quit): (_S.DRAINING, _quit),
    (_S.DRAINING, ev.Ready): (_S.DRAINING, _ignore),
    (_S.DRAINING, ev.BootFailed): (_S.DRAINING, _ignore),
    (_S.DRAINING, ev.Retire): (_S.DRAINING, _hurry),
    (_S.DRAINING, ev.Hurried): (_S.DRAINING, _hurry),
    (_S.DRAINING, ev.Exited): (_S.GONE, _ended),
    (_S.DRAINING, ev.Due): (_S.KILLED, _cut),
    (_S.DRAINING, ev.Stop): (_S.DRAINING, _hurry),
    (_S.DRAINING, ev.Quit): (_S.DRAINING, _quit),
    (_S.KILLED, ev.Ready): (_S.KILLED, _ignore),
    (_S.KILLED, ev.BootFailed): (_S.KILLED, _ignore),
    (_S.KILLED, ev.Retire): (_S.KILLED, _ignore),
    (_S.KILLED, ev.Exited): (_S.GONE, _ended),
    (_S.KILLED, ev.Stop): (_S.KILLED, _ignore),
    (_S.KILLED, ev.Quit): (_S.KILLED, _ignore),
}
WORKER[_S.READY, ev.Renew] = (_S.READY, _wear_out)
WORKER[_S.DRAINING, ev.Renew] = (_S.DRAINING, _hurry)
for _state in (_S.RETIRING, _S.SILENT, _S.FAILED, _S.CLOSING, _S.KILLED):
    WORKER[_state, ev.Renew] = (_state, _ignore)
# A worker that was told to drain, by us or by a signal from outside.
for _state in (_S.READY, _S.RETIRING, _S.SILENT, _S.CLOSING, _S.DRAINING, _S.KILLED):
    WORKER[_state, ev.Closed] = (_state, _closed)
