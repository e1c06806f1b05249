"""Children by fork: what must happen in between, and how a child ends without its parent's clean-up."""

from __future__ import annotations

import _thread
import atexit
import contextlib
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Mapping
from typing import NoReturn

from hostler.proc import signals
from hostler.proc.children import end_multiprocessing
from hostler.proc.inherited import forget_exit_handlers
from hostler.proc.patience import alarm, limit

__all__ = ["finish", "flush", "fork", "is_own_fork", "leave", "reaped", "stay_frozen"]

# Not gc.get_freeze_count() > 0, which Python 3.12 says from the start.
_stays_frozen = False
# Seconds that multiprocessing's own clean-up may take: a manager ends in a twentieth of it.
_CHILDREN_WITHIN = 0.5
# Seconds that a standard stream may take to write what is in its buffer.
_FLUSH_WITHIN = 1.0

_own: set[int] = set()  # children of this process that `fork` has made and that were not reaped


def fork(
    prepare: Callable[[], None],
    main: Callable[[], int],
    handlers: Mapping[int, signals.Handler],
    kept: Collection[int] = (),
) -> int:
    """Fork a child that runs `prepare`, then `main`, and ends with its exit code; returns the pid.

    `handlers` are the child's. Their signals are held back from before the fork until all of them stand, so none is
    lost and none runs a handler of the parent in the child. `kept`: these stay held back, over an exec too.
    Raises OSError when there is no process to be had.
    """
    flush()  # else both would write what is still in the buffers
    signals.await_children()
    mask = signals.block({*handlers, *kept})
    gc.freeze()  # the child's collector would write into all that it has of us, and so unshare it
    try:
        pid = os.fork()
        if pid == 0:
            _own.clear()
            _child(prepare, main, handlers, mask | set(kept))
        _own.add(pid)
    finally:  # in the parent only: the child does not come back
        if not _stays_frozen:
            gc.unfreeze()
        signals.unblock(mask)
    return pid


def stay_frozen() -> None:
    """For a process that is there to be forked: its collector leaves alone what it has now, for good."""
    global _stays_frozen
    _stays_frozen = True
    gc.collect()
    gc.freeze()


def is_own_fork(pid: int) -> bool:
    """Whether `fork` has made this child, and it was not reaped yet."""
    return pid in _own


def reaped(pid: int) -> None:
    """The child was reaped: from now on its pid may mean any process."""
    _own.discard(pid)


def finish(code: int, seconds: float, late: Callable[[], object]) -> NoReturn:
    """End this child as the interpreter would end (threads joined, atexit), but not the parent's frames.

    Returning through them would run their `finally` blocks, such as the one that removes the pid file.
    multiprocessing ends its forked children by the same two calls. After so many seconds `late` is called, and it ends
    at once.
    """

    def cut() -> None:
        try:
            late()
        finally:
            leave(code)

    try:
        alarm(seconds, cut)
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()
        atexit._run_exitfuncs()
    finally:
        leave(code)


def leave(code: int) -> NoReturn:
    """End this process at once, whatever its threads do; with it end the children that multiprocessing has for it."""
    try:
        _end_later(code)
        end_multiprocessing(_CHILDREN_WITHIN)
        flush()
    finally:
        os._exit(code)


def _end_later(code: int) -> None:
    """Outside of the main thread nothing limits what the clean-up takes (`patience.limit`), so a thread ends it."""
    threading = sys.modules.get("threading")
    if threading is None or threading.current_thread() is threading.main_thread():
        return

    def end() -> None:
        time.sleep(_CHILDREN_WITHIN + 2 * _FLUSH_WITHIN)
        os._exit(code)

    with contextlib.suppress(RuntimeError):  # no more threads
        _thread.start_new_thread(end, ())


def _child(
    prepare: Callable[[], None], main: Callable[[], int], handlers: Mapping[int, signals.Handler], mask: set[int]
) -> NoReturn:
    code = 1
    try:
        forget_exit_handlers()
        prepare()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signals.unblock(mask)
        code = main()
    except BaseException:  # a fault of ours: show it, and never run the parent's code
        sys.excepthook(*sys.exc_info())
    finally:
        leave(code)


def flush() -> None:
    """Write what is in the buffers of the standard streams, where that is possible.

    They may be whatever the app has put there: closed, without `flush`, waiting for a reader that does not come.
    """
    for name in ("stdout", "stderr"):
        try:
            with limit(_FLUSH_WITHIN):
                getattr(sys, name).flush()
        except BaseException:  # SystemExit too: a buffer is no reason to end, or not to end
            pass
