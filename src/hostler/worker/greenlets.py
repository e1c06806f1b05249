"""The gevent driver: the core's descriptor is one watcher of the hub, and each request runs in a greenlet of its own.

For applications that are monkey-patched already. The hub's thread is the worker's main thread. While a greenlet
computes, the hub stands still; the core's monitor then reads, refuses and answers probes in its place, as with threads.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from types import FrameType
from typing import TYPE_CHECKING, Any

from hostler.errors import BootError
from hostler.worker.stacks import text_of

if TYPE_CHECKING:
    from hostler.native import Core

__all__ = ["Greenlets", "after_fork", "is_patched", "patch", "prepare", "wait_writable"]

_READ, _WRITE = 1, 2  # of gevent's io watchers
# Priorities of libev: first when the loop wakes, last before it waits.
_FIRST, _LAST = 2, -2
# How early a timer may be, in seconds.
_SLACK = 0.005


def after_fork() -> None:
    """In a process that was forked from one that is patched: give it a loop of its own."""
    if "gevent" in sys.modules:
        sys.modules["gevent"].reinit()


def is_patched() -> bool:
    """Whether gevent has replaced the threads of this process by greenlets."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def patch() -> None:
    """Monkey-patch the standard library before the application is imported, as gunicorn's gevent worker does."""
    load().patch_all()


def prepare(driver: str) -> None:
    """Import gevent for the gevent driver: `post_fork` finds `gevent.monkey`, as under gunicorn."""
    if driver == "gevent":
        load()


def load() -> Any:
    """Import gevent; returns `gevent.monkey`. BootError where it is not installed."""
    try:
        from gevent import monkey
    except ImportError as error:
        raise BootError(f"the gevent driver needs gevent (pip install 'hostler[gevent]'): {error}") from None
    return monkey


def wait_writable(fd: int) -> None:
    """Let others run until a socket takes bytes again, or a second has passed."""
    import gevent

    hub = gevent.get_hub()
    watcher = hub.loop.io(fd, _WRITE)
    with gevent.Timeout(1, False):
        hub.wait(watcher)


class Greenlets:
    """At most `most` greenlets that run requests."""

    def __init__(self, core: Core, most: int) -> None:
        import gevent

        self._core = core
        self._gevent = gevent
        self._free = list(range(most))
        self._running: dict[int, Any] = {}  # place -> greenlet
        self._due = math.inf  # when the timer rings
        self._forker: object = None  # in a forked child: the greenlet that has forked it

    def start(self) -> None:
        """Take part in the hub's loop."""
        loop = self._gevent.get_hub().loop
        self._events = loop.io(self._core.poll_fd(), _READ)
        self._events.start(self._on_events)
        self._wakes = loop.check(ref=False, priority=_FIRST)
        self._wakes.start(self._core.after_wait)
        self._waits = loop.prepare(ref=False, priority=_LAST)
        self._waits.start(self._before_wait)
        os.register_at_fork(after_in_child=self._leave)

    def join(self, seconds: float) -> bool:
        """Wait until every request has ended; False: not in time."""
        self._gevent.joinall(list(self._running.values()), timeout=max(0.0, seconds))
        return not self._running

    def frames(self) -> dict[int, FrameType | None]:
        """Where each greenlet is, by its place."""
        return {place: greenlet.gr_frame for place, greenlet in self._running.items()}

    def stack_of(self, place: int) -> str:
        """The Python stack of the greenlet at a place, innermost call last."""
        return text_of(self.frames().get(place)) or "  (the request has ended meanwhile)"

    def rest(self) -> None:
        """In a forked child, for the worker's main greenlet: wait as long as the child has anything else to do.

        Returns at once if the child comes back to what is the worker's own.
        """
        hub = self._gevent.get_hub()
        if self._forker in (self._gevent.getcurrent(), hub):
            return
        with contextlib.suppress(self._gevent.exceptions.LoopExit):
            while True:
                hub.switch()

    def _leave(self) -> None:
        """In a forked child: its hub has no part in the worker's connections."""
        self._forker = self._gevent.getcurrent()
        for watcher in (self._events, self._wakes, self._waits):
            watcher.stop()

    def _on_events(self) -> None:
        self._spawn(self._core.poll())

    def _before_wait(self) -> None:
        queued, wait = self._core.before_wait()
        if queued and self._free:
            self._spawn(queued)
        if wait >= 0:
            due = time.monotonic() + wait / 1000
            if due < self._due - _SLACK:
                self._due = due
                self._timer = self._gevent.get_hub().loop.timer(wait / 1000, ref=False)
                self._timer.start(self._on_timer)

    def _on_timer(self) -> None:
        self._due = math.inf
        self._core.expire()

    def _spawn(self, queued: int) -> None:
        for _ in range(min(queued, len(self._free))):
            place = self._free.pop()
            self._running[place] = self._gevent.spawn(self._run, place)

    def _run(self, place: int) -> None:
        try:
            self._core.serve_next(place)
        finally:
            del self._running[place]
            self._free.append(place)
