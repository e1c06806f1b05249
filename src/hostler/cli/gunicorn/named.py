"""A dict for logging.config.dictConfig as plain data: classes, functions and streams by their names.

dictConfig takes names in the place of all these (Python's manual, "Access to external objects").
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from hostler.errors import ConfigError

__all__ = ["as_data"]

# What dictConfig looks up by a dotted name; everywhere else "ext://" goes before it.
_FACTORIES = ("class", "()")


def as_data(value: Any, where: str) -> Any:
    """The value as JSON can have it. ConfigError, which says where it stands, for what has no name."""
    if isinstance(value, Mapping):
        return {_key(key, where): as_data(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_data(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    for name in ("stdout", "stderr"):
        if value is getattr(sys, name):
            return f"ext://sys.{name}"
    name = _name(value, where)
    return name if where.endswith(tuple(f".{key}" for key in _FACTORIES)) else f"ext://{name}"


def _key(key: object, where: str) -> str:
    if not isinstance(key, str):
        raise ConfigError(f"{where}: the key {key!r} is no text, and a file of options has no others")
    return key


def _name(value: Any, where: str) -> str:
    """Where a class or a function is found by import."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    found: Any = sys.modules.get(str(module))
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not value or value is None:
        kind = "this object" if not name else f"{name}, a local object"
        raise ConfigError(f"{where}: {kind} ({type(value).__name__}) has no name that a file of options could give")
    if module in ("__config__", "__main__"):
        raise ConfigError(f"{where}: {name} is defined in the configuration file: put it into a module of its own")
    return f"{module}.{name}"
