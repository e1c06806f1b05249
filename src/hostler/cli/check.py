"""`hostler check`: what would be served, and how, without listening."""

import os
import signal
import sys
from collections.abc import Iterator

from hostler.cli.command import report
from hostler.config import Config, from_arguments, load
from hostler.errors import AppLoadError, HostlerError
from hostler.proc.printable import printable

__all__ = ["check", "check_app"]

_VALUE_WIDTH = 34  # a longer value pushes only its own source to the right


def check(arguments: list[str]) -> int:
    """Print the options that are set, each with its value and source (--all: the others too), then import the app."""
    given = from_arguments([each for each in arguments if each != "--all"])
    if given.request:
        from hostler.cli.help import answer

        return answer(given.request, "check")
    config = load(given.assignments)
    for line in _table(config, "--all" in arguments):
        print(line)
    return check_app(config)


def _table(config: Config, is_whole: bool) -> Iterator[str]:
    every = list(config.lines())
    rows = [row for row in every if is_whole or row[2] != "default"]
    names = max((len(name) for name, _, _ in rows), default=0)
    values = max((len(value) for _, value, _ in rows if len(value) <= _VALUE_WIDTH), default=0)
    for name, value, source in rows:
        yield f"{name:<{names}}  {value:<{values}}  {source}"
    if len(rows) < len(every):
        yield f"{len(every) - len(rows)} options have their defaults: hostler check --all shows them"


def check_app(config: Config) -> int:
    """Show the warnings. Then import the application in a child, so that a crash is noticed and threads do not stay."""
    from hostler.proc.fork import fork

    for text in config.warnings:
        print(f"hostler: warning: {printable(text)}", file=sys.stderr)
    pid = fork(lambda: None, lambda: _load_app(config), {})
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code < 0:
        raise AppLoadError(f"importing the application ended its process by {signal.Signals(-code).name}")
    return code


def _load_app(config: Config) -> int:
    from hostler.worker import loading
    from hostler.worker.about import describe
    from hostler.worker.boot import become_user

    if config.chdir is not None:
        os.chdir(config.chdir)
    loading.extend_path(config.pythonpath)
    try:
        become_user(config)  # as a worker: root must not run the application's code
        apps = loading.load_all(config.app, config.interface)
    except HostlerError as error:
        return report(error)
    facts, *warnings = describe(config, apps).splitlines()
    settings = facts.partition(" settings=")[2]
    names = ", ".join(sorted((each.name for each in apps), key=len))
    kinds = ", ".join(f"{type(each.app).__name__}, {'ASGI' if each.is_asgi else 'WSGI'}" for each in apps)
    print(f"\nThe application loads: {names} ({kinds}{f', settings {settings}' if settings else ''})")
    for text in warnings:
        print(f"hostler: warning: {printable(text)}", file=sys.stderr)
    return 0
