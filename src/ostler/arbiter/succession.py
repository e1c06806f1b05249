"""An upgrade, at both ends: the server that passes its sockets on, and the one that takes over when it is ready.

    old                                     new
    starts the new one by exec ───────────▶ boots all its workers on the same sockets
                             ◀─── ready ───
    closes its control socket ─── yours ──▶ opens its own, owns files, writes the pid file
    drains and ends; the sockets stay open

* Until "ready" the new one is a guest: whatever becomes of it, it closes its descriptors and touches nothing else.
* The new one's end before that is a failed upgrade: the old one has never stopped serving.
* The old one's end is as good as "yours".
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable

from ostler.control.server import Client
from ostler.proc.channel import Channel
from ostler.proc.handover import Inheritance

__all__ = ["Guest", "Heir"]

READY, YOURS = "ready", "yours"


class Heir:
    """The successor that the old server has started, until it takes over or ends."""

    def __init__(self, pid: int, channel: Channel, reason: str, clients: list[Client]) -> None:
        self.pid = pid
        self.channel = channel
        self.reason = reason
        self.clients = clients
        self.problem = ""  # what it said of why it cannot start
        self.is_ready = False

    def hear(self) -> None:
        """Take what it says."""
        for message in self.channel.receive():
            if message == READY:
                self.is_ready = True
            elif message.startswith("failed "):
                self.problem = message.removeprefix("failed ")


class Guest:
    """Ourselves, on the sockets of a server that serves still."""

    def __init__(self, before: Inheritance, poll: select.poll, own: Callable[[], None]) -> None:
        self.channel = before.channel
        self.pid = before.pid
        self._own = own
        self._poll = poll
        self._has_said = False
        poll.register(self.channel, select.POLLIN)

    def say_ready(self) -> None:
        """Tell the server before us, once, that we could do without it."""
        if not self._has_said:
            self._has_said = True
            self.channel.send(READY)

    def hear(self) -> bool:
        """Whether all is ours from now on."""
        words = self.channel.receive()
        if YOURS not in words and self.channel.is_open:
            return False
        self._poll.unregister(self.channel)
        self.channel.close()
        self._own()
        return True


def may_upgrade() -> str:
    """Why an upgrade is not possible here; empty: it is."""
    if os.getpid() == 1:
        return "this is process 1, whose end is the container's end: replace the container"
    return ""
