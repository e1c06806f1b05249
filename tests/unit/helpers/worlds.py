"""A fleet whose processes do as they are told, for stories of replacements."""

from __future__ import annotations

import random
from signal import SIGKILL

from hostler.arbiter import actions as do
from hostler.arbiter import events as ev
from hostler.arbiter.actions import Action
from hostler.arbiter.fleet import Fleet
from hostler.arbiter.handle import WorkerState
from hostler.arbiter.timing import Timing
from tests.unit.helpers.stories import Story


def slots(story: Story) -> dict[int, str]:
    """What is in which slot."""
    return {worker.slot: worker.state.value for worker in story.fleet.workers}


class World:
    """Processes as the fleet may meet them: they say, do and suffer whatever is possible, by chance."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        size = self.chance.choice((1, 2, 3))
        self.fleet = Fleet(size, Timing(graceful=5.0, boot=3.0, handshakes=0.1, silence=4.0))
        self.now = 0.0
        self.next_pid = 100
        self.slots: dict[int, int] = {}  # pid -> slot
        self.ready: set[int] = set()
        self.last_words: dict[int, int] = {}  # pid -> the exit code that follows
        self.frozen: set[int] = set()
        self.signals: dict[int, set[int]] = {}
        self.exit_code: int | None = None

    def on(self, event: ev.Event) -> None:
        events: list[ev.Event] = [event]
        while events and self.exit_code is None:
            for action in self.fleet.on(events.pop(0), self.now):
                events += self.perform(action)
        self.check()

    def perform(self, action: Action) -> list[ev.Event]:
        match action:
            case do.Spawn(slot) if self.chance.random() < 0.05:
                return [ev.SpawnFailed(slot, "no memory")]
            case do.Spawn(slot):
                assert slot not in self.slots.values()
                self.next_pid += 1
                self.slots[self.next_pid] = slot
                return [ev.Started(slot, self.next_pid)]
            case do.Signal(pid, number):
                assert pid in self.slots
                self.signals.setdefault(pid, set()).add(number)
            case do.Look():
                beats = {pid: 0 if pid in self.frozen else self.chance.getrandbits(32) for pid in self.slots}
                return [ev.Look(beats)]
            case do.Exit(code):
                assert not self.slots
                self.exit_code = code
        return []

    def check(self) -> None:
        assert {worker.slot: worker.pid for worker in self.fleet.workers if worker.pid} == {
            slot: pid for pid, slot in self.slots.items()
        }
        if self.exit_code is None and self.fleet.is_up():
            leaving = {WorkerState.RETIRING, WorkerState.SILENT, WorkerState.DRAINING, WorkerState.KILLED}
            staying = [worker for worker in self.fleet.workers if worker.state not in leaving]
            assert len(staying) <= self.fleet.size
            assert len(staying) == self.fleet.size or len(self.fleet.workers) == self.fleet.slots
        assert len(self.fleet.workers) <= self.fleet.slots

    def live(self) -> None:
        """One thing that may happen."""
        pid = self.chance.choice([0, *self.slots])
        kind = self.chance.randrange(8)
        if pid == 0 or kind == 0:
            self.wait()
        elif SIGKILL in self.signals.get(pid, ()):
            self.die(pid, -SIGKILL)
        elif pid in self.last_words:
            self.die(pid, self.last_words[pid])
        elif pid not in self.ready:
            if kind < 6:
                self.ready.add(pid)
                self.on(ev.Ready(pid))
            elif kind == 6:
                self.last_words[pid] = 4
                self.on(ev.BootFailed(pid, True, "cannot load"))
            else:
                self.die(pid, 1)
        elif kind < 3:
            self.frozen ^= {pid}
        elif kind < 5 and pid not in self.frozen:
            self.on(ev.Retire(pid, "slow"))
        elif kind == 5 or self.signals.get(pid):
            self.die(pid, -11)

    def wait(self) -> None:
        deadline = self.fleet.deadline()
        self.now += self.chance.random()
        if deadline is not None and deadline <= self.now + 2.0:
            self.now = max(self.now, deadline)
            self.on(ev.Tick())

    def die(self, pid: int, code: int) -> None:
        del self.slots[pid]
        self.on(ev.Exited(pid, code))
