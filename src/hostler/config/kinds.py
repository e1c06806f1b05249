"""The sorts of values an option can have: how each is read, shown and described.

A kind reads a value from any source: text (command line, environment), what TOML has (text, numbers,
booleans, arrays) or a Python value (`hostler.serve(...)`). What it cannot read ends in a ValueError whose
message completes the line "<where>: ...", e.g. `"many" is not a whole number >= 1`.
"""

from collections.abc import Mapping
from typing import Generic, TypeVar

from hostler.config.units import Duration, Mode, Size, digits

__all__ = [
    "AutoOr",
    "Choice",
    "Gathered",
    "Kind",
    "Many",
    "Maybe",
    "Name",
    "Pairs",
    "Path",
    "Permissions",
    "Span",
    "Switch",
    "Text",
    "Volume",
    "Whole",
    "quote",
]

T = TypeVar("T")

_LISTED = 40  # max characters of a list of words in the place of a value


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

    def usage(self, flag: str) -> str:
        """How an option of this kind is typed: `--workers N`."""
        return f"{flag} {self.metavar}"

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


class Choice(Kind[T]):
    """One of a few words, each with its value."""

    __slots__ = ("words",)

    def __init__(self, words: Mapping[str, T]) -> None:
        listed = "|".join(words)
        super().__init__(listed if len(listed) <= _LISTED else "WORD", f"one of {', '.join(words)}")
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


class Switch(Choice[str]):
    """One of a few words, "on" and "off" among them; true and false mean these."""

    __slots__ = ()

    def __init__(self, *words: str) -> None:
        super().__init__({word: word for word in ("on", *words, "off")})

    def usage(self, flag: str) -> str:
        others = [word for word in self.words if word not in ("on", "off")]
        return f"{flag}[={'|'.join(['on', *others])}]" if others else flag

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


class Gathered(Kind[tuple[T, ...]]):
    """Base of kinds that hold several values whose texts may have commas: given twice, they become a list."""

    __slots__ = ()

    @property
    def off(self) -> str:
        return "none"

    @property
    def is_repeatable(self) -> bool:
        return True

    def join(self, earlier: object, later: object) -> object:
        return [*(earlier if isinstance(earlier, list) else [earlier]), later]


class Pairs(Gathered[tuple[str, str]]):
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
