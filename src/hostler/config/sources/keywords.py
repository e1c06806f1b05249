"""Keyword arguments of `hostler.serve(...)` as assignments."""

from collections.abc import Mapping

from hostler.config.names import find, hint
from hostler.config.settings import Assignment
from hostler.config.sources.host_port import written
from hostler.errors import ConfigError

__all__ = ["from_keywords"]


def from_keywords(options: Mapping[str, object], host: str | None = None, port: object = None) -> list[Assignment]:
    """One assignment for each keyword; `host` and `port` are one of `bind`."""
    assignments = []
    if host is not None or port is not None:
        if "bind" in options:
            raise ConfigError("serve(): give either host and port or bind")
        where = "serve(host=..., port=...)"
        address = written(host, port, ("serve(host=...)", "serve(port=...)"))
        assignments.append(Assignment("bind", address, where, where))
    for name, value in options.items():
        option = find(name)
        if option is None:
            meant = hint(name, lambda option: option.name)
            raise ConfigError(f'serve(): unknown option "{name}"{meant}')
        where = f"serve({option.name}=...)"
        assignments.append(Assignment(option.name, value, where, where))
    return assignments
