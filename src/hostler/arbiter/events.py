"""What can happen to the fleet. Events about a worker name its slot until it has a pid, then its pid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from hostler.arbiter.timing import Timing

__all__ = [
    "Beats", "BootFailed", "Closed", "Due", "Event", "Exited", "GiveUp", "Hurried", "Importable", "Kept", "Left",
    "Look", "Opened", "Outdated", "Quit", "Ready", "Relieved", "Reload", "ReloadFailed", "Renew", "Reopen", "Resize",
    "Retire", "Silent", "SpawnFailed", "Start", "Started", "Stop", "Surplus", "Tick", "WorkerEvent",
]  # fmt: skip


class Start(NamedTuple):
    """The listeners are open: begin."""


class Started(NamedTuple):
    """A process was forked for a slot."""

    slot: int
    pid: int


class SpawnFailed(NamedTuple):
    """No process could be forked for a slot."""

    slot: int
    reason: str


class Ready(NamedTuple):
    """A worker says that it accepts connections."""

    pid: int
    about: str = ""  # what it serves: see worker/about.py


class BootFailed(NamedTuple):
    """A worker says that it cannot boot, and ends."""

    pid: int
    is_app: bool  # True: the app does not load; False: anything else
    text: str  # for people: what, why, a traceback, what to do


class Retire(NamedTuple):
    """A worker says that it should be replaced, and goes on until it is."""

    pid: int
    reason: str


class Renew(NamedTuple):
    """A worker says that it has reached a limit that was set: to be replaced when there is room; nothing is wrong."""

    pid: int
    reason: str


class Closed(NamedTuple):
    """A worker that drains says that it accepts no more connections."""

    pid: int


class Exited(NamedTuple):
    """A worker's process has ended."""

    pid: int
    code: int  # minus the signal that killed it


class Stop(NamedTuple):
    """End gracefully: serve what the kernel has accepted, then go. Asked twice: go now."""

    reason: str
    is_succeeded: bool = False  # another server listens on the same sockets: the door stays open


class Quit(NamedTuple):
    """End now."""

    reason: str


class Reload(NamedTuple):
    """The configuration was read anew: replace every worker, the replacement first."""

    reason: str
    size: int  # how many shall serve
    timing: Timing
    batch: int = 1  # how many are replaced at a time
    is_urgent: bool = False  # nobody wants the old version: requests rather wait for the new one


class Resize(NamedTuple):
    """Have so many workers more (or fewer, below 0)."""

    reason: str
    by: int


class Reopen(NamedTuple):
    """Open the log files again, everywhere."""


class Tick(NamedTuple):
    """The deadline that `Fleet.deadline` named has passed."""


class Importable(NamedTuple):
    """What workers are forked from is there again: those that wait for their next try need not."""


class Look(NamedTuple):
    """What the action of the same name has read."""

    beats: Mapping[int, int]  # pid -> a number that changes whenever the worker has run Python


class Due(NamedTuple):
    """From the fleet to one worker's row: its own deadline has passed."""


class Silent(NamedTuple):
    """From the fleet to one worker's row: its heart has stood still for too many looks."""


class Beats(NamedTuple):
    """From the fleet to a silent worker's row: its heart beats again."""


class Relieved(NamedTuple):
    """From the fleet to one worker's row: another one serves in its place."""


class Outdated(NamedTuple):
    """From the rollout to one worker's row: a newer version is to take its place."""


class Kept(NamedTuple):
    """From the rollout to an outdated worker's row: the newer version cannot serve; stay."""


class Hurried(NamedTuple):
    """From the fleet to one worker's row: leave within graceful_timeout, even if it leaves without a deadline."""


class Surplus(NamedTuple):
    """From the fleet to one worker's row: there are more than shall be."""


class Opened(NamedTuple):
    """From a worker's row to the fleet: the first worker is ready."""


class GiveUp(NamedTuple):
    """From a worker's row, or a template's end, to the fleet: there is no use in trying on."""

    code: int
    text: str


class Left(NamedTuple):
    """From the fleet to itself: balancers have had their time."""

    reason: str
    is_succeeded: bool = False


class ReloadFailed(NamedTuple):
    """From a worker's row to the fleet: the first worker of the new version cannot boot."""

    text: str


Event = (
    Start | Started | SpawnFailed | Ready | BootFailed | Retire | Renew | Closed | Exited | Look | Reload | Resize
    | Stop | Quit | Reopen | Tick | GiveUp | Importable
)  # fmt: skip
WorkerEvent = (
    Started | SpawnFailed | Ready | BootFailed | Retire | Renew | Closed | Exited | Stop | Quit | Due | Silent | Beats
    | Relieved | Outdated | Kept | Hurried | Surplus
)  # fmt: skip
