"""What dead workers have left in their inboxes goes to those that live; a short-lived child moves it.

A packet holds a descriptor, and any worker can send packets with any descriptor. To close one may take as long as its
owner likes (a socket that lingers, a file of a file system in user space), so the arbiter never has one itself.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hostler.proc.fork import fork
from hostler.proc.inboxes import Inboxes
from hostler.proc.reap import has_ended

if TYPE_CHECKING:
    from hostler.arbiter.arbiter import Arbiter

__all__ = ["Forwarding"]

# Seconds that a child may take, and that the last one may take at the arbiter's end.
_WITHIN = 5.0
_LAST_WITHIN = 1.0


class Forwarding:
    """Does nothing where workers have no inboxes."""

    def __init__(self, arbiter: Arbiter, inboxes: Inboxes | None) -> None:
        self._arbiter = arbiter
        self._inboxes = inboxes
        self._pid = 0  # of the child that moves packets now
        self._again = False  # whether there may be more when it has ended

    def begin(self) -> None:
        """Have the packets moved that are there for slots without a worker, if there are any."""
        arbiter, inboxes = self._arbiter, self._inboxes
        if inboxes is None:
            return
        living = set(arbiter.processes.slots.values())
        left = sorted(inboxes.waiting() - living)
        heirs = [slot for slot in living if arbiter.board.takes(slot)]
        if not left or not heirs:
            return
        if self._pid:
            self._again = True
            return
        try:
            self._pid = self._fork(lambda: self._move(inboxes, left, heirs), _WITHIN)
        except OSError as error:  # the next worker that is ready, or ends, is the next try
            arbiter.logs.error("no process to take connections over from a dead worker", reason=error.strerror)

    def on_exit(self, pid: int) -> bool:
        """Whether this was the child's end."""
        if not self._pid or pid != self._pid:
            return False
        self._pid = 0
        if self._again:
            self._again = False
            self.begin()
        return True

    def finish(self) -> None:
        """At the arbiter's end: close what is left, and say how much that is."""
        inboxes = self._inboxes
        if inboxes is None:
            return
        if inboxes.waiting():
            try:
                pid = self._fork(lambda: self._close(inboxes), _LAST_WITHIN)
            except OSError:
                pid = 0
            if not pid or not has_ended(pid, 2 * _LAST_WITHIN) or inboxes.waiting():
                inboxes.leave_to_the_end()  # what has kept the child would keep us
        inboxes.let_go()

    def _fork(self, main: Callable[[], int], seconds: float) -> int:
        def limited() -> int:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, seconds)
            return main()

        return fork(self._arbiter.leave, limited, self._arbiter.handlers)

    def _move(self, inboxes: Inboxes, left: Sequence[int], heirs: Sequence[int]) -> int:
        moved = sum(inboxes.forward(slot, heirs) for slot in left)
        if moved:
            self._arbiter.logs.info("connections moved; a dead worker had not taken them yet", connections=moved)
        return 0

    def _close(self, inboxes: Inboxes) -> int:
        if left := inboxes.close():
            text = "connections closed; no worker was left to take them over"
            self._arbiter.logs.warning(text, connections=left)
        return 0
