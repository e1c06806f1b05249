"""What the operator's code replaces in the standard library: undone for our processes, kept for the application.

A configuration file or a hook may call `gevent.monkey.patch_all()`. The arbiter would then wait in gevent's hub instead
of in poll(2), and no signal would end it. So the operator's code sees its replacements whenever it runs, and the
arbiter sees the originals whenever it runs. A process that runs the application takes the replacements over for good
(`keep`), as under gunicorn.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["NO_EVENTLET", "keep", "operator_code", "set_aside", "uses_eventlet"]

# The modules by which we wait, fork, and talk: what monkey patches replace.
_MODULES = ("_thread", "os", "select", "selectors", "signal", "socket", "ssl", "subprocess", "threading", "time")
# gunicorn 27 has no eventlet worker any more either.
NO_EVENTLET = (
    "there is no driver for eventlet, whose greenlets would hang here: use threads (-k gthread), or "
    "gevent.monkey.patch_all() in its place and -k gevent"
)
_MISSING = object()  # stands for a name that was removed

_Names = dict[str, Any]
_replaced: dict[str, tuple[_Names, _Names]] = {}  # module -> names as they are in Python, and as the operator has them
_depth = 0  # of `operator_code`
_is_kept = False


@contextlib.contextmanager
def operator_code() -> Iterator[None]:
    """Run code of the operator: with its own replacements, and without them afterwards."""
    global _depth
    if _is_kept or _depth:
        yield
        return
    _put(1)
    before = {name: dict(vars(sys.modules[name])) for name in _MODULES if name in sys.modules}
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if not _is_kept:  # else this is a child that took them over meanwhile
            _note(before)
            _put(0)


@contextlib.contextmanager
def set_aside() -> Iterator[None]:
    """Run a server with Python's own modules in a script that has called `gevent.monkey.patch_all()`."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or _is_kept:
        yield
        return
    for module in _MODULES:
        if module in sys.modules:
            for name, value in vars(sys.modules[module]).items():
                original = monkey.get_original(module, name)
                if original is not value:
                    originals, theirs = _replaced.setdefault(module, ({}, {}))
                    originals[name], theirs[name] = original, value
    _put(0)
    try:
        yield
    finally:
        _put(1)
        _replaced.clear()


def uses_eventlet() -> str:
    """Why this process cannot serve: "eventlet.monkey_patch() was called: …"; empty where it was not."""
    patcher = sys.modules.get("eventlet.patcher")
    if patcher is None or not getattr(patcher, "already_patched", None):
        return ""
    return f"eventlet.monkey_patch() was called: {NO_EVENTLET}"


def keep() -> None:
    """In a process that runs the application: the replacements stand from now on."""
    global _is_kept
    _put(1)
    _is_kept = True


def _note(before: dict[str, _Names]) -> None:
    for module, names in before.items():
        now = vars(sys.modules[module])
        originals, theirs = _replaced.setdefault(module, ({}, {}))
        for name in names.keys() | now.keys():
            was, value = names.get(name, _MISSING), now.get(name, _MISSING)
            if was is not value:
                originals.setdefault(name, was)
                theirs[name] = value
        if not theirs:
            del _replaced[module]


def _put(which: int) -> None:
    """Set all names: 0 as they are in Python, 1 as the operator has them."""
    for module, views in _replaced.items():
        namespace = vars(sys.modules[module])
        for name, value in views[which].items():
            if value is _MISSING:
                namespace.pop(name, None)
            else:
                namespace[name] = value
    if _replaced and which == 0 and callable(signal.getsignal(signal.SIGCHLD)):
        # A loop of gevent's that watched children has put its own handler below Python's.
        signal.signal(signal.SIGCHLD, signal.getsignal(signal.SIGCHLD))
