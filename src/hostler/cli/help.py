"""`hostler help`: the commands, and the options from the table."""

import textwrap
from collections.abc import Iterator
from importlib import import_module
from itertools import zip_longest
from typing import Any

from hostler.cli import version
from hostler.cli.command import COMMANDS
from hostler.config.names import closest, did_you_mean
from hostler.config.option import Option
from hostler.config.settings import GROUPS
from hostler.errors import ConfigError

__all__ = ["answer", "explain", "options", "overview"]

_WIDTH = 96
_COLUMN = 38  # where explanations start, after the longest usage
_USAGES = {
    **{command: command for command in ("convert", "ctl", "reload", "shim", "stacks")},
    "status": "ctl",
    "top": "top.command",
    "upgrade": "ctl",
}  # whose text is their module's

_CLOSING = """\
SIZE is a number of bytes, or has a unit: 8192, 8K, 1M, 1G. TIME is a number of seconds, or has
a unit: 15, 15s, 500ms, 2m, 1h. Each option is also a name in hostler.toml (queue_size = 100)
and a variable (HOSTLER_QUEUE_SIZE=100); what can be off or none also has a --no- form."""


def explain(arguments: list[str]) -> int:
    """`hostler help [COMMAND]`."""
    topic = next((argument for argument in arguments if not argument.startswith("-")), None)
    if topic is not None and topic not in COMMANDS:
        meant = did_you_mean(closest(topic, list(COMMANDS)))
        raise ConfigError(f'unknown command "{topic}"{meant}')
    if topic in _USAGES:
        print(import_module(f"hostler.cli.{_USAGES[topic]}").USAGE, end="")
        return 0
    print(options(topic) if topic in ("serve", "check") else overview())
    return 0


def answer(request: str, command: str) -> int:
    """What --help and --version print among a command's options."""
    if request == "version":
        return version.show()
    print(options(command))
    return 0


def overview() -> str:
    """The commands."""
    lines = [
        "hostler - an application server for Python web applications",
        "",
        "Usage: hostler COMMAND ...",
        "",
        *(f"  {name:<10}{summary}" for name, summary in COMMANDS.items()),
        "",
        "Start with: hostler serve module:application, or only hostler serve in a Django project.",
        "All options: hostler help serve",
    ]
    return "\n".join(lines)


def options(command: str) -> str:
    """The options of `serve` or `check`, which are the same."""
    lines = [f"Usage: hostler {command} [APP] [options]", "", f"{COMMANDS[command].capitalize()}.", ""]
    for group in GROUPS:
        lines.append(f"{group.heading}:")
        for option in group.options():
            lines.extend(_entry(option))
        lines.append("")
    lines.extend(_described("-h, --help", "Show this text."))
    lines.extend(_described("-V, --version", "Show the version."))
    return "\n".join([*lines, "", _CLOSING])


def _entry(option: Option[Any]) -> Iterator[str]:
    usage = f"{option.flag} {option.kind.metavar}"
    if option.short:
        usage = f"{option.short}, {usage}"
    if option.name == "app":
        usage = f"APP, {usage}"
    notes = [f"default: {option.default_text}"]
    if option.unit:
        notes.append(f"in {option.unit}")
    if option.kind.is_repeatable:
        notes.append("repeatable")
    if option.platform:
        notes.append(f"also ${option.platform[0]}")
    yield from _described(usage, f"{option.about} [{', '.join(notes)}]")


def _described(usage: str, text: str) -> Iterator[str]:
    """A usage on the left and its text on the right."""
    lines = textwrap.wrap(text, _WIDTH - _COLUMN, break_long_words=False, break_on_hyphens=False)
    for left, right in zip_longest([f"  {usage}"], lines, fillvalue=""):
        yield f"{left:<{_COLUMN}}{right}"
