"""Children by fork: what must happen in between, and how a child ends without its parent's clean-up."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable, Collection, Mapping
from typing import NoReturn

from hostler.proc import signals

__all__ = ["finish", "flush", "fork", "leave"]


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
    mask = signals.block({*handlers, *kept})
    try:
        pid = os.fork()
        if pid == 0:
            _child(prepare, main, handlers, mask | set(kept))
    finally:  # in the parent only: the child does not come back
        signals.unblock(mask)
    return pid


def finish(code: int) -> NoReturn:
    """End this child as the interpreter would end (threads joined, atexit), but not the parent's frames.

    Returning through them would run their `finally` blocks, such as the one that removes the pid file.
    multiprocessing ends its forked children by the same two calls.
    """
    try:
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()
        atexit._run_exitfuncs()
    finally:
        leave(code)


def leave(code: int) -> NoReturn:
    """End this process at once, whatever its threads do."""
    try:
        flush()
    finally:
        os._exit(code)


def _child(
    prepare: Callable[[], None], main: Callable[[], int], handlers: Mapping[int, signals.Handler], mask: set[int]
) -> NoReturn:
    code = 1
    try:
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
    """Write what is in the buffers of the standard streams."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):  # a full disk, a closed pipe; closed by the app
            pass
