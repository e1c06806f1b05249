"""What a forked child must not do in its parent's place when it ends: exit handlers, finalizers, temporary directories.

multiprocessing forgets the same in the children that it forks. Without it the first worker that is replaced removes the
`TemporaryDirectory` of the script that called `hostler.serve()`, or of the application that was imported for all.
"""

from __future__ import annotations

import atexit
import sys
from typing import Any

__all__ = ["forget_exit_handlers"]

_kept: list[object] = []  # what the finalizers hold: to let go of it would run code of the parent's objects


def forget_exit_handlers() -> None:
    """Leave to the parent what was registered there to run at its end. What is registered from now on is ours."""
    atexit._clear()
    modules = sys.modules
    if (weakref := modules.get("weakref")) is not None:
        finalize: Any = weakref.finalize
        _kept.append(dict(finalize._registry))
        finalize._registry.clear()  # one that is not there does nothing when its object goes
        finalize._registered_with_atexit = False  # the next one registers all of ours
    if (util := modules.get("multiprocessing.util")) is not None:
        _kept.append(dict(util._finalizer_registry))
        util._finalizer_registry.clear()
        atexit.register(util._exit_function)
    if (logging := modules.get("logging")) is not None:
        atexit.register(logging.shutdown)  # it closes descriptors of this process, and writes what we have logged
