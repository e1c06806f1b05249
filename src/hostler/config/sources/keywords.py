"""Keyword arguments of `hostler.serve(...)` as assignments."""

from collections.abc import Mapping

from hostler.config.names import find, hint
from hostler.config.settings import Assignment
from hostler.errors import ConfigError

__all__ = ["from_keywords"]


def from_keywords(options: Mapping[str, object]) -> list[Assignment]:
    """One assignment for each keyword."""
    assignments = []
    for name, value in options.items():
        option = find(name)
        if option is None:
            meant = hint(name, lambda option: option.name)
            raise ConfigError(f'serve(): unknown option "{name}"{meant}')
        where = f"serve({option.name}=...)"
        assignments.append(Assignment(option.name, value, where, where))
    return assignments
