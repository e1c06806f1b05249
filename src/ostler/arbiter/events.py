"""What can happen to the fleet. Events about a worker name its slot until it has a pid, then its pid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = [
    "Beats", "BootFailed", "Due", "Event", "Exited", "GiveUp", "Look", "Opened", "Quit", "Ready", "Relieved",
    "Reopen", "Retire", "Silent", "SpawnFailed", "Start", "Started", "Stop", "Tick", "WorkerEvent",
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


class BootFailed(NamedTuple):
    """A worker says that it cannot boot, and ends."""

    pid: int
    is_app: bool  # True: the app does not load; False: anything else
    text: str  # for people: what, why, a traceback, what to do


class Retire(NamedTuple):
    """A worker says that it should be replaced, and goes on until it is."""

    pid: int
    reason: str


class Exited(NamedTuple):
    """A worker's process has ended."""

    pid: int
    code: int  # minus the signal that killed it


class Stop(NamedTuple):
    """End gracefully: serve what the kernel has accepted, then go. Asked twice: go now."""

    reason: str


class Quit(NamedTuple):
    """End now."""

    reason: str


class Reopen(NamedTuple):
    """Open the log files again, everywhere."""


class Tick(NamedTuple):
    """The deadline that `Fleet.deadline` named has passed."""


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


class Opened(NamedTuple):
    """From a worker's row to the fleet: the first worker is ready."""


class GiveUp(NamedTuple):
    """From a worker's row to the fleet: there is no use in trying on."""

    code: int
    text: str


Event = Start | Started | SpawnFailed | Ready | BootFailed | Retire | Exited | Look | Stop | Quit | Reopen | Tick
WorkerEvent = (
    Started | SpawnFailed | Ready | BootFailed | Retire | Exited | Stop | Quit | Due | Silent | Beats | Relieved
)
