"""The arbiter's view of a template: the process that has imported the app, and that workers are forked from (preload).

The arbiter itself never imports the app, and a reload must import it anew: so each version has a template of its own,
which ends with it. A worker is the template's grandchild, whose parent ends at once: so it becomes the arbiter's own
child, which sees its end and its exit code as it sees those of any other worker.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from math import ceil

from hostler.proc.channel import Channel
from hostler.proc.dump import Dump

__all__ = ["Template"]

# A fork takes milliseconds, of a very large process a second.
_FORKED_WITHIN = 10.0


class Template:
    """One template process. `is_ready`: it has the app."""

    def __init__(self, pid: int, channel: Channel, due: float | None = None) -> None:
        self.pid = pid
        self.channel = channel
        self.is_ready = False
        self.was_ready = False  # whether it ever was
        self.due = due  # when it must have the app, on the monotonic clock; None: never
        self._serial = 0  # of the latest fork: an answer that comes too late is none to the next
        self.has_failed = False  # it has said why it cannot have the app

    def fork(self, slot: int, age: int, channel: Channel, dump: Dump, keep: Callable[[str], None]) -> int:
        """Have it fork the worker of a slot, which is the `age`th of all; returns the pid. OSError when it does not.

        `keep` takes other words that come meanwhile.
        """
        if not self.is_ready or not self.channel.is_open:
            raise OSError("the application is being imported for all workers (preload)")
        self._serial += 1
        self.channel.send_with(f"fork {self._serial} {slot} {age}", (channel.fileno(), dump.fileno()))
        poll = select.poll()
        poll.register(self.channel, select.POLLIN)
        deadline = time.monotonic() + _FORKED_WITHIN
        while (left := deadline - time.monotonic()) > 0 and self._is_there():
            poll.poll(ceil(left * 1000))
            for message in self.channel.receive():
                word, _, rest = message.partition(" ")
                serial, _, text = rest.partition(" ")
                if word not in ("forked", "unforked"):
                    keep(message)
                elif serial == str(self._serial):
                    if word == "forked":
                        return int(text)
                    raise OSError(text)
        raise OSError("the process that has the application (preload) does not answer")

    def close(self) -> None:
        """Have it end: it does when nobody is at the other end."""
        self.is_ready = False
        self.channel.close()

    def _is_there(self) -> bool:
        return self.channel.is_open
