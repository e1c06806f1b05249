"""What the commands have in common that ask a running server: which server is meant."""

from typing import NamedTuple

from hostler.control.client import Target, find
from hostler.errors import ConfigError

__all__ = ["OPTIONS", "Wanted", "read", "which"]

OPTIONS = """\
  --pid PID        the server with this process id, when several run here
  --control PATH   the server whose option `control` has this path
  -h, --help       show this text
"""


class Wanted(NamedTuple):
    """Which server is meant; neither: the only one there is."""

    path: str | None
    pid: int | None


def which(command: str, arguments: list[str]) -> tuple[list[str], Target | None]:
    """The other words of a command line, and the server's control socket; None when help was asked for.

    Raises ConfigError for what cannot be read, HostlerError when there is no such server.
    """
    words, server = read(command, arguments)
    return words, find(server.path, server.pid) if server is not None else None


def read(command: str, arguments: list[str]) -> tuple[list[str], Wanted | None]:
    """As `which`, without looking for the server."""
    words: list[str] = []
    path, pid = None, None
    waiting = list(reversed(arguments))
    while waiting:
        argument = waiting.pop()
        name, equals, value = argument.partition("=")
        if argument in ("-h", "--help"):
            return [], None
        if name not in ("--pid", "--control"):
            if argument.startswith("-"):
                raise ConfigError(f'unexpected "{argument}": see hostler {command} --help')
            words.append(argument)
            continue
        if not equals:
            if not waiting:
                raise ConfigError(f"{name} needs a value")
            value = waiting.pop()
        if name == "--control":
            path = value
        elif value.isdecimal():
            pid = int(value)
        else:
            raise ConfigError(f'--pid: "{value}" is not a process id')
    return words, Wanted(path, pid)
