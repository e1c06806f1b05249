"""What a configuration means to the arbiter: made by the launcher at the start, and anew for each reload."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from hostler.arbiter.metrics import Statsd
from hostler.arbiter.scaling import Bounds
from hostler.arbiter.timing import Timing
from hostler.proc.channel import Channel
from hostler.proc.dump import Dump
from hostler.proc.sockets import Listener

if TYPE_CHECKING:
    from hostler.hooks import Hooks

__all__ = ["Plan", "Replan", "Work"]

# Runs in the child: (slot, its end of the channel, where its stacks go), returns the exit code.
Work = Callable[[int, Channel, Dump], int]


def _nothing() -> None:
    """A plan that is the first has nothing before it."""


class Plan(NamedTuple):
    """What to run, and how to get there from the plan before it."""

    size: int
    timing: Timing
    work: Work
    listeners: Sequence[Listener] = ()
    welcome: str = "listening on {url}"
    version: str = ""  # ours
    batch: int = 1
    template: Callable[[Channel], int] | None = None  # runs in a template, from which workers are forked (preload)
    watch: Callable[[Channel], int] | None = None  # runs in a child that says which file has changed (development)
    hooks: Hooks | None = None
    metrics: Statsd | None = None
    shown: Sequence[tuple[str, str, str]] = ()  # every option: name, value, where it came from
    memory_budget: int = 0  # bytes of all processes; 0: no limit
    bounds: Bounds | None = None  # of a fleet that sizes itself; None: `size` is what was asked for
    processors: int = 0  # for which more workers than `size` are advised; 0: no advice
    touch_reload: Sequence[str] = ()  # files whose change asks for a reload
    commit: Callable[[], None] = _nothing  # this one serves: close and say what the one before it leaves behind
    revert: Callable[[], None] = _nothing  # it does not: back to the one before it


# Reads the configuration again; HostlerError when it is wrong, and then nothing has changed. Gets the most workers
# that there is room for.
Replan = Callable[[int], Plan]
