"""One option: everything that is known about it, written once.

An Option is a descriptor. On the class it is the entry of the table; on a Config it is the value, with the
type of its kind, so `Config.workers.about` and `config.workers + 1` both work and mypy knows both.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Generic, NoReturn, TypeVar, overload

from hostler.config.kinds import Kind

__all__ = ["Group", "Option"]

T = TypeVar("T")


class Option(Generic[T]):
    """An option of the server. Its name is the attribute it is bound to."""

    __slots__ = (
        "about",
        "brief",
        "default",
        "gunicorn",
        "kind",
        "name",
        "platform",
        "short",
        "unit",
        "uvicorn",
        "uwsgi",
    )

    def __init__(
        self,
        kind: Kind[T],
        default: object,
        about: str,
        *,
        brief: str = "",
        unit: str = "",
        short: str = "",
        platform: tuple[str, str] | None = None,
        gunicorn: str = "",
        uwsgi: str = "",
        uvicorn: str = "",
    ) -> None:
        self.kind = kind
        self.default = default  # as a user would write it; read by `kind` like any other value
        self.about = about
        self.brief = brief  # the line of `hostler serve --help`; empty: only --help-all has the option
        self.unit = unit  # where the kind of value does not tell it: "bytes per second"
        self.short = short  # "-w"
        self.platform = platform  # a variable of hosting platforms, and the value it stands for
        self.gunicorn = gunicorn.split()  # what other servers call it, as their settings spell it
        self.uwsgi = uwsgi.split()
        self.uvicorn = uvicorn.split()
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "Option[T]": ...
    @overload
    def __get__(self, instance: "Group", owner: type) -> T: ...
    def __get__(self, instance: "Group | None", owner: type) -> "Option[T] | T":
        if instance is None:
            return self
        value: T = instance.values[self.name]
        return value

    def __set__(self, instance: "Group", value: NoReturn) -> None:
        raise AttributeError(f"{self.name} cannot change: a Config is immutable")

    @property
    def flag(self) -> str:
        """The name on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The name in the environment."""
        return "HOSTLER_" + self.name.upper()

    @property
    def default_text(self) -> str:
        """The default as it is shown to users."""
        return self.kind.show(self.kind.parse(self.default))


class Group:
    """Base of the option groups: a heading, a sentence or two, and the options as class attributes."""

    __slots__ = ()

    heading = ""
    about = ""

    @property
    def values(self) -> Mapping[str, Any]:
        """Parsed values by option name; only Config has any."""
        raise NotImplementedError

    @classmethod
    def options(cls) -> Iterator[Option[Any]]:
        """This group's options in the order they are written."""
        return (entry for entry in vars(cls).values() if isinstance(entry, Option))
