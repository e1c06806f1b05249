"""What an application is: WSGI, ASGI, or the older ASGI 2; found out by looking, not by calling."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

__all__ = ["Mounted", "is_asgi", "is_asgi2", "single_callable"]

_CO_COROUTINE = 0x80  # flag of code objects; `inspect` names it, and is large


class Mounted(NamedTuple):
    """One application as it is served."""

    app: Callable[..., Any]
    is_asgi: bool
    path: str  # without its last slash
    protocols: tuple[str, ...]
    name: str = ""  # as APP says it

    @property
    def takes(self) -> tuple[bool, bool]:
        """Whether it gets HTTP requests, and WebSockets."""
        if not self.protocols:
            return True, self.is_asgi
        return "http" in self.protocols, "websocket" in self.protocols


def is_asgi(app: Any) -> bool:
    """Whether calling the application makes a coroutine, or its parameters are those of ASGI."""
    while isinstance(app, partial):
        app = app.func
    for function in (app, getattr(type(app), "__call__", None)):  # noqa: B004 - the function is looked at
        code = getattr(getattr(function, "__func__", function), "__code__", None)
        if code is None:
            continue
        names = code.co_varnames[: code.co_argcount]
        if code.co_flags & _CO_COROUTINE or names[-3:] == ("scope", "receive", "send"):
            return True
    return False


def is_asgi2(app: Any) -> bool:
    """Whether it is an application of the older ASGI 2: called with the scope alone, it returns a coroutine function.

    That is a class whose constructor takes the scope and whose instances are called with receive and send, or a
    function of one parameter named scope. A WSGI class is constructed with environ and start_response.
    """
    while isinstance(app, partial):
        app = app.func
    if isinstance(app, type):
        call, maker = getattr(app, "__call__", None), getattr(app, "__init__", None)  # noqa: B004 - they are looked at
        taken = _parameters(maker)[1:]
        return taken == ("scope",) or (len(taken) == 1 and _is_coroutine_function(call))
    if _is_coroutine_function(app):
        return False
    parameters = _parameters(app)
    is_method = hasattr(app, "__self__") or not hasattr(app, "__code__")
    if not hasattr(app, "__code__") and not hasattr(app, "__func__"):
        parameters = _parameters(getattr(type(app), "__call__", None))  # noqa: B004 - the function is looked at
    return parameters[int(is_method) :] == ("scope",)


def _parameters(function: Any) -> tuple[str, ...]:
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return () if code is None else code.co_varnames[: code.co_argcount]


def _is_coroutine_function(function: Any) -> bool:
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return code is not None and bool(code.co_flags & _CO_COROUTINE)


def single_callable(app: Callable[[Any], Callable[[Any, Any], Awaitable[None]]]) -> Callable[..., Awaitable[None]]:
    """ASGI 2 as ASGI 3: the instance of each scope is called with receive and send."""

    async def called(scope: Any, receive: Any, send: Any) -> None:
        await app(scope)(receive, send)

    return called
