"""A configuration file as assignments: hostler.toml, or [tool.hostler] of pyproject.toml."""

import os
from collections.abc import Mapping

from hostler.config.kinds import quote
from hostler.config.names import find, hint
from hostler.config.settings import Assignment
from hostler.errors import ConfigError
from hostler.proc.trusted import opener

__all__ = ["discover", "from_file", "from_text"]

_PYPROJECT = "pyproject.toml"


def discover() -> str | None:
    """The configuration file of the current directory, if it has one."""
    if os.path.exists("hostler.toml"):
        return "hostler.toml"
    if os.path.exists(_PYPROJECT):
        text = _text(_PYPROJECT)
        # Most projects have no table for us: only a file that may have one is worth the parser's memory.
        if "hostler" in text and _table(_parse(text, _PYPROJECT), ("tool", "hostler")) is not None:
            return _PYPROJECT
    return None


def from_file(path: str) -> list[Assignment]:
    """One assignment for each option that the file sets."""
    return from_text(_text(path), path)


def from_text(text: str, path: str) -> list[Assignment]:
    """The same for the text of the file `path`."""
    prefix = ("tool", "hostler") if os.path.basename(path) == _PYPROJECT else ()
    table = _table(_parse(text, path), prefix)
    if table is None:
        raise ConfigError(f"{path}: no [tool.hostler] table with options")
    assignments = []
    for name, value in table.items():
        where = f"{path}:{line_of(text, (*prefix, name))}"
        option = find(name)
        if option is None:
            raise ConfigError(f"{where}: {_unknown(name, value)}")
        if option.name == "config":
            raise ConfigError(f"{where}: a configuration file cannot name another one")
        assignments.append(Assignment(option.name, value, where, f"{where}: {name}"))
    return assignments


def line_of(text: str, wanted: tuple[str, ...]) -> int:
    """The line on which a key is set; tomllib does not keep it.

    A scan of table headers and `key =` lines, good enough for a message: a key inside an inline table gets
    the line of that table, and a text block that looks like TOML could be taken for it.
    """
    best, line = 0, 1
    table: tuple[str, ...] = ()
    for number, written in enumerate(text.splitlines(), 1):
        entry = written.strip()
        if entry.startswith("["):
            key = table = _parts(entry.partition("]")[0].strip("["))
        elif "=" in entry and not entry.startswith("#"):
            key = (*table, *_parts(entry.partition("=")[0]))
        else:
            continue
        if _shared(key, wanted) > best:
            best, line = _shared(key, wanted), number
    return line


def _shared(key: tuple[str, ...], wanted: tuple[str, ...]) -> int:
    """How many of the first parts are the same."""
    return sum(key[:depth] == wanted[:depth] for depth in range(1, min(len(key), len(wanted)) + 1))


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _unknown(name: str, value: object) -> str:
    items = value if isinstance(value, list) else [value]
    if any(isinstance(item, Mapping) for item in items):
        return f'unknown table "{name}": all options stand at one level, without tables'
    return f'unknown option "{name}"{hint(name, lambda option: option.name)}'


def _table(data: Mapping[str, object], prefix: tuple[str, ...]) -> Mapping[str, object] | None:
    """The table at `prefix`, or None when the file has none there."""
    for name in prefix:
        inner = data.get(name)
        if not isinstance(inner, Mapping):
            return None
        data = inner
    return data


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", opener=opener) as file:
            return file.read()
    except OSError as error:
        problem = f"cannot read the configuration file {quote(path)}: {error.strerror}"
        raise ConfigError(problem) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a TOML file: it is not UTF-8 text") from None


def _parse(text: str, path: str) -> Mapping[str, object]:
    import tomllib  # half a megabyte, so only when there is a file

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, _, position = str(error).rpartition(" (at ")
        line, _, _ = position.removeprefix("line ").partition(",")
        if not line.isdigit():  # "end of document"
            line = str(len(text.splitlines()) or 1)
        problem = f"{message[:1].lower()}{message[1:]}"
        raise ConfigError(f"{path}:{line}: not valid TOML: {problem}") from None
