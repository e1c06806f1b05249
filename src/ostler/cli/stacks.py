"""`ostler stacks`: where the threads of a running server are."""

from ostler.control.client import ask, find
from ostler.errors import ConfigError

__all__ = ["USAGE", "stacks"]

USAGE = """\
Usage: ostler stacks [WORKER] [--pid PID | --control PATH]

Print the Python stacks of a running server's threads, and the requests that they run, without stopping it. WORKER is
the number of a worker (its log lines tell it); without it, all of them.

  --pid PID        the server with this process id, when several run here
  --control PATH   the server whose option `control` has this path
  -h, --help       show this text
"""


def stacks(arguments: list[str]) -> int:
    """Ask the server, print what it says."""
    worker, path, pid = "", None, None
    waiting = list(reversed(arguments))
    while waiting:
        argument = waiting.pop()
        name, equals, value = argument.partition("=")
        if argument in ("-h", "--help"):
            print(USAGE, end="")
            return 0
        if name in ("--pid", "--control"):
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
        elif argument.isdecimal() and not worker:
            worker = argument
        else:
            raise ConfigError(f'unexpected "{argument}": see ostler stacks --help')
    print(ask(find(path, pid), f"stacks {worker}".rstrip()), end="")
    return 0
