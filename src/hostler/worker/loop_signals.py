"""Signals of a worker whose main thread runs an event loop: the supervisor hears all, and passes the app's on to it.

asyncio and uvloop would take the interpreter's wake-up descriptor, and a loop that is blocked hears nothing.
"""

from __future__ import annotations

import contextvars
import inspect
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hostler.worker.handlers import all_handlers, guard

if TYPE_CHECKING:
    import asyncio

    from hostler.logs import Logs
    from hostler.proc.signals import Handler, SignalQueue

__all__ = ["LoopSignals"]


class LoopSignals:
    """`add_signal_handler` and `remove_signal_handler` of a loop (asyncio's documentation of loop.add_signal_handler).

    A handler for a signal that hostler uses, such as TERM, is called beside hostler's own.
    """

    def __init__(self, queue: SignalQueue, logs: Logs) -> None:
        self._queue = queue
        self._logs = logs
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handlers: dict[int, tuple[Callable[..., object], tuple[Any, ...], contextvars.Context]] = {}
        self._before: dict[int, Handler] = {}  # by signal that a handler was added for and that is not hostler's

    # --- The main thread's side ---

    def serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Handle the signals of this loop, which is about to run."""
        self._loop = loop
        self._at_start = all_handlers()
        vars(loop).update(add_signal_handler=self._add, remove_signal_handler=self._remove)

    def guard(self) -> None:
        """The application has started: have what it needs and hostler needs, whatever it did to the signals."""
        self._queue.claim()
        guard(self._at_start, self._queue, self._logs)

    def _add(self, sig: int, callback: Any, *args: Any) -> None:
        if inspect.iscoroutine(callback) or inspect.iscoroutinefunction(callback):
            raise TypeError("coroutines cannot be used with add_signal_handler()")
        if not hasattr(sig, "__index__"):
            raise TypeError(f"sig must be an int, not {sig!r}")
        if sig not in signal.valid_signals():
            raise ValueError(f"invalid signal number {sig}")
        if sig not in self._queue.numbers:
            try:
                before = signal.signal(sig, self._queue.hear)
            except OSError as error:  # EINVAL: KILL and STOP
                raise RuntimeError(f"sig {sig} cannot be caught") from error
            if sig not in self._before:
                self._before[sig] = before
            signal.siginterrupt(sig, False)
        self._handlers[sig] = (callback, args, contextvars.copy_context())

    def _remove(self, sig: int) -> bool:
        if self._handlers.pop(sig, None) is None:
            return False
        if sig in self._before:
            handler = self._before.pop(sig)
            signal.signal(sig, signal.SIG_DFL if handler is None else handler)
        return True

    # --- The supervisor's side ---

    def pass_on(self, number: int) -> None:
        """A signal has come. The loop wakes in any case: handlers of `signal.signal` run where Python code runs."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        callback, args, context = self._handlers.get(number, (_nothing, (), None))
        loop.call_soon_threadsafe(callback, *args, context=context)


def _nothing() -> None:
    pass
