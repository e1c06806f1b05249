"""How `receive` and `send` look and behave."""

from __future__ import annotations

import asyncio
import inspect
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import asgiref.sync


def described(*functions: Callable[..., Any]) -> list[Any]:
    """Name, signature, whether inspect and asgiref take it for a coroutine function, whether weak references work."""
    return [
        [
            function.__name__,
            str(inspect.signature(function)),
            inspect.iscoroutinefunction(function),
            asgiref.sync.iscoroutinefunction(function),
            weakref.ref(function)() is function,
        ]
        for function in functions
    ]


async def watched(sending: Awaitable[None], seen: list[Any]) -> None:
    """Await a `send`, and note when it waits. One that need not wait is done when it is made."""
    task = asyncio.ensure_future(sending)
    done, _ = await asyncio.wait({task}, timeout=0.5)
    if not done:
        seen.append("waits")
    await task
