"""`hostler convert`: a hostler.toml from what a team runs today."""

from __future__ import annotations

import ast
import json
import os
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from hostler.cli.gunicorn.named import as_data
from hostler.cli.gunicorn.reading import read
from hostler.cli.gunicorn.settings import BY_NAME, HONOURED
from hostler.cli.gunicorn.translation import Translated, translate
from hostler.config.hook_source import NAMES, HookSource
from hostler.config.kinds import Many, Pairs
from hostler.config.loading import settled
from hostler.config.settings import OPTIONS, Assignment, Config
from hostler.config.sources.file import from_text
from hostler.errors import ConfigError
from hostler.hook_file import functions_of
from hostler.proc.printable import printable

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
    _check(text, target or "hostler.toml")
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


def _check(text: str, path: str) -> None:
    """Raise ConfigError for what `hostler serve` would refuse, so that it is not written."""
    config = Config(settled(from_text(text, path)))
    if config.hooks is not None:
        functions_of(config.hooks)
        _check_settings(config.hooks.path)


def _check_settings(path: str) -> None:
    """Refuse hooks that read a setting of gunicorn's: `cfg` has hostler's options under `hostler serve`."""
    with open(path, "rb") as file:
        tree = ast.parse(file.read())
    hooks = [each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name in NAMES]
    for node in (node for hook in hooks for node in ast.walk(hook)):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Attribute):
            continue
        if node.value.attr == "cfg" and node.attr not in (*OPTIONS, "settings"):
            where = f"{path}:{node.lineno} reads cfg.{node.attr}"
            raise ConfigError(f"{where}, which hostler gunicorn alone has: leave it out, or keep hostler gunicorn")


def _lines(translated: Translated) -> Iterator[str]:
    chosen = {each.name: each for each in translated.assignments if not _is_empty(each)}
    if "hooks" in chosen and "chdir" in chosen:  # a path there begins in that directory
        source = chosen["hooks"].value
        assert isinstance(source, HookSource)
        chosen["hooks"] = chosen["hooks"]._replace(value=source._replace(path=os.path.abspath(source.path)))
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
    for warning in (*translated.warnings, *_lost(chosen, translated)):
        yield ""
        yield from _comment(warning)


def _lost(chosen: Mapping[str, Assignment], translated: Translated) -> Iterator[str]:
    """What `hostler gunicorn` does and this file cannot say."""
    for assignment in translated.assignments:
        if isinstance(assignment.value, HookSource) and assignment.value.make_logger is not None:
            yield "logger_class is not made: use log_config, which has filters, handlers and formatters"
        if isinstance(assignment.value, HookSource) and assignment.value.around is not None:
            yield "wsgi.websocket is not given to applications: hostler gunicorn does that"
    variables = OPTIONS["env"].kind.parse(chosen["env"].value) if "env" in chosen else ()
    if "app" not in chosen and "SCRIPT_NAME" in dict(variables):
        yield "SCRIPT_NAME: name the path with the application: hostler serve shop.wsgi@/path"
    if "env" in chosen and "hooks" in chosen:
        yield "env: the variables are set in workers alone; hooks of the arbiter (child_exit, ...) do not see them"


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
    return textwrap.wrap(printable(text), _WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False)


def _toml(assignment: Assignment) -> str:
    """The value as TOML, in its option's own spelling."""
    kind: Any = OPTIONS[assignment.name].kind
    try:
        value = kind.parse(assignment.value)
    except ValueError as error:
        raise ConfigError(f"{assignment.label}: {error}") from None
    if isinstance(value, dict):
        return _quoted(json.dumps(as_data(value, assignment.label), ensure_ascii=False), assignment)
    if isinstance(kind, Many):
        items = [_quoted(kind.inner.show(item), assignment) for item in value]
        return items[0] if len(items) == 1 else f"[{', '.join(items)}]"
    if isinstance(kind, Pairs):
        return "[" + ", ".join(_quoted(f"{name}={text}", assignment) for name, text in value) + "]"
    if type(value) is int and not isinstance(kind.show(value), bool) and kind.show(value).isdigit():
        return str(value)
    return _quoted(kind.show(value), assignment)


def _quoted(text: str, assignment: Assignment) -> str:
    """A basic string of TOML, which is JSON's but for DEL; ConfigError for what is no Unicode."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{assignment.label}: it has bytes that are no UTF-8 text, which TOML cannot say") from None
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
