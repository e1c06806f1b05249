"""Bring the sources together: command line before environment before file before default."""

from collections.abc import Mapping, Sequence

from hostler.config.checks import check_directories, check_users, check_values, warn_of_idle_options
from hostler.config.exposure import warn_of_exposed, warn_of_open_sockets
from hostler.config.settings import Assignment, Config
from hostler.config.sources.environment import from_environment, from_platform, warn_of_variables
from hostler.config.sources.file import discover, from_file

__all__ = ["load", "settled"]


def load(
    given: Sequence[Assignment] = (),
    environ: Mapping[str, str] | None = None,
    defaults: Sequence[Assignment] = (),
) -> Config:
    """The configuration of this process.

    `given` comes from the command line or from `hostler.serve(...)` and wins over everything else. `defaults` take the
    place of the table's where a command has others, and lose against everything else. Raises ConfigError, one line,
    for the first thing that is wrong.
    """
    if environ is None:
        import os

        environ = os.environ
    chosen = [*from_environment(environ), *given]
    names = {assignment.name for assignment in chosen}
    # A platform's hint is only looked at where nobody decided: a strange $PORT must not stop a --bind.
    hints = [hint for hint in from_platform(environ) if hint.name not in names]
    assignments = settled([*defaults, *_file(chosen), *hints, *chosen])
    config = Config(assignments)
    check_users(config)
    check_directories(config)
    warnings = (
        *warn_of_variables(environ),
        *warn_of_idle_options(config),
        *warn_of_exposed(config),
        *warn_of_open_sockets(config),
    )
    return Config(assignments, warnings) if warnings else config


def settled(assignments: Sequence[Assignment]) -> Sequence[Assignment]:
    """These, the last one of a name being the strongest, with defaults that follow from them.

    Raises ConfigError where they contradict each other; what this machine has to do with it is not looked at.
    """
    config = Config(assignments)
    if config.source("limit_request_line") == "default" and config.limit_request_line > config.limit_request_head:
        head = config.limit_request_head  # a smaller head holds a smaller line
        follows = Assignment("limit_request_line", head, "limit_request_head", "limit_request_head")
        assignments = [follows, *assignments]
        config = Config(assignments)
    check_values(config)
    return assignments


def _file(chosen: Sequence[Assignment]) -> list[Assignment]:
    """What the configuration file says: the one that was named, or the one that is found."""
    path = Config(a for a in chosen if a.name == "config").config
    if path is not None:
        return from_file(path)
    path = discover()
    if path is None:
        return []
    return [Assignment("config", path, "found here", path), *from_file(path)]
