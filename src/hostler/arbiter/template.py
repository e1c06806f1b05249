"""The arbiter's view of a template: the process that has imported the app, and that workers are forked from (preload).

The arbiter itself never imports the app, and a reload must import it anew: so each version has a template of its own.
A worker is the template's grandchild, whose parent ends at once: so it becomes the arbiter's own child, which sees its
end and its exit code as it sees those of any other worker.

    importing ─ "ready" ─▶ ready ─ retired ─▶ its workers end ─▶ closed ─▶ ended
        └── failed, retired, too late ─▶ killed

A retired template lives as long as its workers: the app may have started processes that they use, such as a
multiprocessing manager, and these end with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from hostler.arbiter.quota import Quota
from hostler.proc.channel import Channel
from hostler.proc.dump import Dump

__all__ = ["Fork", "Template"]

# A fork takes milliseconds, of a very large process a second. The arbiter does not wait for it.
_FORKED_WITHIN = 10.0
# Max forks that are asked for before the first is answered: what the kernel queues is bounded.
_AT_ONCE = 8


class Fork:
    """A worker that a template is to fork: what the arbiter keeps of it, and what the worker gets."""

    def __init__(self, slot: int, age: int, ours: Channel, dump: Dump, forked: Callable[[int], None]) -> None:
        self.slot = slot
        self.age = age  # its number among all workers
        self.ours = ours  # our end of its channel
        self.dump = dump
        self.forked = forked  # is told the pid
        self.theirs: Channel | None = None  # its end, until it is asked for
        self.listeners: Sequence[int] = ()  # descriptors
        self.since = 0  # the `moment` when it was asked for
        self.due = 0.0  # when the answer must be there, on the monotonic clock

    def close(self) -> None:
        """It will not be."""
        self.ours.close()
        self.dump.close()
        if self.theirs is not None:
            self.theirs.close()


class Template:
    """One template process. `is_ready`: it has the app, and workers may be forked from it."""

    def __init__(self, pid: int, channel: Channel, now: float, due: float | None = None) -> None:
        self.pid = pid
        self.channel = channel
        self.quota = Quota(now)  # of what it may say
        self.is_ready = False
        self.was_ready = False  # whether it ever was
        self.has_failed = False  # it has said why it cannot have the app
        self.is_retired = False  # no more workers are wanted from it
        self.is_closed = False  # it was told to end
        self.problem = ""  # why it was killed, if it was
        # When it must have the app, or must have ended, on the monotonic clock; None: never.
        self.due = due
        self.workers: set[int] = set()  # that live
        self._asked: dict[str, Fork] = {}  # by serial number
        self._waiting: deque[Fork] = deque()  # to be asked for
        self._serial = 0

    @property
    def forks(self) -> list[Fork]:
        """Those that were not answered yet."""
        return [*self._asked.values(), *self._waiting]

    def want(self, fork: Fork) -> None:
        """Have it fork a worker, in its turn; OSError when it cannot now."""
        if not self.is_ready or not self.channel.is_open:
            raise OSError("the application is being imported for all workers (preload)")
        self._waiting.append(fork)

    def ask(self, now: float, moment: int) -> list[tuple[Fork, OSError]]:
        """Ask for as many forks as may be asked for at a time; returns those that cannot be, which are forgotten."""
        failed = []
        while self._waiting and len(self._asked) < _AT_ONCE:
            fork = self._waiting.popleft()
            assert fork.theirs is not None
            self._serial += 1
            fork.since, fork.due = moment, now + _FORKED_WITHIN
            fds = (fork.theirs.fileno(), fork.dump.fileno(), *fork.listeners)
            try:
                self.channel.send_with(f"fork {self._serial} {fork.slot} {fork.age}", fds)
            except OSError as error:  # it has died, or takes nothing
                failed.append((fork, error))
                continue
            self._asked[str(self._serial)] = fork
            fork.theirs.close()
            fork.theirs = None
        return failed

    def answered(self, serial: str) -> Fork | None:
        """The fork that an answer is to; None: there is none."""
        return self._asked.pop(serial, None)

    def drop_forks(self) -> list[Fork]:
        """Forget those that were not answered; returns them."""
        dropped = self.forks
        self._asked.clear()
        self._waiting.clear()
        return dropped

    def deadline(self) -> float | None:
        """When something must have happened; None: never."""
        dues = [fork.due for fork in self._asked.values()]
        return min(dues if self.due is None else [self.due, *dues], default=None)

    def is_late(self, now: float) -> bool:
        """Whether it owes the answer to a fork for too long."""
        return any(fork.due <= now for fork in self._asked.values())
