"""`hostler help`: the commands, and the options from the table."""

import textwrap
from collections.abc import Iterator
from importlib import import_module
from itertools import zip_longest
from typing import Any

from hostler.cli import version
from hostler.cli.command import COMMANDS
from hostler.config.names import closest, did_you_mean, find, hint
from hostler.config.option import Option
from hostler.config.reference import facts
from hostler.config.settings import GROUPS, OPTIONS
from hostler.errors import ConfigError

__all__ = ["answer", "explain", "one_option", "options", "overview", "screen"]

_WIDTH = 80
_COLUMN = 28  # where explanations start; a longer usage has a line of its own
_USAGES = {
    **{command: command for command in ("convert", "ctl", "reload", "shim", "stacks")},
    "status": "ctl",
    "top": "top.command",
    "upgrade": "ctl",
}  # whose text is their module's

_CLOSING = """\
SIZE is a number of bytes, or has a unit: 8192, 8K, 1M, 1G. TIME is a number of
seconds, or has a unit: 15, 15s, 500ms, 2m, 1h. Each option is also a name in
hostler.toml (queue_size = 100) and a variable (HOSTLER_QUEUE_SIZE=100); what
can be off or none also has a --no- form."""
_OTHERS = (
    ("--host HOST", "with --port: one address [default: 127.0.0.1]"),
    ("-p, --port N", "0: any that is free [default: 8000, also $PORT]"),
)
_REQUESTS = (
    ("-h, --help", "show this text"),
    ("--help-all", "show all options"),
    ("-V, --version", "show the version"),
)
_ALL = ("--all", "show the options that have their defaults too")


def explain(arguments: list[str]) -> int:
    """`hostler help [COMMAND | OPTION]`."""
    topic = next((argument for argument in arguments if argument not in ("-h", "--help")), None)
    if topic in _USAGES:
        print(import_module(f"hostler.cli.{_USAGES[topic]}").USAGE, end="")
        return 0
    if topic == "gunicorn":
        from hostler.cli.gunicorn import gunicorn

        return gunicorn(["--help"])
    if topic == "daphne":
        from hostler.cli.daphne import daphne

        return daphne(["--help"])
    if topic is None or topic in COMMANDS:
        print(screen(topic) if topic in ("serve", "check") else overview())
        return 0
    print(one_option(topic))
    return 0


def answer(request: str, command: str) -> int:
    """What --help, --help-all and --version print among a command's options."""
    if request == "version":
        return version.show()
    print(options(command) if request == "help-all" else screen(command))
    return 0


def overview() -> str:
    """The commands."""
    lines = [
        "hostler - an application server for Python web applications",
        "",
        "Usage: hostler COMMAND ...",
        "",
        *(line for name, summary in COMMANDS.items() for line in _command(name, summary)),
        "",
        "Start with: hostler serve module:application, or only hostler serve in a",
        "project. The options: hostler help serve, and hostler help OPTION.",
    ]
    return "\n".join(lines)


def _command(name: str, summary: str) -> Iterator[str]:
    lines = textwrap.wrap(summary, _WIDTH - 12)
    for left, right in zip_longest([f"  {name}"], lines, fillvalue=""):
        yield f"{left:<12}{right}"


def screen(command: str) -> str:
    """The options of `serve` or `check` that are wanted first: one screen."""
    lines = _head(command)
    for option in OPTIONS.values():
        if option.brief:
            lines += _described(_usage(option), option.brief)
        if option.name == "bind":
            lines += [line for usage, text in _OTHERS for line in _described(usage, text)]
    return "\n".join([*lines, *_foot(command), "", "One option: hostler help OPTION. Their page: docs/settings.md."])


def options(command: str) -> str:
    """All options of `serve` or `check`, which are the same."""
    lines = _head(command)
    for group in GROUPS:
        lines.append(f"{group.heading}:")
        for option in group.options():
            lines += _described(_usage(option), f"{option.about} [{', '.join(_notes(option))}]")
            if option.name == "bind":
                lines += [line for usage, text in _OTHERS for line in _described(usage, text)]
        lines.append("")
    return "\n".join([*lines, *_foot(command), "", _CLOSING])


def one_option(topic: str) -> str:
    """The page of one option, by any of its names; ConfigError when there is none."""
    name = topic.lstrip("-")
    short = [option for option in OPTIONS.values() if option.short and option.short == topic]
    option = next(iter(short), None) or find(name)
    if option is None:
        likely = did_you_mean(closest(topic, list(COMMANDS))) or hint(name, lambda option: option.name)
        raise ConfigError(f'unknown command or option "{topic}"{likely}')
    lines = [f"  {_usage(option)}", "", *textwrap.wrap(option.about, _WIDTH, break_on_hyphens=False), ""]
    for fact in facts(option):
        lines += textwrap.wrap(fact.replace("`", ""), _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join(lines)


def _head(command: str) -> list[str]:
    about = textwrap.wrap(f"{COMMANDS[command].capitalize()}.", _WIDTH)
    return [f"Usage: hostler {command} [APP] [options]", "", *about, ""]


def _foot(command: str) -> Iterator[str]:
    for usage, text in (*((_ALL,) if command == "check" else ()), *_REQUESTS):
        yield from _described(usage, text)


def _usage(option: Option[Any]) -> str:
    if option.name == "app":
        return "APP"
    usage = option.kind.usage(option.flag)
    return f"{option.short}, {usage}" if option.short else usage


def _notes(option: Option[Any]) -> Iterator[str]:
    if option.kind.metavar == "WORD":  # too many words for the usage
        yield option.kind.expects
    yield f"default: {option.default_text}"
    if option.unit:
        yield f"in {option.unit}"
    if option.kind.is_repeatable:
        yield "repeatable"
    if option.platform:
        yield f"also ${option.platform[0]}"


def _described(usage: str, text: str) -> Iterator[str]:
    """A usage on the left and its text on the right, or below where the usage is long."""
    lines = textwrap.wrap(text, _WIDTH - _COLUMN, break_long_words=False, break_on_hyphens=False)
    if len(usage) + 2 > _COLUMN - 2:
        yield from textwrap.wrap(f"  {usage}", _WIDTH, subsequent_indent="      ", break_on_hyphens=False)
        yield from (f"{'':<{_COLUMN}}{line}" for line in lines)
        return
    for left, right in zip_longest([f"  {usage}"], lines, fillvalue=""):
        yield f"{left:<{_COLUMN}}{right}"
