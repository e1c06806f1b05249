"""`hostler gunicorn`: read, translate, and serve."""

from __future__ import annotations

import os
import sys
import textwrap

from hostler.cli.gunicorn.environment import Environment
from hostler.cli.gunicorn.reading import Given, read
from hostler.cli.gunicorn.settings import BY_NAME, HONOURED, SETTINGS, SWITCH, is_on
from hostler.cli.gunicorn.translation import Translated, settings_of, translate
from hostler.config import Config, load

__all__ = ["gunicorn"]

_WIDTH = 80
_MOST_SHOWN = 60


def gunicorn(arguments: list[str]) -> int:
    """Serve what a gunicorn command line says; returns the exit code."""
    given = read(arguments, os.environ)
    if given.request == "help":
        print(_help())
        return 0
    if given.request == "version":
        from hostler.cli.version import show

        return show()
    translated = translate(given)
    for warning in translated.warnings:
        print(f"hostler: {warning}", file=sys.stderr)
    config = _config(translated)
    if _wants(given, "print_config"):
        print(_shown(given, config))
    if _wants(given, "check_config"):
        from hostler.cli.check import check_app

        return check_app(config)
    if _wants(given, "print_config"):
        return 0
    from hostler.launcher import run

    environment = Environment()
    environment.change(config.env)

    def reread() -> Config:
        with environment.aside():
            fresh = _config(translate(read(arguments, os.environ)))
        environment.change(fresh.env)
        return fresh

    return run(config, reread=reread)


def _config(translated: Translated) -> Config:
    return load(translated.assignments, defaults=translated.defaults)


def _wants(given: Given, name: str) -> bool:
    found = given.values.get(name)
    return found is not None and is_on(found.value)


def _shown(given: Given, config: Config) -> str:
    """Each of gunicorn's settings with its value, and what became of it."""
    values = settings_of(given)
    lines = []
    for name in sorted(BY_NAME):
        setting, value = BY_NAME[name], values[name]
        shown = getattr(given.hooks.get(name), "__name__", None) if name in given.hooks else repr(value)
        text = f"{name} = {str(shown)[:_MOST_SHOWN]}"
        if setting.option:
            text = f"{text:<50} # {setting.option} = {_value(config, setting.option)}"
        elif setting.fate != HONOURED:
            text = f"{text:<50} # {setting.fate}"
        lines.append(text)
    return "\n".join(lines)


def _value(config: Config, option: str) -> str:
    return next(value for name, value, _ in config.lines() if name == option)


def _help() -> str:
    lines = ["usage: hostler gunicorn [options] APP_MODULE", "", "gunicorn's options, and what each means here:", ""]
    for setting in SETTINGS:
        if setting.flags:
            value = "" if setting.takes == SWITCH else " VALUE"
            lines += textwrap.wrap(
                f"{', '.join(setting.flags)}{value}", _WIDTH, initial_indent="  ", subsequent_indent="  "
            )
            about = setting.text if setting.fate == HONOURED else f"{setting.fate}: {setting.text}"
            lines += textwrap.wrap(about, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
    lines += [
        "",
        "Every option of `hostler serve` can be set too: in hostler.toml, or as",
        "HOSTLER_… in the environment.",
    ]
    return "\n".join(lines)
