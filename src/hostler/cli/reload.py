"""`hostler reload`: have a running server take up new code and configuration."""

from hostler.cli.asking import OPTIONS, acted_on, read
from hostler.control.client import ask
from hostler.errors import ConfigError

__all__ = ["USAGE", "reload"]

USAGE = f"""\
Usage: hostler reload [--pid PID | --control PATH]

Have a running server read its configuration again and replace its workers, one
after the other, each when its replacement is ready. Waits until the last one is
replaced. A new version that does not load changes nothing: the old workers
serve on, what went wrong is shown, and the exit code is 1. SIGHUP does the same
without waiting.

{OPTIONS}"""


def reload(arguments: list[str]) -> int:
    """Ask the server, print how it went."""
    words, wanted = read("reload", arguments)
    if wanted is None:
        print(USAGE, end="")
        return 0
    if words:
        raise ConfigError(f'unexpected "{words[0]}": see hostler reload --help')
    print(ask(acted_on("reload", wanted), "reload", patient=True), end="")
    return 0
