"""The Python file of an operator's hooks: it is run, and its functions are found."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from hostler.config.hook_source import NAMES, HookSource
from hostler.errors import ConfigError
from hostler.proc.patches import operator_code
from hostler.proc.trusted import opener

__all__ = ["execute", "functions_of", "hook_of"]


def execute(path: str) -> dict[str, Any]:
    """The names that a Python file defines; ConfigError with the line at fault when it cannot be run."""
    module = sys.modules["__config__"] = type(sys)("__config__")  # classes there can be pickled, as under gunicorn
    names = vars(module)
    names.update(__file__=os.path.abspath(path), __builtins__=__builtins__)
    try:
        with open(path, "rb", opener=opener) as file:
            code = compile(file.read(), os.path.abspath(path), "exec")
    except OSError as error:
        raise ConfigError(f'"{path}" cannot be read: {error.strerror}') from None
    except (SyntaxError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        raise ConfigError(f"{path}{line}: {type(error).__name__}: {getattr(error, 'msg', error)}") from None
    try:
        with operator_code():
            exec(code, names)
    except BaseException as error:  # sys.exit() too: whatever it does, it is told as its own fault
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == names["__file__"]]
        line = f":{frames[-1].lineno}" if frames else ""
        said = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
        raise ConfigError(f"{path}{line}: {said}") from None
    return names


def functions_of(source: HookSource) -> dict[str, Callable[..., Any]]:
    """The hooks of a source, by name. ConfigError for one that is no function, and for a file without any."""
    if source.functions is None:
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())  # behind all others, or a json.py there would run in the arbiter, as its user
        names: Mapping[str, Any] = execute(source.path)
    else:
        names = source.functions
    label = source.path or "hooks"
    found = {name: hook_of(names[name], f"{label}: {name}") for name in NAMES if names.get(name) is not None}
    for name, function in found.items():
        if not callable(function):
            raise ConfigError(f"{label}: {name} is not a function")
    if not found and source.functions is None:
        raise ConfigError(f"{label}: no hook is defined there; there are {', '.join(NAMES)}")
    return found


def hook_of(value: Any, label: str) -> Any:
    """A hook: a function, or what "module.function" names."""
    if not isinstance(value, str):
        return value
    module, _, name = value.rpartition(".")
    try:
        with operator_code():
            return getattr(import_module(module), name)
    except BaseException as error:  # whatever the module does, it is told as its own fault
        raise ConfigError(f'{label}: "{value}" cannot be imported: {type(error).__name__}: {error}') from None
