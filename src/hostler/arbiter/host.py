"""What the arbiter has from the launcher beside the plan: what stays the same over all reloads."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hostler.arbiter.plan import Replan
from hostler.proc.channel import Channel
from hostler.proc.handover import Inheritance
from hostler.proc.inboxes import Inboxes
from hostler.proc.notify import Notifier

__all__ = ["Host"]


def _nothing() -> None:
    """Nobody wants to know."""


class Host(NamedTuple):
    """The arbiter's surroundings. The defaults are those of a server that cannot be reloaded or asked."""

    replan: Replan | None = None  # None: the app was given by a script
    control: str | None = None  # the option
    notifier: Notifier | None = None
    serves: Callable[[], None] = _nothing  # called when the first worker is ready
    # Starts a successor, which runs the argument before its exec; its pid and the line to it. OSError.
    succeed: Callable[[Callable[[], None]], tuple[int, Channel]] | None = None
    before: Inheritance | None = None  # the server that we take over from
    own: Callable[[], None] = _nothing  # called when we have taken over
    directory: str = ""  # that the server was started in, by the name it was entered by
    inboxes: Inboxes | None = None  # through which workers hand connections to each other
