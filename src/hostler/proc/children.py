"""Processes that code of the app has started: how they end with the process that has started them.

A pid may belong to another process by the time that a signal is sent, so signals go through a pidfd (pidfd_open(2)),
which is opened first and looked at again then. Without /proc nothing is found.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Collection, Iterator
from types import ModuleType
from typing import Any

from hostler.proc.patience import Late, limit

__all__ = ["Tree", "end_descendants", "end_multiprocessing", "forget_multiprocessing"]

# Seconds from TERM to KILL.
_TERM_WITHIN = 1.0
# Most processes that are looked at: each is a descriptor.
_MOST = 1000


class Tree:
    """The living descendants of a process when this was made; each by a descriptor that means it and no other."""

    def __init__(self, root: int, without: Collection[int] = ()) -> None:
        self._fds: dict[int, int] = {}  # pid -> pidfd; -1 where there are none
        parents = dict(_parents())
        below = {root}
        while found := [pid for pid, parent in parents.items() if parent in below and pid not in below]:
            below.update(found)
        for pid in sorted(below - {root, *without})[:_MOST]:
            self._add(pid, parents[pid])

    def signal(self, number: int) -> None:
        """Send a signal to all of them."""
        for pid, fd in self._fds.items():
            try:
                if fd < 0:
                    os.kill(pid, number)
                else:
                    signal.pidfd_send_signal(fd, number)
            except OSError:  # it has ended, or has become another user's
                continue

    def wait(self, seconds: float) -> None:
        """Wait until all have ended, at most so long."""
        poll = select.poll()
        left = {fd for fd in self._fds.values() if fd >= 0}
        for fd in left:
            poll.register(fd, select.POLLIN)
        deadline = time.monotonic() + seconds
        while left and (now := time.monotonic()) < deadline:
            for fd, _ in poll.poll((deadline - now) * 1000):
                left.discard(fd)
                poll.unregister(fd)

    def close(self) -> None:
        """Close the descriptors."""
        for fd in self._fds.values():
            if fd >= 0:
                os.close(fd)
        self._fds.clear()

    def _add(self, pid: int, parent: int) -> None:
        fd = -1
        if hasattr(os, "pidfd_open"):
            try:
                fd = os.pidfd_open(pid)
            except ProcessLookupError:
                return
            except OSError:  # ENOSYS: before Linux 5.3; EMFILE
                fd = -1
        if dict(_parents([pid])).get(pid) == parent:
            self._fds[pid] = fd
        elif fd >= 0:  # it has ended, and its number may mean another process
            os.close(fd)


def end_descendants() -> None:
    """End all that this process, and what it has started, has started: TERM, then KILL."""
    tree = Tree(os.getpid(), _trackers())
    tree.signal(signal.SIGTERM)
    tree.wait(_TERM_WITHIN)
    tree.signal(signal.SIGKILL)
    tree.close()


def end_multiprocessing(seconds: float) -> None:
    """Run multiprocessing's own clean-up, as far as the time allows; then its children are told to end.

    Those are daemonic processes, managers and pools. A process that is not daemonic is one that the app joins: it is
    left alone. Nothing is loaded for it: an app that has not used multiprocessing costs nothing.
    """
    util, process = sys.modules.get("multiprocessing.util"), sys.modules.get("multiprocessing.process")
    if util is None or process is None:
        return
    children = _helpers(util, process)
    try:
        with limit(seconds):
            util._run_finalizers(0)  # managers and pools end in order
            _terminate(children)
            util._exit_function()
    except (Late, Exception):  # whatever the app's managers raise: this process ends
        pass
    _terminate(children)


def forget_multiprocessing() -> None:
    """In a process that was forked by os.fork: the children are its parent's, to end and to wait for.

    multiprocessing does the same in those that it forks.
    """
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        process._children.clear()
    futures = sys.modules.get("concurrent.futures.process")
    if futures is not None:
        futures._threads_wakeups.clear()


def _helpers(util: ModuleType, process: ModuleType) -> list[Any]:
    """multiprocessing's objects of the processes that end with this one."""
    found = [each for each in process.active_children() if each.daemon]
    for finalizer in list(util._finalizer_registry.values()):  # those of managers name their process
        found += [each for each in finalizer._args or () if isinstance(each, process.BaseProcess)]
    futures = sys.modules.get("concurrent.futures.process")
    if futures is not None:
        for thread in list(futures._threads_wakeups):
            found += list((thread.processes or {}).values())
    return [each for each in found if each._parent_pid == os.getpid()]


def _terminate(children: Collection[Any]) -> None:
    for each in children:
        try:
            each.terminate()
        except (OSError, ValueError, AttributeError):  # ended, closed, or not started yet
            continue


def _trackers() -> list[int]:
    """multiprocessing's process that removes what is left of shared memory: it ends by itself, after all others."""
    tracker = sys.modules.get("multiprocessing.resource_tracker")
    pid = tracker._resource_tracker._pid if tracker is not None else None
    return [pid] if pid else []


def _parents(pids: Collection[int] | None = None) -> Iterator[tuple[int, int]]:
    """Pid and parent's pid of each process, or of these; zombies are none."""
    try:
        names = os.listdir("/proc") if pids is None else list(map(str, pids))
    except OSError:
        return
    for name in names:
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                state, parent = file.read().rpartition(b")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if state != b"Z":
            yield int(name), int(parent)
