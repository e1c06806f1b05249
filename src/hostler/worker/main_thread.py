"""What the main thread of a worker does while another one supervises: the event loop, or the one thread's requests."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from hostler.errors import BootError
from hostler.proc.fork import leave
from hostler.proc.title import name_thread

__all__ = ["SUPERVISOR", "beside"]

SUPERVISOR = "hostler-watch"


def beside(run: Callable[[], object], supervise: Callable[[], object]) -> None:
    """Run `run` in this thread, which is the main one, and `supervise` in another until both have returned.

    Raises what `run` raises. A fault of `supervise` ends the process: nothing would look after it any more.
    """

    def watch() -> None:
        name_thread(SUPERVISOR)
        try:
            supervise()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            leave(1)

    thread = threading.Thread(target=watch, name=SUPERVISOR, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # no more threads
        raise BootError(f"the worker does not start: {error}") from error
    run()
    thread.join()
