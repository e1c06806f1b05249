"""A worker class of the operator's own: which class it extends, and what it says to uvicorn.

A class that is named by a string is imported by a child process, which ends: it brings uvicorn, asyncio and the
application's own modules along, and the arbiter lives as long as the service.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hostler.proc.patches import operator_code

__all__ = ["Ancestry", "ancestry_of", "options_of"]

# uvicorn's settings in CONFIG_KWARGS that are options of ours.
_OPTIONS = {
    "root_path": "root_path", "lifespan": "lifespan", "loop": "loop", "interface": "interface",
    "ws_max_size": "ws_max_size", "ws_ping_interval": "ws_ping_interval", "ws_ping_timeout": "ws_ping_timeout",
    "ws_per_message_deflate": "ws_per_message_deflate", "timeout_keep_alive": "keepalive",
    "proxy_headers": "proxy_headers", "forwarded_allow_ips": "forwarded_allow_ips", "server_header": "server_header",
}  # fmt: skip
_SECONDS = ("ws_ping_interval", "ws_ping_timeout", "keepalive")
_WORDS = {"asgi3": "asgi"}
# What chooses a parser of uvicorn's, or is its default anyway.
_NEEDLESS = ("http", "ws")


class Ancestry(NamedTuple):
    """What is known of a class without its code."""

    bases: list[str]  # "module.Class", the nearest first
    kwargs: Mapping[str, Any]  # CONFIG_KWARGS, as far as they are plain data
    problem: str = ""  # why it could not be imported


def ancestry_of(value: object, folders: Sequence[str]) -> Ancestry:
    """Look at a class, or import the one that is named; `folders` are on Python's path meanwhile."""
    if isinstance(value, type):
        return _look(value)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _tell(str(value), folders, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        told = file.read()
    os.waitpid(pid, 0)
    return Ancestry(*json.loads(told)) if told else Ancestry([], {}, "its import ended the process")


def options_of(kwargs: Mapping[str, Any]) -> tuple[dict[str, object], list[str]]:
    """CONFIG_KWARGS as options of ours, and the names of those that are none."""
    options: dict[str, object] = {}
    unknown = []
    for name, value in kwargs.items():
        option = _OPTIONS.get(name)
        if option is not None and value not in (None, ""):
            options[option] = _converted(option, value)
        elif option in ("ws_ping_interval", "ws_ping_timeout"):
            options[option] = "1d" if option == "ws_ping_timeout" else "0"  # None: never
        elif option is None and name not in _NEEDLESS:
            unknown.append(name)
    return options, unknown


def _converted(option: str, value: object) -> object:
    if option == "server_header":
        return "uvicorn" if value else "off"
    if option in _SECONDS:
        return f"{value}s"
    if isinstance(value, bool):
        return "on" if value else "off"
    return _WORDS.get(str(value), value)


def _look(found: type) -> Ancestry:
    kwargs = getattr(found, "CONFIG_KWARGS", {})
    plain = {str(name): value for name, value in dict(kwargs).items() if value is None or _is_plain(value)}
    return Ancestry([f"{base.__module__}.{base.__qualname__}" for base in found.__mro__[1:]], plain)


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float)


def _tell(name: str, folders: Sequence[str], writer: int) -> None:
    """In the child: import, tell, end."""
    code = 1
    try:
        told = json.dumps(_imported(name, folders)).encode()
        with os.fdopen(writer, "wb") as file:
            file.write(told)
        code = 0
    finally:
        os._exit(code)


def _imported(name: str, folders: Sequence[str]) -> Ancestry:
    from importlib import import_module

    sys.path[:0] = folders
    module, _, attribute = name.replace(":", ".").rpartition(".")
    try:
        with operator_code():
            found = getattr(import_module(module), attribute)
    except BaseException as error:  # whatever the module does, it is told as its own fault
        return Ancestry([], {}, f"{type(error).__name__}: {error}")
    return _look(found) if isinstance(found, type) else Ancestry([], {}, "it is not a class")
