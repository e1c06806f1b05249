"""A fleet, and what it does to each event in turn."""

from __future__ import annotations

from hostler.arbiter import actions as do
from hostler.arbiter import events as ev
from hostler.arbiter.actions import Action
from hostler.arbiter.fleet import Fleet
from hostler.arbiter.timing import Timing
from hostler.logs import DEBUG

TIMING = Timing(graceful=30.0, boot=0.0, handshakes=0.1)
TERM, QUIT = ev.Stop("SIGTERM"), ev.Quit("SIGQUIT")


class Story:
    """A fleet whose Spawn and Look actions are answered at once, as the loop does it; pids count from 101."""

    def __init__(self, slots: int = 1, timing: Timing = TIMING) -> None:
        self.fleet = Fleet(slots, timing)
        self.next_pid = 101
        self.beats: dict[int, int] = {}  # what Look finds

    def on(self, event: ev.Event, now: float = 0.0) -> list[Action]:
        """Feed one event; returns all actions, without the least important log lines."""
        actions = self.fleet.on(event, now)
        for action in list(actions):
            if isinstance(action, do.Spawn):
                actions += self.on(ev.Started(action.slot, self.next_pid), now)
                self.next_pid += 1
            elif isinstance(action, do.Look):
                actions += self.on(ev.Look(dict(self.beats)), now)
        return [action for action in actions if not (isinstance(action, do.Log) and action.level == DEBUG)]

    def serving(self, now: float = 0.0) -> Story:
        """Start, and all workers become ready."""
        self.on(ev.Start(), now)
        for worker in self.fleet.workers:
            self.on(ev.Ready(worker.pid), now)
        return self

    def states(self) -> list[str]:
        return [worker.state.value for worker in self.fleet.workers]


def deeds(actions: list[Action]) -> list[Action]:
    """The actions without log lines."""
    return [action for action in actions if not isinstance(action, do.Log)]


def logged(actions: list[Action]) -> str:
    return "\n".join(action.text for action in actions if isinstance(action, do.Log))
