"""select.poll with a memory: a descriptor can be forgotten twice, and must be before it is closed."""

from __future__ import annotations

import select
from typing import Protocol

__all__ = ["Poll"]


class _HasFileno(Protocol):
    def fileno(self) -> int: ...


class Poll:
    """What wakes the arbiter's loop. A closed descriptor that nobody has forgotten would wake it for ever."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._known: set[int] = set()

    def register(self, item: _HasFileno, events: int = select.POLLIN) -> None:
        """Wake up for these events; also to change them."""
        self._poll.register(item, events)
        self._known.add(item.fileno())

    def forget(self, item: _HasFileno) -> None:
        """Wake up for it no more, if it ever did."""
        fd = item.fileno()
        if fd in self._known:
            self._known.remove(fd)
            self._poll.unregister(fd)

    def wait(self, milliseconds: int | None) -> set[int]:
        """The descriptors that something has happened to, within this time; None: whenever that is."""
        return {fd for fd, _ in self._poll.poll(milliseconds)}
