"""Database connections of Django that outlive the thread or greenlet that opened them.

Django closes connections when a request ends, in the thread of the request. A connection that the application opens in
a thread (or greenlet) of its own is nobody's: when the thread ends, the connection stays open until the garbage
collector finds the cycle that its wrapper is part of. With a tuned collector that is late or never; a pooled connection
is never given back. `install()` closes such connections when their owner ends.

How: a thread-local value is destroyed when its thread ends, in that thread. So each thread that opens a connection
gets one that knows the connections. Where gevent has replaced thread-locals by greenlet-locals, the same holds for
greenlets, except that they are destroyed in the hub, which must not wait: there a greenlet closes them.
"""

from __future__ import annotations

import sys
import threading
import weakref
from typing import Any

__all__ = ["install"]

_ID = "hostler.integrations.django"


class _Owner:
    """What one thread has opened. Its end is the thread's."""

    def __init__(self) -> None:
        self._ident = threading.get_ident()
        self._opened: dict[int, weakref.ref[Any]] = {}

    def add(self, connection: Any) -> None:
        for key in [key for key, known in self._opened.items() if known() is None]:
            del self._opened[key]
        self._opened[id(connection)] = weakref.ref(connection)

    def __del__(self) -> None:
        opened = [connection for known in self._opened.values() if (connection := known()) is not None]
        if not opened or sys.is_finalizing():
            return
        if threading.get_ident() == self._ident:
            was_known = self._ident in threading._active  # type: ignore[attr-defined]
            _close_all(opened)
            if not was_known:  # the thread's name was asked for, and a dummy was noted for ever
                threading._active.pop(self._ident, None)  # type: ignore[attr-defined]
        else:
            import gevent  # nothing else destroys a thread-local elsewhere

            gevent.spawn(_close_all, opened)


def install() -> None:
    """Close connections when the thread or greenlet that opened them ends; once is enough, more do no harm.

    `hostler serve` calls it for each application that has imported django.db. With another server, call it at the end
    of wsgi.py, after monkey-patching.
    """
    from django.db.backends.signals import connection_created

    owners = threading.local()

    def opened(connection: Any, **kwargs: object) -> None:
        owner = getattr(owners, "owner", None)
        if owner is None:
            owner = owners.owner = _Owner()
        owner.add(connection)

    connection_created.connect(opened, weak=False, dispatch_uid=_ID)


def _close_all(connections: list[Any]) -> None:
    for connection in connections:
        if connection.connection is None or connection.allow_thread_sharing:
            continue  # closed, or lent to another thread on purpose
        connection.inc_thread_sharing()  # in a greenlet we are not the one that opened it
        try:
            connection.close()
        except Exception as error:
            import logging

            logging.getLogger(_ID).warning("a connection of %r that its thread left open: %s", connection.alias, error)
        finally:
            connection.dec_thread_sharing()
