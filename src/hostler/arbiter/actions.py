"""What the fleet asks the arbiter's loop to do."""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "Action", "Announce", "CloseListeners", "Commit", "Diagnose", "Exit", "LeaveListeners", "Log", "Look", "NameCut",
    "RefuseNewcomers", "ReloadEnded", "ReopenLogs", "Restore", "Signal", "Spawn", "Withdraw",
]  # fmt: skip


class Spawn(NamedTuple):
    """Fork a worker for a slot; the answer is Started or SpawnFailed."""

    slot: int


class Signal(NamedTuple):
    """Send a signal to a worker."""

    pid: int
    number: int


class Log(NamedTuple):
    """Write to the error log."""

    level: int
    text: str


class Announce(NamedTuple):
    """Say where we listen: a process answers there now."""


class NameCut(NamedTuple):
    """Log the requests that a worker was running, as the scoreboard has them: it is about to be killed."""

    slot: int


class Look(NamedTuple):
    """Read the heartbeats of all workers; the answer is the event of the same name."""


class Diagnose(NamedTuple):
    """Find out why a worker runs no Python any more, and write it to the error log."""

    slot: int
    pid: int
    silence: float  # seconds since it was last heard of, at least


class Withdraw(NamedTuple):
    """Have /readyz say that we are about to stop."""


class RefuseNewcomers(NamedTuple):
    """Let no new connection into the listeners, keep what is queued there."""


class CloseListeners(NamedTuple):
    """Close the arbiter's own descriptors of the listeners; the workers have theirs."""


class LeaveListeners(NamedTuple):
    """The same, where a successor listens on: it has the files of unix sockets, too."""


class Commit(NamedTuple):
    """The new version serves: let go of what only the old one needed."""


class Restore(NamedTuple):
    """The new version cannot serve: go back to the configuration before it."""


class ReloadEnded(NamedTuple):
    """Tell those who wait for it how the reload went."""

    is_done: bool
    text: str


class ReopenLogs(NamedTuple):
    """Open the log files of this process again."""


class Exit(NamedTuple):
    """The end of the arbiter."""

    code: int


Action = (
    Spawn | Signal | Log | Announce | NameCut | Look | Diagnose | RefuseNewcomers | CloseListeners | ReopenLogs | Commit
    | Restore | ReloadEnded | Withdraw | LeaveListeners | Exit
)  # fmt: skip
