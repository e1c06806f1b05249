"""What gunicorn's sources say: its command line, GUNICORN_CMD_ARGS, and a configuration file, which is run.

The strongest wins, as in gunicorn: the command line, then the variable, then the file. What platforms say (PORT,
WEB_CONCURRENCY, FORWARDED_ALLOW_IPS) is weaker than all three, and is read with hostler's own options.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from hostler.cli.gunicorn.settings import BY_FLAG, BY_NAME, OPTIONAL, REPEATED, SWITCH, Setting
from hostler.config.hook_source import NAMES as HOOKS
from hostler.config.names import closest, did_you_mean
from hostler.errors import ConfigError
from hostler.hook_file import execute, hook_of
from hostler.proc.patches import operator_code, uses_eventlet

__all__ = ["Given", "Value", "read"]

_VARIABLE = "GUNICORN_CMD_ARGS"
_USUAL_FILE = "gunicorn.conf.py"
_REQUESTS = {"-h": "help", "--help": "help", "-v": "version", "--version": "version"}


class Value(NamedTuple):
    """What a source says of a setting."""

    value: Any
    label: str  # begins a complaint: "--workers", "gunicorn.conf.py: workers"


class Given(NamedTuple):
    """What all sources say."""

    values: dict[str, Value]  # by the setting's name; the application as "wsgi_app"
    hooks: dict[str, Any]  # functions of the file
    path: str = ""  # of the file
    request: str = ""  # "help" or "version" when that was asked for instead
    more: tuple[str, ...] = ()  # arguments behind the application, which gunicorn takes and does not use


def read(arguments: Sequence[str], environ: Mapping[str, str]) -> Given:
    """Bring the sources together. Raises ConfigError, one line, for the first thing that cannot be read."""
    more: list[str] = []
    typed, request = _line(arguments, "", more)
    if request:
        return Given({}, {}, request=request)
    try:
        words = shlex.split(environ.get(_VARIABLE, ""))
    except ValueError as error:
        raise ConfigError(f"{_VARIABLE}: {str(error).lower()}") from None
    variable, _ = _line(words, f"{_VARIABLE}: ", more)
    chosen = typed.get("config") or variable.get("config")
    path = str(chosen.value) if chosen else _USUAL_FILE if os.path.isfile(_USUAL_FILE) else ""
    names = _file(path, chosen.label if chosen else "") if path else {}
    if reason := uses_eventlet():
        raise ConfigError(f"{path}: {reason}")
    shown = path.removeprefix("file:")
    known = {name: Value(names[name], f"{shown}: {name}") for name in BY_NAME if name in names and name not in HOOKS}
    with _beside():
        hooks = {name: hook_of(names[name], f"{shown}: {name}") for name in HOOKS if names.get(name) is not None}
    if path.startswith("python:"):
        shown = str(names.get("__file__") or shown)
    return Given({**known, **variable, **typed}, hooks, shown, more=tuple(more))


def _line(arguments: Sequence[str], prefix: str, more: list[str]) -> tuple[dict[str, Value], str]:
    """The settings of a command line; or "help" or "version", when it asks for that."""
    values: dict[str, Value] = {}
    waiting = list(reversed(arguments))
    while waiting:
        argument = waiting.pop()
        if argument in _REQUESTS:
            return {}, _REQUESTS[argument]
        if argument == "--":
            for application in reversed(waiting):
                _positional(values, application, prefix, more)
            break
        if not argument.startswith("-") or argument == "-":
            _positional(values, argument, prefix, more)
            continue
        flag, attached = _split(argument, waiting)
        setting = BY_FLAG[flag]
        label = prefix + flag
        _keep(values, setting, _value(setting, label, attached, waiting), label)
    return values, ""


def _split(argument: str, waiting: list[str]) -> tuple[str, str | None]:
    """The flag, and the value that hangs on it. A cluster of switches (-DR) is taken apart."""
    if argument.startswith("--"):
        name, equals, value = argument.partition("=")
        return _long(name), value if equals else None
    flag, rest = argument[:2], argument[2:]
    if flag not in BY_FLAG:
        raise ConfigError(f'gunicorn has no option "{flag}"')
    if rest and BY_FLAG[flag].takes == SWITCH:
        waiting.append(f"-{rest}")
        return flag, None
    return flag, rest.removeprefix("=") or None


def _long(name: str) -> str:
    """The flag of that name or, as argparse has it, the only one that begins so."""
    if name in BY_FLAG:
        return name
    begun = {BY_FLAG[flag].name: flag for flag in BY_FLAG if flag.startswith(name)}
    if len(begun) == 1:
        return next(iter(begun.values()))
    if begun:
        raise ConfigError(f'"{name}" may mean {", ".join(sorted(begun.values()))}')
    raise ConfigError(f'gunicorn has no option "{name}"{did_you_mean(closest(name, list(BY_FLAG)))}')


def _value(setting: Setting, label: str, attached: str | None, waiting: list[str]) -> Any:
    if setting.takes == SWITCH:
        if attached is not None:
            raise ConfigError(f"{label} takes no value")
        return setting.const
    if attached is not None:
        return attached
    is_there = bool(waiting) and (not waiting[-1].startswith("-") or waiting[-1] == "-")
    if not is_there and setting.takes == OPTIONAL:
        return setting.const
    if not is_there:
        raise ConfigError(f"{label} needs a value: {setting.text}")
    return waiting.pop()


def _keep(values: dict[str, Value], setting: Setting, value: Any, label: str) -> None:
    if setting.takes == REPEATED:
        earlier = values.get(setting.name)
        value = [*(earlier.value if earlier else []), value]
    values[setting.name] = Value(value, label)


def _positional(values: dict[str, Value], argument: str, prefix: str, more: list[str]) -> None:
    if "wsgi_app" in values:
        more.append(argument)
    else:
        values["wsgi_app"] = Value(argument, f"{prefix}APP_MODULE")


def _file(location: str, label: str) -> Mapping[str, Any]:
    """The names that a configuration file, or a module named python:MODULE, defines."""
    with _beside():
        return _run(location, label)


@contextlib.contextmanager
def _beside() -> Iterator[None]:
    """Let the operator's code import what lies in this directory."""
    here = os.getcwd()
    is_added = here not in sys.path
    if is_added:
        sys.path.insert(0, here)
    try:
        yield
    finally:
        if is_added:  # behind the standard library, or a json.py there would run in the arbiter, as its user
            sys.path.remove(here)
            sys.path.append(here)


def _run(location: str, label: str) -> Mapping[str, Any]:
    if not location.startswith("python:"):
        path = location.removeprefix("file:")
        if not os.path.exists(path):
            raise ConfigError(f'{label or path}: there is no file "{path}"')
        return execute(path)
    module = location.removeprefix("python:")
    try:
        with operator_code():
            return vars(import_module(module))
    except BaseException as error:  # whatever the module does, it is told as its own fault
        raise ConfigError(f"{label}: {module} raised {type(error).__name__}: {error}") from None
