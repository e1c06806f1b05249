"""The arbiter's view of one worker: a slot of the scoreboard, and whichever process fills it."""

from __future__ import annotations

from enum import Enum

from hostler.logs import facts

__all__ = ["WorkerHandle", "WorkerState"]


class WorkerState(Enum):
    """How far a slot's worker is; what leads from one to the next stands in life.py."""

    VACANT = "vacant"  # no process; one was asked for
    BOOTING = "booting"  # forked, not ready yet
    READY = "ready"  # accepts connections
    RETIRING = "retiring"  # serves until another one does in its place
    SILENT = "silent"  # has run no Python for too long; another one is to take its place
    FAILED = "failed"  # cannot boot, and is about to end
    CLOSING = "closing"  # serves on for the moment that handshakes take, then is told to end
    DRAINING = "draining"  # told to end
    KILLED = "killed"  # sent SIGKILL
    BACKOFF = "backoff"  # no process; the next one comes at `due`
    GONE = "gone"  # no process, and none will come


class WorkerHandle:
    """One slot. `pid` is 0 in the states without a process."""

    __slots__ = (
        "beat", "due", "generation", "is_closed", "is_outdated", "is_successor", "is_worn", "pid", "ready_at", "reason",
        "slot", "state", "still", "streak",
    )  # fmt: skip

    def __init__(self, slot: int, state: WorkerState = WorkerState.VACANT, due: float | None = None) -> None:
        self.slot = slot
        self.state = state
        self.pid = 0
        self.due = due  # when the fleet has to look at it again
        self.ready_at = 0.0
        self.generation = 0  # which reload it came with
        self.is_closed = False  # accepts no more connections
        self.is_outdated = False  # RETIRING because of a reload, and for nothing else
        self.is_worn = False  # has reached a limit: to be replaced when there is room
        self.reason = ""  # why it is to be replaced: the first one counts
        self.is_successor = False  # whether a process went before this one: then it is told when it is ready
        self.streak = 0  # early deaths in a row: before it was ready, or right after
        self.beat = 0  # the heartbeat at the latest look
        self.still = 0  # looks in a row at which it was the same as before

    @property
    def is_unhurried(self) -> bool:
        """Whether it drains without a deadline."""
        return self.state is WorkerState.DRAINING and self.due is None

    def look(self, beat: int) -> None:
        """Take note of its heartbeat."""
        self.still = self.still + 1 if beat == self.beat else 0
        self.beat = beat

    def __str__(self) -> str:
        """As facts of a log line."""
        return facts(worker=self.slot, pid=self.pid or None)
