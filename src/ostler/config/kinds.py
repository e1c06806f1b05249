"""The sorts of values an option can have: how each is read, shown and described.

A kind reads a value from any source: text (command line, environment), what TOML has (text, numbers,
booleans, arrays) or a Python value (`ostler.serve(...)`). What it cannot read ends in a ValueError whose
message completes the line "<where>: ...", e.g. `"many" is not a whole number >= 1`.
"""

from collections.abc import Mapping
from typing import Generic, TypeVar

from ostler.config.address import (
    Address,
    DescriptorAddress,
    TcpAddress,
    UnixAddress,
    parse_address,
)
from ostler.config.hook_source import NAMES, HookSource
from ostler.config.mounts import Mount
from ostler.config.units import Duration, Mode, Size, digits

__all__ = [
    "Apps",
    "AutoOr",
    "Choice",
    "HeaderText",
    "Hooks",
    "Kind",
    "ListenAddress",
    "LogConfig",
    "LogFormat",
    "Many",
    "Maybe",
    "Name",
    "Pairs",
    "Path",
    "Permissions",
    "Span",
    "StatsdAddress",
    "Switch",
    "SyslogAddress",
    "Text",
    "Trusted",
    "UrlPath",
    "Volume",
    "Whole",
    "quote",
]

T = TypeVar("T")


class Kind(Generic[T]):
    """Base of all kinds; a subclass says what it expects and reads it."""

    __slots__ = ("expects", "metavar")

    def __init__(self, metavar: str, expects: str) -> None:
        self.metavar = metavar  # stands for the value in --help
        self.expects = expects  # completes "is not ...": "a whole number >= 1"

    def parse(self, value: object) -> T:
        """Turn a raw value into the typed one; ValueError when it is something else."""
        try:
            return self.read(value)
        except ValueError as error:
            raise ValueError(str(error) or f"{quote(value)} is not {self.expects}") from None

    def read(self, value: object) -> T:
        """What `parse` does for this kind; a ValueError without a message gets the usual one."""
        raise NotImplementedError

    def show(self, value: T) -> str:
        """The text that reads back as `value`."""
        return str(value)

    @property
    def off(self) -> str | None:
        """The word that switches the option off (`--no-access-log`), when it can be off."""
        return None

    @property
    def bare(self) -> str | None:
        """The word that the option alone stands for (`--preload`), when it needs no value."""
        return None

    def is_word(self, text: str) -> bool:
        """Whether `text` after such an option is its value all the same."""
        return False

    @property
    def is_repeatable(self) -> bool:
        """Whether the option holds several values."""
        return False

    def join(self, earlier: object, later: object) -> object:
        """Both values of an option that was given twice, where it holds several."""
        return f"{earlier},{later}"


class Whole(Kind[int]):
    """A whole number between two bounds."""

    __slots__ = ("maximum", "minimum")

    def __init__(self, minimum: int, maximum: int | None = None) -> None:
        bounds = f">= {minimum}" if maximum is None else f"from {minimum} to {maximum}"
        super().__init__("N", f"a whole number {bounds}")
        self.minimum = minimum
        self.maximum = maximum

    def read(self, value: object) -> int:
        number = digits(value.strip()) if isinstance(value, str) else value
        if isinstance(number, bool) or not isinstance(number, int) or number < self.minimum:
            raise ValueError
        if self.maximum is not None and number > self.maximum:
            raise ValueError
        return number


class Volume(Kind[Size]):
    """A number of bytes between two bounds."""

    __slots__ = ("maximum", "minimum")

    def __init__(self, minimum: str, maximum: str = "1024T") -> None:
        super().__init__("SIZE", f"a size such as 8192, 8K or 1M, from {minimum} to {maximum}")
        self.minimum = Size.parse(minimum)
        self.maximum = Size.parse(maximum)

    def read(self, value: object) -> Size:
        size = Size.parse(value)
        if not self.minimum <= size <= self.maximum:
            raise ValueError
        return size


class Span(Kind[Duration]):
    """A time span between two bounds; a minimum above zero keeps a limit from being switched off."""

    __slots__ = ("maximum", "minimum")

    def __init__(self, minimum: str, maximum: str = "1d") -> None:
        example = "a duration such as 15, 15s, 500ms or 2m"
        super().__init__("TIME", f"{example}, from {minimum} to {maximum}")
        self.minimum = Duration.parse(minimum)
        self.maximum = Duration.parse(maximum)

    def read(self, value: object) -> Duration:
        duration = Duration.parse(value)
        if not self.minimum <= duration <= self.maximum:
            raise ValueError
        return duration


class Permissions(Kind[Mode]):
    """The permission bits of a file."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("MODE", 'permission bits as octal text such as "660"')

    def read(self, value: object) -> Mode:
        return Mode.parse(value)


class ListenAddress(Kind[Address]):
    """An address to listen on."""

    __slots__ = ()

    def __init__(self) -> None:
        forms = "host:port, :port, port, [v6]:port, unix:/path, unix:@name or fd://N"
        super().__init__("ADDRESS", f"an address ({forms})")

    def read(self, value: object) -> Address:
        if isinstance(value, TcpAddress | UnixAddress | DescriptorAddress):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)  # bind = 8000
        if not isinstance(value, str):
            raise ValueError
        try:
            return parse_address(value)
        except ValueError as error:
            reason = f": {error}" if str(error) else f": {self.expects}"
            raise ValueError(f"{quote(value)} is not an address{reason}") from None


class Text(Kind[str]):
    """Some text: not empty, no control characters."""

    __slots__ = ()

    def __init__(self, metavar: str = "TEXT", expects: str = "a text") -> None:
        super().__init__(metavar, expects)

    def read(self, value: object) -> str:
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            raise ValueError
        return value


class Path(Text):
    """A path of a file or folder, kept as it was written; relative ones follow `chdir`."""

    __slots__ = ()

    def __init__(self, metavar: str = "PATH", expects: str = "a path") -> None:
        super().__init__(metavar, expects)

    def read(self, value: object) -> str:
        # Any name a file can have, so no more is asked than the kernel asks.
        if not isinstance(value, str) or not value or "\0" in value:
            raise ValueError
        return value


class Name(Text):
    """A name as the system's databases have them, or a number."""

    __slots__ = ()

    def read(self, value: object) -> str:
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return str(value)
        text = super().read(value)
        if any(mark in text for mark in ":/ "):
            raise ValueError
        return text


class UrlPath(Text):
    """A path of URLs, without its last slash: "" is the root."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("PATH", "a path such as /health")

    def read(self, value: object) -> str:
        text = super().read(value)
        if not text.startswith("/") or not text.isascii() or set(text) & set(" ?#%"):
            raise ValueError
        return text.rstrip("/")

    def show(self, value: str) -> str:
        return value or "/"


class HeaderText(Text):
    """The value of a header field: visible ASCII and spaces, so that it cannot split a response."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("TEXT", "the value of a header (printable ASCII)")

    def read(self, value: object) -> str:
        text = super().read(value)
        if not text.isascii() or text != text.strip():
            raise ValueError
        return text


class LogFormat(Text):
    """An access log line: "json", or text with gunicorn's atoms."""

    __slots__ = ()

    ATOMS = frozenset("hlutrmUqHsBbfaTMDLQp")
    KEYED = frozenset("ioe")  # %({x}i)s, o, e: request header, response header, environ

    def __init__(self) -> None:
        super().__init__("FORMAT", 'a log format: "json", or text with atoms such as %(h)s')

    def read(self, value: object) -> str:
        text = super().read(value)
        rest = text
        while "%" in rest:
            rest = rest[rest.index("%") :]
            if rest.startswith("%%"):
                rest = rest[2:]
                continue
            atom, end, after = rest[2:].partition(")s")
            if rest[1:2] != "(" or not end:
                hint = "%% is a percent sign"
                raise ValueError(f"{quote(rest)} is not an atom such as %(h)s; {hint}")
            if not self._is_atom(atom):
                raise ValueError(f"the access log has no atom %({atom})s")
            rest = after
        return text

    def _is_atom(self, atom: str) -> bool:
        if atom.startswith("{"):
            return len(atom) > 3 and atom[-2] == "}" and atom[-1] in self.KEYED
        return atom in self.ATOMS


class Choice(Kind[T]):
    """One of a few words, each with its value."""

    __slots__ = ("words",)

    def __init__(self, words: Mapping[str, T]) -> None:
        super().__init__("WORD", f"one of {', '.join(words)}")
        self.words = words

    def read(self, value: object) -> T:
        if not isinstance(value, str) or value.strip().lower() not in self.words:
            raise ValueError
        return self.words[value.strip().lower()]

    def show(self, value: T) -> str:
        return next(word for word, meaning in self.words.items() if meaning == value)


class Maybe(Kind[T | None]):
    """Another kind, or nothing: `off`, `none`, or `false` in TOML."""

    __slots__ = ("inner", "word")

    def __init__(self, inner: Kind[T], word: str = "none") -> None:
        super().__init__(inner.metavar, f'{inner.expects}, or "{word}"')
        self.inner = inner
        self.word = word

    def read(self, value: object) -> T | None:
        if value is None or value is False or value in ("off", "none"):
            return None
        return self.inner.read(value)

    def show(self, value: T | None) -> str:
        return self.word if value is None else self.inner.show(value)

    @property
    def off(self) -> str:
        return self.word


class AutoOr(Kind[T | None]):
    """Another kind, or `auto`: left to the server, which is None."""

    __slots__ = ("inner",)

    def __init__(self, inner: Kind[T]) -> None:
        super().__init__(inner.metavar, f'{inner.expects}, or "auto"')
        self.inner = inner

    def read(self, value: object) -> T | None:
        return None if value is None or value == "auto" else self.inner.read(value)

    def show(self, value: T | None) -> str:
        return "auto" if value is None else self.inner.show(value)


class Many(Kind[tuple[T, ...]]):
    """Several values of another kind: an array, or one text with commas."""

    __slots__ = ("at_least", "inner")

    def __init__(self, inner: Kind[T], at_least: int = 0) -> None:
        super().__init__(inner.metavar, inner.expects)
        self.inner = inner
        self.at_least = at_least

    def read(self, value: object) -> tuple[T, ...]:
        items: list[object]
        if not self.at_least and value in (None, False, "none"):
            items = []
        elif isinstance(value, str):
            items = [part.strip() for part in value.split(",") if part.strip()]
        elif isinstance(value, list) or type(value) is tuple:  # not an Address, which is one item
            items = list(value)
        else:
            items = [value]
        if len(items) < self.at_least:
            raise ValueError(f"{quote(value)} holds no value: {self.expects}")
        return tuple(self.inner.parse(item) for item in items)

    def show(self, value: tuple[T, ...]) -> str:
        return ",".join(self.inner.show(item) for item in value) or "none"

    @property
    def is_repeatable(self) -> bool:
        return True


class Apps(Kind[tuple[Mount, ...]]):
    """The applications of one server: a text for each, or tables with target, path and protocols."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("APP", "an application such as shop.wsgi:application")

    def read(self, value: object) -> tuple[Mount, ...]:
        if value in (None, False, "none"):
            return ()
        if isinstance(value, str) and value.lstrip().startswith("["):
            value = self._listed(value)
        items = value if isinstance(value, list | tuple) and not isinstance(value, Mount) else [value]
        return tuple(self._mount(item) for item in items)

    def _listed(self, text: str) -> list[object]:
        import json  # only for several applications in one text

        try:
            items: list[object] = json.loads(text)
        except ValueError:
            raise ValueError(f'{quote(text)} is not a list such as ["shop.wsgi", "shop.asgi=websocket"]') from None
        return items

    def _mount(self, item: object) -> Mount:
        if isinstance(item, Mount):
            return item
        if isinstance(item, str):
            return Mount.parse(item)
        if not isinstance(item, Mapping):
            raise ValueError
        unknown = set(item) - {"target", "path", "protocols"}
        if unknown:
            raise ValueError(f'unknown key "{min(unknown)}": an app has target, path and protocols')
        protocols = item.get("protocols", [])
        words = protocols if isinstance(protocols, list) else [protocols]
        target, path = item.get("target", ""), item.get("path", "")
        if not all(isinstance(word, str) for word in (target, path, *words)):
            raise ValueError("target, path and protocols of an app are texts")
        return Mount.make(target, path, words)

    def show(self, value: tuple[Mount, ...]) -> str:
        if len(value) > 1:
            return "[" + ", ".join(f'"{mount}"' for mount in value) + "]"
        return str(value[0]) if value else "none"

    @property
    def off(self) -> str:
        return "none"

    @property
    def is_repeatable(self) -> bool:
        return True

    def join(self, earlier: object, later: object) -> object:
        return [*(earlier if isinstance(earlier, list) else [earlier]), later]


class Switch(Choice[str]):
    """One of a few words, "on" and "off" among them; true and false mean these."""

    __slots__ = ()

    def __init__(self, *words: str) -> None:
        super().__init__({word: word for word in ("on", *words, "off")})

    def read(self, value: object) -> str:
        return super().read(("off", "on")[value] if isinstance(value, bool) else value)

    @property
    def off(self) -> str:
        return "off"

    @property
    def bare(self) -> str:
        return "on"

    def is_word(self, text: str) -> bool:
        return text.strip().lower() in self.words


class Pairs(Kind[tuple[tuple[str, str], ...]]):
    """Names with values: NAME=VALUE, a list of these, or a table."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("NAME=VALUE", "NAME=VALUE")

    def read(self, value: object) -> tuple[tuple[str, str], ...]:
        if value in (None, False, "none"):
            return ()
        if isinstance(value, Mapping):
            return tuple(self._pair(str(name), text) for name, text in value.items())
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(self._parted(item) for item in items)

    def _parted(self, item: object) -> tuple[str, str]:
        if isinstance(item, tuple) and len(item) == 2:
            return self._pair(*item)
        if not isinstance(item, str) or "=" not in item:
            raise ValueError(f"{quote(item)} is not {self.expects}")
        name, _, text = item.partition("=")
        return self._pair(name, text)

    def _pair(self, name: str, text: object) -> tuple[str, str]:
        if isinstance(text, bool) or not isinstance(text, str | int | float):
            raise ValueError(f"the value of {quote(name)} is not a text")
        if not name.strip() or "=" in name or "\0" in f"{name}{text}":
            raise ValueError(f"{quote(name)} is not the name of a variable")
        return name.strip(), str(text)

    def show(self, value: tuple[tuple[str, str], ...]) -> str:
        return ",".join(f"{name}={text}" for name, text in value) or "none"

    @property
    def off(self) -> str:
        return "none"

    @property
    def is_repeatable(self) -> bool:
        return True

    def join(self, earlier: object, later: object) -> object:
        return [*(earlier if isinstance(earlier, list) else [earlier]), later]


class Trusted(Text):
    """Addresses and networks whose word is taken: "127.0.0.1,10.0.0.0/8", or "*"."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("LIST", "addresses and networks such as 127.0.0.1,10.0.0.0/8, or *")

    def read(self, value: object) -> str:
        items = value if isinstance(value, list) else str(value).split(",")
        words = [str(item).strip() for item in items if str(item).strip()]
        for word in words:
            if word not in ("*", "127.0.0.1", "::1"):
                import ipaddress  # half a megabyte, so only where one was chosen

                try:
                    ipaddress.ip_network(word, strict=False)
                except ValueError:
                    raise ValueError(f"{quote(word)} is not an address or a network such as 10.0.0.0/8") from None
        return ",".join(words)


class LogConfig(Kind[str | dict[str, object]]):
    """A configuration for Python's logging: a file, or a table in the form of dictConfig."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("FILE", "an INI or JSON file, or a table in the form of dictConfig")

    def read(self, value: object) -> str | dict[str, object]:
        if isinstance(value, str) and value.lstrip().startswith("{"):
            import json  # only for a table in one text

            value = json.loads(value)
        if isinstance(value, Mapping):
            return dict(value)
        if not isinstance(value, str) or not value or "\0" in value:
            raise ValueError
        return value

    def show(self, value: str | dict[str, object]) -> str:
        if isinstance(value, str):
            return value
        import json

        return json.dumps(value, default=str)


class SyslogAddress(Text):
    """Where syslog is: udp://host:port, tcp://host:port, unix://path."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("ADDRESS", "an address such as udp://localhost:514, tcp://log.example:514 or unix:///dev/log")

    def read(self, value: object) -> str:
        text = super().read(value).strip()
        kind, _, rest = text.partition("://")
        path, _, transport = rest.partition("#")
        is_path = kind == "unix" and path.startswith("/") and transport in ("", "stream", "dgram")
        host, _, port = rest.rpartition(":")
        is_host = kind in ("udp", "tcp") and rest and (not host or port.isdigit())
        if not is_path and not is_host:
            raise ValueError
        return text


class StatsdAddress(Text):
    """Where StatsD is: host:port, or unix://path."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("ADDRESS", "an address such as localhost:8125 or unix:///run/statsd.sock")

    def read(self, value: object) -> str:
        text = super().read(value).strip()
        host, _, port = text.rpartition(":")
        is_path = text.startswith("unix://") and len(text) > len("unix://")
        if not is_path and not (host and port.isdigit() and int(port) < 65536):
            raise ValueError
        return text


class Hooks(Kind[HookSource | None]):
    """Server hooks: a Python file; or, of a script, functions by their names."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("FILE", "a Python file")

    def read(self, value: object) -> HookSource | None:
        if value in (None, False, "none", "off") or value == {}:
            return None
        if isinstance(value, HookSource):
            return value
        if isinstance(value, Mapping):
            unknown = sorted(set(value) - set(NAMES))
            if unknown:
                raise ValueError(f'there is no hook "{unknown[0]}": there are {", ".join(NAMES)}')
            return HookSource(functions=value)
        if not isinstance(value, str) or not value or "\0" in value:
            raise ValueError
        return HookSource(value)

    def show(self, value: HookSource | None) -> str:
        if value is None:
            return "none"
        return value.path or ", ".join(value.functions or ())

    @property
    def off(self) -> str:
        return "none"


def quote(value: object) -> str:
    """A raw value as its writer would recognise it, on one line and of bounded length."""
    if isinstance(value, str):
        text = value if len(value) <= 60 else f"{value[:57]}..."
        return '"' + "".join(c if c.isprintable() else repr(c)[1:-1] for c in text) + '"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "an array"
    return str(value)[:60]
