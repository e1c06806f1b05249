"""An upgrade, at both ends: the server that passes its sockets on, and the one that takes over when it is ready.

    old                                     new
    starts the new one by exec ───────────▶ boots all its workers on the same sockets
                             ◀─── ready ───
    closes its control socket ─── yours ──▶ opens its own, owns files, writes the pid file
    drains and ends; the sockets stay open

* Until "ready" the new one is a guest: whatever becomes of it, it closes its descriptors and touches nothing else.
* The new one's end before that is a failed upgrade: the old one has never stopped serving.
* The old one's end is as good as "yours"; but when it is told to stop it says "off", and both end.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hostler.arbiter import events as ev
from hostler.arbiter.fleet import FleetState
from hostler.arbiter.life import how_it_ended
from hostler.control.server import Client
from hostler.proc.channel import Channel
from hostler.proc.handover import Inheritance

if TYPE_CHECKING:
    from hostler.arbiter.arbiter import Arbiter

__all__ = ["Guest", "Upgrade"]

_READY, _YOURS, _OFF = "ready", "yours", "off"


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
            if message == _READY:
                self.is_ready = True
            elif message.startswith("failed "):
                self.problem = message.removeprefix("failed ")


class Upgrade:
    """The old server's end."""

    def __init__(self, arbiter: Arbiter) -> None:
        self._arbiter = arbiter
        self._heir: Heir | None = None
        self._leaving: tuple[list[Client], str] | None = None  # who hears that it is done, once we accept no more

    @property
    def channel(self) -> Channel | None:
        """The line to a successor that has not taken over yet."""
        return self._heir.channel if self._heir is not None else None

    def begin(self, reason: str, clients: Sequence[Client] = ()) -> None:
        """Start a successor on our sockets: new code, new Python, new hostler, whatever the same command means now."""
        arbiter = self._arbiter
        problem = self._obstacle()
        if not problem and arbiter.host.succeed is not None:
            try:
                pid, channel = arbiter.host.succeed(lambda: arbiter.tell_hooks("pre_exec"))
            except OSError as error:
                problem = error.strerror or str(error)
        if problem:
            text = f"not upgraded: {problem}"
            arbiter.logs.error(text, reason=reason)
            arbiter.tell(clients, False, text)
            return
        arbiter.logs.info("new server starts; this one serves until it is ready", pid=pid, reason=reason)
        self._heir = Heir(pid, channel, reason, list(clients))
        arbiter.poll.register(channel)

    def hear(self, ready: set[int]) -> None:
        """Take what the successor says; tell those who wait when we accept no more."""
        if self._heir is not None and self._heir.channel.is_open and self._heir.channel.fileno() in ready:
            self._hear(self._heir)
        if self._arbiter.fleet.is_closed():
            self.finish()

    def finish(self) -> None:
        """Tell those who wait that the other server has taken over."""
        if self._leaving is not None:
            (clients, text), self._leaving = self._leaving, None
            self._arbiter.tell(clients, True, text)

    def cancel(self) -> None:
        """The server ends, and its successor with it: nobody wanted a server any more."""
        heir = self._heir
        if heir is None:
            return
        self._forget(heir)
        heir.channel.send(_OFF)
        heir.channel.close()
        os.kill(heir.pid, signal.SIGTERM)  # it may not listen to us yet; it is our child until we have reaped it
        self._arbiter.tell(heir.clients, False, "not upgraded: the server is stopping")

    def on_exit(self, pid: int, code: int) -> bool:
        """Whether this was the successor's end."""
        heir = self._heir
        if heir is None or pid != heir.pid:
            return False
        if heir.channel.is_open:
            heir.hear()  # its last words: whatever it says, it is dead
        if self._heir is heir:
            self._forget(heir)
            heir.channel.close()
            how = heir.problem or f"the new server died {how_it_ended(code)}"
            text = f"not upgraded, this one serves on: {how}"
            self._arbiter.logs.error(text, reason=heir.reason)
            self._arbiter.tell(heir.clients, False, text)
        return True

    def _obstacle(self) -> str:
        """Why an upgrade is not possible now; empty: it is."""
        arbiter = self._arbiter
        if os.getpid() == 1:
            return "this is process 1, whose end is the container's end: replace the container"
        if self._heir is not None:
            return f"an upgrade is on its way (pid {self._heir.pid})"
        if arbiter.host.succeed is None:
            return "the server was not started by a command"
        if arbiter.fleet.state is not FleetState.SERVING:
            return f"the server is {arbiter.fleet.state.value}"
        if arbiter.is_changing:
            return "a new version is about to take over: try again when it has"
        return ""

    def _hear(self, heir: Heir) -> None:
        heir.hear()
        arbiter = self._arbiter
        if heir.is_ready and heir.channel.is_open:
            self._forget(heir)
            arbiter.control.leave()
            arbiter.notifier.succeeded(heir.pid)  # before the new one speaks to systemd
            heir.channel.send(_YOURS)
            heir.channel.close()
            text = f"upgraded: the server with pid {heir.pid} has taken over"
            self._leaving = heir.clients, text
            arbiter.feed(ev.Stop(text, is_succeeded=True))
        elif not heir.channel.is_open:
            self._arbiter.poll.forget(heir.channel)  # its end follows

    def _forget(self, heir: Heir) -> None:
        self._heir = None
        self._arbiter.poll.forget(heir.channel)


class Guest:
    """The new server's end: ourselves, on the sockets of a server that serves still."""

    def __init__(self, arbiter: Arbiter, before: Inheritance) -> None:
        self._arbiter = arbiter
        self.channel = before.channel
        self._pid = before.pid
        self._has_said = False
        arbiter.poll.register(self.channel)

    def look(self, ready: set[int]) -> bool:
        """Say, once, that we could do without the other server; whether all is ours from now on."""
        arbiter = self._arbiter
        if arbiter.fleet.is_whole() and not self._has_said:
            self._has_said = True
            self.channel.send(_READY)
        if self.channel.fileno() < 0 or self.channel.fileno() not in ready:
            return False
        words = self.channel.receive()
        if _OFF in words:  # the other server is stopped, and so are we, as the guest that we are
            arbiter.poll.forget(self.channel)
            self.channel.close()
            arbiter.feed(ev.Stop("the server before this one is stopping"))
            return False
        if _YOURS not in words and self.channel.is_open:
            return False
        arbiter.poll.forget(self.channel)
        self.channel.close()
        arbiter.host.own()
        arbiter.logs.info("taken over from another server", its_pid=self._pid)
        if not arbiter.control.has_own_name:
            arbiter.control.open(arbiter.poll)
        return True
