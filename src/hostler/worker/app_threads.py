"""The threads that run WSGI requests: started when the core asks for them, buried when they have left."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostler.logs import Logs
    from hostler.native import Core

__all__ = ["AppThreads"]

# Seconds between two looks whether a thread that has left has ended, at first and at most.
_BURY_FIRST = 0.01
_BURY_MOST = 1.0


class AppThreads:
    """All of them. With `in_main` there is one, the main thread, and `run` is its work."""

    def __init__(self, core: Core, logs: Logs, in_main: bool) -> None:
        self._core = core
        self._logs = logs
        self._in_main = in_main
        self._is_over = threading.Event()  # the main thread's work
        self._threads: set[threading.Thread] = set()
        self._leaving: list[threading.Thread] = []  # of these, those that have done their work
        self._wait = _BURY_FIRST  # until the next look at them

    def start(self, indices: Sequence[int]) -> None:
        """Start the core's threads with these numbers. RuntimeError when the system has no more threads."""
        for index in indices if not self._in_main else ():
            thread = threading.Thread(target=self._run_thread, args=(index,), name=f"hostler-app-{index}")
            thread.start()
            self._threads.add(thread)

    def start_more(self, indices: Sequence[int]) -> None:
        """As `start`, while there are some: without more of them it goes on with those."""
        for index in indices:
            try:
                self.start([index])
            except RuntimeError as error:
                self._core.not_started(index)
                self._logs.warning("no more threads can be started", threads=len(self._threads), reason=error)

    def run(self) -> None:
        """Run requests in the main thread until the core stops."""
        try:
            self._run_thread(0)
        finally:
            self._is_over.set()

    def bury(self) -> None:
        """Forget threads that have ended, and give their memory back when all but one have.

        One that has left may still run destructors of its thread-locals, for as long as the app likes: nothing waits.
        """
        if not self._leaving:
            return
        leaving, self._leaving = self._leaving, []
        ended = [thread for thread in leaving if not thread.is_alive()]
        self._threads.difference_update(ended)
        self._leaving += [thread for thread in leaving if thread not in ended]  # others may have come meanwhile
        self._wait = _BURY_FIRST if ended else min(2 * self._wait, _BURY_MOST)
        if ended and len(self._threads) == 1:
            self._core.trim()

    @property
    def wait(self) -> float | None:
        """Seconds until `bury` has something to look at; None: nothing leaves."""
        return self._wait if self._leaving else None

    def join(self, deadline: float) -> bool:
        """Wait until all have ended; False: not in time (time.monotonic).

        One may still be in the app though its client has all: in close(), or because the client left.
        """
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._in_main and not self._is_over.wait(max(0.0, deadline - time.monotonic())):
            return False
        return not any(thread.is_alive() for thread in self._threads)

    def _run_thread(self, index: int) -> None:
        try:
            self._core.run_thread(index)
        except BaseException as error:  # a fault of the core: serve what is here, and be replaced
            self._logs.error(f"please report this fault of hostler: app thread {index}: {error!r}")
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            if not self._in_main:
                self._leaving.append(threading.current_thread())
                self._core.call_attention()
