"""How the event loop calls the core.

An application may run the loop inside a step of itself (nest_asyncio does). That loop must serve other requests, or it
waits for them forever. But asyncio runs the callback of a reader in one context, the same each time, and a context
cannot be entered twice: "cannot enter context: it is already entered". So this reader has no context. The core needs
none, since each request has its own.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from types import SimpleNamespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = ["add_reader"]

# Stands in for a contextvars.Context, of which asyncio's handles call `run`.
_NO_CONTEXT = SimpleNamespace(run=operator.call)


def add_reader(loop: AbstractEventLoop, fd: int, callback: Callable[[], object]) -> None:
    """Like `loop.add_reader`; `callback` runs in the context that the loop runs in, and may be called inside itself."""
    loop.add_reader(fd, callback)
    try:
        reader, _ = loop._selector.get_key(fd).data  # type: ignore[attr-defined]
        reader._context = _NO_CONTEXT
    except (AttributeError, LookupError, TypeError, ValueError):
        pass  # another kind of loop: uvloop cannot run inside itself, others keep the context
