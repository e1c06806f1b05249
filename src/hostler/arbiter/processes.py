"""The workers' processes: made, heard and buried; and what can be found out about them from outside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from hostler.arbiter import events as ev
from hostler.arbiter.diagnosis import can_answer, explain
from hostler.arbiter.quota import Quota, Remarks
from hostler.logs import Logs, facts, printable, printable_lines
from hostler.proc.channel import Channel
from hostler.proc.dump import Dump
from hostler.proc.poll import Poll
from hostler.proc.threads import threads_of
from hostler.stats.scoreboard import STOPPED, Scoreboard

__all__ = ["Make", "Processes"]

# How long all the stacks that are asked for in one turn may keep the other workers waiting, in seconds; what each
# of them gets at least.
_STACKS_WITHIN = 0.5
_STACKS_MINIMUM = 0.05

# Makes a process that has `theirs` and the dump, and returns its pid: (ours, theirs, dump). OSError.
Make = Callable[[Channel, Channel, Dump], int]


class Processes:
    """Those that have not been reaped, by pid."""

    def __init__(self, board: Scoreboard, logs: Logs, poll: Poll) -> None:
        self._board = board
        self._logs = logs
        self._poll = poll
        self._channels: dict[int, Channel] = {}  # pid -> our end
        self._dumps: dict[int, Dump] = {}  # pid -> where the process writes its stacks when it is asked
        self._quotas: dict[int, Quota] = {}  # pid -> how much it may say
        self._full: set[int] = set()  # those that have said so much that they are not listened to for a moment
        self._floods: set[int] = set()  # those of which this was logged
        self.remarks = Remarks(logs.warning)
        self.slots: dict[int, int] = {}  # pid -> slot
        self._patience = 0.0  # what is left of _STACKS_WITHIN in this turn

    def begin_turn(self) -> None:
        """What is found out from outside in one turn of the arbiter's loop is bounded."""
        self._patience = _STACKS_WITHIN

    def make(self, slot: int, make: Make) -> ev.Started | ev.SpawnFailed:
        """Make a process for a slot."""
        try:
            ours, theirs, dump = self.open()
        except OSError as error:  # EMFILE, ENFILE
            return ev.SpawnFailed(slot, error.strerror or str(error))
        try:
            pid = make(ours, theirs, dump)
        except OSError as error:  # EAGAIN, ENOMEM
            ours.close()
            dump.close()
            return ev.SpawnFailed(slot, error.strerror or str(error))
        finally:
            theirs.close()
        return self.adopt(slot, pid, ours, dump)

    def open(self) -> tuple[Channel, Channel, Dump]:
        """What a process needs: our end of its channel, its own, where it writes its stacks. OSError."""
        dump = Dump()
        try:
            return *Channel.pair(), dump
        except OSError:
            dump.close()
            raise

    def adopt(self, slot: int, pid: int, ours: Channel, dump: Dump) -> ev.Started:
        """Look after a process that has been made for a slot."""
        self._channels[pid] = ours
        self._dumps[pid] = dump
        self._quotas[pid] = Quota(time.monotonic())
        self.slots[pid] = slot
        self._poll.register(ours)
        return ev.Started(slot, pid)

    def abandon(self) -> None:
        """In a forked child: close what is the arbiter's. The child's own dump is not among them yet."""
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()
        for dump in self._dumps.values():
            dump.close()
        self._dumps.clear()

    def hear(self, ready: set[int]) -> Iterator[tuple[int, str]]:
        """What they say on these descriptors, as much as their quotas allow: (pid, message)."""
        now = time.monotonic()
        for pid, channel in list(self._channels.items()):
            if channel.is_open and (channel.fileno() in ready or pid in self._full):
                yield from ((pid, message) for message in self._receive(pid, channel, now))

    def deadline(self) -> float | None:
        """When to call `hear` though nothing seems to be ready."""
        return min((self._quotas[pid].due() for pid in self._full), default=None)

    def bury(self, pid: int) -> list[str] | None:
        """Forget a process that has ended; returns its last words, None when it was no worker."""
        channel = self._channels.pop(pid, None)
        if channel is None:
            return None
        words = channel.receive() if channel.is_open else []
        self._full.discard(pid)
        self._floods.discard(pid)
        del self._quotas[pid]
        self._poll.forget(channel)  # the app may have children that hold the other end
        channel.close()
        self._dumps.pop(pid).close()
        slot = self.slots.pop(pid)
        self._board.shut(slot)
        self._board.set_state(slot, STOPPED)
        return words

    def heartbeats(self) -> Mapping[int, int]:
        """When each was alive last."""
        return {pid: self._board.heartbeat(slot) for pid, slot in self.slots.items()}

    def take_stacks(self, pid: int) -> str:
        """The stacks of a worker that cannot tell them itself."""
        threads = threads_of(pid)
        if not can_answer(threads):
            return "it is stopped, or waits in the kernel"
        requests = (
            f"{printable(request.method)} {printable(request.path)} in thread {request.tid}"
            for request in self._board.in_flight(self.slots[pid])
        )
        dump = self._take_dump(pid)
        return "\n".join(["it runs no Python code now: native code keeps the GIL", *requests, "", dump])

    def diagnose(self, slot: int, pid: int, silence: float) -> None:
        """Write to the log why a worker runs no Python any more."""
        threads = threads_of(pid)
        requests = self._board.in_flight(slot)
        stacks = self._take_dump(pid) if can_answer(threads) else ""
        worker = facts(worker=slot, pid=pid)
        self._logs.error(explain(worker, silence, threads, requests, stacks, time.monotonic_ns()))

    def _take_dump(self, pid: int) -> str:
        """The stacks that its signal handler writes; the time for it is that of the whole turn."""
        started = time.monotonic()
        text = self._dumps[pid].take(pid, max(_STACKS_MINIMUM, self._patience))
        self._patience -= time.monotonic() - started
        return printable_lines(text)

    def name_cut(self, slot: int) -> None:
        """Write to the log which requests a worker was running."""
        now = time.monotonic_ns()
        for request in self._board.in_flight(slot):
            age = max(0.0, (now - request.start_ns) / 1e9)
            what = f"{printable(request.method)} {printable(request.path)}"
            self._logs.warning(f"request cut {facts(request=what, worker=slot, after=f'{age:.1f}s')}")

    def _receive(self, pid: int, channel: Channel, now: float) -> list[str]:
        quota = self._quotas[pid]
        words = channel.receive(quota.left(now))
        quota.spend(len(words))
        if channel.is_open and not quota.left(now):
            self._full.add(pid)
            self._poll.forget(channel)
            self._log_flood(pid)
            return words
        self._full.discard(pid)
        if channel.is_open:
            self._poll.register(channel)
        else:
            self._poll.forget(channel)
        return words

    def _log_flood(self, pid: int) -> None:
        if pid not in self._floods:
            self._floods.add(pid)
            text = "flood of messages on hostler's channel; they are delayed"
            self._logs.warning(text, worker=self.slots[pid], pid=pid)
