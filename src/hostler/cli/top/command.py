"""`hostler top`: watch a running server, and tell it what to do by keys."""

from __future__ import annotations

import sys

from hostler.cli.asking import OPTIONS, read
from hostler.cli.top.server import Server
from hostler.config.units import Duration
from hostler.errors import ConfigError, HostlerError

__all__ = ["USAGE", "top"]

USAGE = f"""\
Usage: hostler top [--interval TIME] [--pid PID | --control PATH]

Watch a running server: its workers with their load, durations and memory, the
requests in flight, Python stacks. Keys reload it, change the number of workers
and replace one; ? shows them. Needs textual: pip install "hostler[top]".

  --interval TIME  from one look to the next (1s; from 200ms to 60s)
{OPTIONS}"""

_LEAST, _MOST = 0.2, 60.0


def top(arguments: list[str]) -> int:
    """Show the server until the user quits."""
    rest, interval = _interval(arguments)
    words, wanted = read("top", rest)
    if wanted is None:
        print(USAGE, end="")
        return 0
    if words:
        raise ConfigError(f'unexpected "{words[0]}": see hostler top --help')
    if not _is_terminal():
        raise HostlerError("top needs a terminal; for programs there is: hostler status --json")
    try:
        from hostler.cli.top.app import Top
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("textual", "rich"):
            raise
        raise HostlerError('top needs textual: pip install "hostler[top]"') from None
    server = Server(wanted)
    server.look()  # none there: said in the terminal, not in the view
    view = Top(server, interval)
    view.run()
    return view.return_code or 0


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _interval(arguments: list[str]) -> tuple[list[str], float]:
    """The other words, and the seconds from one look to the next."""
    rest: list[str] = []
    text = "1s"
    waiting = list(reversed(arguments))
    while waiting:
        argument = waiting.pop()
        name, equals, value = argument.partition("=")
        if name != "--interval":
            rest.append(argument)
            continue
        if not equals and not waiting:
            raise ConfigError("--interval needs a value")
        text = value if equals else waiting.pop()
    try:
        seconds = float(Duration.parse(text))
    except ValueError:
        seconds = 0.0
    if not _LEAST <= seconds <= _MOST:
        raise ConfigError(f'--interval: "{text}" is not a time from 200ms to 60s')
    return rest, seconds
