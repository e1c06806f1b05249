"""The arbiter's view of one worker: a slot of the scoreboard, and whichever process fills it."""

from __future__ import annotations

from enum import Enum

__all__ = ["WorkerHandle", "WorkerState"]


class WorkerState(Enum):
    """How far a slot's worker is; what leads from one to the next stands in life.py."""

    VACANT = "vacant"  # no process; one was asked for
    BOOTING = "booting"  # forked, not ready yet
    READY = "ready"  # accepts connections
    FAILED = "failed"  # cannot boot, and is about to end
    CLOSING = "closing"  # serves on for the moment that handshakes take, then is told to end
    DRAINING = "draining"  # told to end
    KILLED = "killed"  # sent SIGKILL
    BACKOFF = "backoff"  # no process; the next one comes at `due`
    GONE = "gone"  # no process, and none will come


class WorkerHandle:
    """One slot. `pid` is 0 in the states without a process."""

    __slots__ = ("due", "pid", "ready_at", "slot", "starts", "state", "streak")

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.state = WorkerState.VACANT
        self.pid = 0
        self.due: float | None = None  # when the fleet has to look at it again
        self.ready_at = 0.0
        self.starts = 0  # processes this slot has had
        self.streak = 0  # early deaths in a row: before it was ready, or right after

    def __str__(self) -> str:
        return f"worker {self.slot} (pid {self.pid})" if self.pid else f"worker {self.slot}"
