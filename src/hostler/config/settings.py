"""Config: all options with their values, parsed and immutable, and where each value came from."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from hostler.config.groups.application import Application
from hostler.config.groups.binding import Binding
from hostler.config.groups.development import Development
from hostler.config.groups.limits import Limits
from hostler.config.groups.logs import Logs
from hostler.config.groups.monitoring import Monitoring
from hostler.config.groups.process import Process
from hostler.config.groups.timeouts import Timeouts
from hostler.config.groups.websockets import WebSockets
from hostler.config.groups.workers import Workers
from hostler.config.option import Group, Option
from hostler.errors import ConfigError

__all__ = ["GROUPS", "OPTIONS", "Assignment", "Config"]

GROUPS: tuple[type[Group], ...] = (
    Application, Binding, Workers, Limits, Timeouts, WebSockets, Logs, Monitoring, Process, Development,
)  # fmt: skip
OPTIONS: Mapping[str, Option[Any]] = {option.name: option for group in GROUPS for option in group.options()}


class Assignment(NamedTuple):
    """A value that some source gives to an option, not parsed yet."""

    name: str  # a key of OPTIONS
    value: object
    where: str  # "hostler.toml:7", "HOSTLER_WORKERS", "--workers"
    label: str  # starts the line of a complaint: `where`, and the option's name if that does not tell it


class Config(Application, Binding, Workers, Limits, Timeouts, WebSockets, Logs, Monitoring, Process, Development):
    """The whole configuration: `config.workers`, `config.keepalive`, ... with the types of the table.

    Made from assignments, later ones before earlier ones; options without one have their default.
    """

    __slots__ = ("_origins", "_values", "_warnings")

    def __init__(self, assignments: Iterable[Assignment] = (), warnings: Iterable[str] = ()) -> None:
        values = {option.name: option.kind.parse(option.default) for option in OPTIONS.values()}
        origins = {}
        for assignment in assignments:
            name = assignment.name
            try:
                values[name] = OPTIONS[name].kind.parse(assignment.value)
            except ValueError as error:
                raise ConfigError(f"{assignment.label}: {error}") from None
            origins[name] = assignment
        self._values = values
        self._origins = origins
        self._warnings = tuple(warnings)

    @property
    def values(self) -> Mapping[str, Any]:
        """Parsed values by option name."""
        return self._values

    @property
    def warnings(self) -> tuple[str, ...]:
        """What looks like a mistake and stops nothing, one line each, for the log of the server or the terminal."""
        return self._warnings

    def replaced(self, name: str, value: object, where: str) -> "Config":
        """A copy in which one option has another value, which `where` explains."""
        assignment = Assignment(name, value, where, where)
        return Config([*self._origins.values(), assignment], self._warnings)

    def source(self, name: str) -> str:
        """Where a value came from: "default", "hostler.toml:7", "HOSTLER_WORKERS", "--workers"."""
        origin = self._origins.get(name)
        return origin.where if origin else "default"

    def complaint(self, name: str, problem: str) -> ConfigError:
        """The error for a value that reads well but cannot be used, which names its source."""
        origin = self._origins.get(name)
        return ConfigError(f"{origin.label if origin else name}: {problem}")

    def lines(self) -> Iterator[tuple[str, str, str]]:
        """Every option as name, value as text, source."""
        for name, option in OPTIONS.items():
            yield name, option.kind.show(self._values[name]), self.source(name)
