"""`hostler stacks`: where the threads of a running server are."""

from hostler.cli.asking import OPTIONS, which
from hostler.control.client import ask
from hostler.errors import ConfigError

__all__ = ["USAGE", "stacks"]

USAGE = f"""\
Usage: hostler stacks [WORKER] [--pid PID | --control PATH]

Print the Python stacks of a running server's threads, and the requests that
they run, without stopping it. WORKER is the number of a worker (its log lines
tell it); without it, all of them.

{OPTIONS}"""


def stacks(arguments: list[str]) -> int:
    """Ask the server, print what it says."""
    words, server = which("stacks", arguments)
    if server is None:
        print(USAGE, end="")
        return 0
    if words and (len(words) > 1 or not words[0].isdecimal()):
        raise ConfigError(f'unexpected "{words[-1]}": see hostler stacks --help')
    print(ask(server, "stacks", *words), end="")
    return 0
