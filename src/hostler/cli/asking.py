"""What the commands have in common that ask a running server: which server is meant."""

import os
import sys
from typing import NamedTuple

from hostler.control.client import Target, ask, find
from hostler.errors import ConfigError, HostlerError

__all__ = ["OPTIONS", "Wanted", "acted_on", "read", "which"]

OPTIONS = """\
  --pid PID        the server with this process id, when several run here or it
                   runs in another directory
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


def acted_on(command: str, wanted: Wanted) -> Target:
    """The server that a command is about to change; says on standard error which it is.

    Raises HostlerError for a server that was not named and runs in another directory: one that happens to be the only
    one may be another project's.
    """
    server = find(wanted.path, wanted.pid)
    known = ask(server, "status")
    said = f"pid={known['pid']} app={known.get('app')} directory={known.get('directory')}"
    is_named = wanted.path is not None or wanted.pid is not None
    if not is_named and not _is_here(known.get("directory")):
        raise HostlerError(f"the server that runs is not of this directory: {said}; say --pid {known['pid']}")
    print(f"hostler: {command}: {said}", file=sys.stderr)
    return server


def _is_here(directory: object) -> bool:
    """Whether the current directory is this one, or below it. A server that does not tell its own is anywhere."""
    if not isinstance(directory, str) or not directory:
        return True
    top = os.path.realpath(directory)
    try:
        return os.path.commonpath([top, os.path.realpath(".")]) == top
    except OSError:  # the current directory was deleted
        return False


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
