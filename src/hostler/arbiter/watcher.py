"""The child that watches files for a developer's server: it says which one has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.logs import printable
from hostler.proc.channel import Channel
from hostler.proc.fork import fork

if TYPE_CHECKING:
    from hostler.arbiter.arbiter import Arbiter

__all__ = ["Watcher"]


class Watcher:
    """Does nothing where the plan watches no files."""

    def __init__(self, arbiter: Arbiter) -> None:
        self._arbiter = arbiter
        self.channel: Channel | None = None

    def start(self) -> None:
        """Fork it."""
        arbiter, watch = self._arbiter, self._arbiter.plan.watch
        if watch is None:
            return
        try:
            ours, theirs = Channel.pair()
            fork(lambda: arbiter.leave(ours), lambda: watch(theirs), arbiter.handlers)
        except OSError as error:
            arbiter.logs.error("files cannot be watched", reason=error.strerror)
            return
        theirs.close()
        self.channel = ours
        arbiter.poll.register(ours)

    def hear(self, ready: set[int]) -> None:
        """Have the workers start anew when it says that a file has changed."""
        channel, arbiter = self.channel, self._arbiter
        if channel is None or channel.fileno() not in ready:
            return
        changed = channel.receive()
        if changed:
            arbiter.reload(f"{printable(changed[-1])} has changed", is_urgent=True)
        if not channel.is_open:
            self.end()
            if arbiter.fleet.is_up():
                arbiter.logs.warning("files are not watched any more; the process that did has ended")

    def end(self) -> None:
        """Let go of it: it ends then."""
        if self.channel is not None:
            self._arbiter.poll.forget(self.channel)
            self.channel.close()
            self.channel = None
