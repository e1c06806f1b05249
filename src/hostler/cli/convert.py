"""`hostler convert`: a hostler.toml from what a team runs today."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

from hostler.cli.gunicorn.reading import read
from hostler.cli.gunicorn.settings import BY_NAME, HONOURED
from hostler.cli.gunicorn.translation import Translated, translate
from hostler.config.hook_source import HookSource
from hostler.config.kinds import Many, Pairs
from hostler.config.settings import OPTIONS, Assignment
from hostler.errors import ConfigError

__all__ = ["USAGE", "convert"]

USAGE = """\
Usage: hostler convert [-o FILE] gunicorn [OPTIONS] [APP]
       hostler convert [-o FILE] gunicorn.conf.py

Write the configuration that `hostler serve` needs to do what gunicorn does with
this command line, with GUNICORN_CMD_ARGS and with its configuration file;
comments tell where a line comes from, and what changed its meaning. What
gunicorn does by default and hostler does not is written too: delete what you do
not want.

  -o FILE          write to FILE, which must not be there yet; without it to
                   standard output
  -h, --help       show this text
"""
_WIDTH = 110


def convert(arguments: list[str]) -> int:
    """Write the file; returns the exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0 if arguments else ConfigError.exit_code
    target = None
    if arguments[0] == "-o":
        if len(arguments) < 2:
            raise ConfigError("-o needs a value: a file")
        target, arguments = arguments[1], arguments[2:]
    command, *rest = arguments or [""]
    if command.endswith(".py"):
        rest = ["-c", command, *rest]
    elif command != "gunicorn":
        raise ConfigError(f'"{command}" cannot be converted: write gunicorn and its options, or a gunicorn.conf.py')
    text = "\n".join(_lines(_translated(rest))) + "\n"
    if target is None:
        print(text, end="")
        return 0
    try:
        with open(target, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"-o {target}: the file is there already: remove it first") from None
    except OSError as error:
        raise ConfigError(f"-o {target}: {error.strerror}") from None
    print(f"{target} is written; see what it means: hostler check --config {target}", file=sys.stderr)
    return 0


def _translated(arguments: list[str]) -> Translated:
    given = read(arguments, os.environ)
    if given.request:
        raise ConfigError("there is nothing to convert: give options, an application, or a gunicorn.conf.py")
    return translate(given, needs_app=False)


def _lines(translated: Translated) -> Iterator[str]:
    chosen = {each.name: each for each in translated.assignments if not _is_empty(each)}
    yield "# Converted from gunicorn by hostler convert. All options: hostler help serve"
    for assignment in chosen.values():
        yield ""
        yield from _comment(_about(assignment))
        yield f"{assignment.name} = {_toml(assignment)}"
    usual = [each for each in translated.defaults if each.name not in chosen]
    if usual:
        yield ""
        yield "# What gunicorn does by default:"
    for assignment in usual:
        yield f"{assignment.name} = {_toml(assignment)}"
    for warning in translated.warnings:
        yield ""
        yield from _comment(warning)


def _is_empty(assignment: Assignment) -> bool:
    """Hooks that are none: `hostler gunicorn` gives workers gunicorn's loggers by them."""
    return isinstance(assignment.value, HookSource) and not assignment.value.functions


def _about(assignment: Assignment) -> str:
    """Where a line comes from, and what it means where it is not the same."""
    name = assignment.where.rpartition(" ")[2]
    setting = BY_NAME.get(name) or next((each for each in BY_NAME.values() if name in each.flags), None)
    if setting is None or (setting.fate == HONOURED and setting.option == assignment.name):
        return assignment.where
    if assignment.name == "hooks":
        return f"{assignment.where}: only its functions are called; its settings are here"
    return f"{assignment.where}: {setting.text}"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False)


def _toml(assignment: Assignment) -> str:
    """The value as TOML, in its option's own spelling."""
    kind: Any = OPTIONS[assignment.name].kind
    try:
        value = kind.parse(assignment.value)
    except ValueError as error:
        raise ConfigError(f"{assignment.label}: {error}") from None
    if isinstance(kind, Many):
        items = [json.dumps(kind.inner.show(item), ensure_ascii=False) for item in value]
        return items[0] if len(items) == 1 else f"[{', '.join(items)}]"
    if isinstance(kind, Pairs):
        return "[" + ", ".join(json.dumps(f"{name}={text}", ensure_ascii=False) for name, text in value) + "]"
    if type(value) is int and not isinstance(kind.show(value), bool) and kind.show(value).isdigit():
        return str(value)
    return json.dumps(kind.show(value), ensure_ascii=False)
