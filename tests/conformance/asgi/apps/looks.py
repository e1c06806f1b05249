"""How Python sees `receive` and `send`."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
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
