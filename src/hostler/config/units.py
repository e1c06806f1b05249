"""Numbers with a unit: Duration, Size and Mode.

Each one is a number of the base unit (seconds, bytes, permission bits), so it goes wherever a plain
number goes; only its text differs, which is the text a user would write: `str(Size(8192)) == "8K"`.
`parse` takes what a file, a variable or a command line holds and raises ValueError for anything else,
without a message: what was expected instead, bounds included, is for the kind of the option to say.
"""

__all__ = ["Duration", "Mode", "Size", "digits"]

_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgt", 1):
    for _ending in ("", "b", "ib"):  # nginx writes 8k, most people 8KB, the standard 8KiB
        _BYTES[_letter + _ending] = 1024**_power


class Duration(float):
    """A time span in seconds; reads 15, "15", "15s", "500ms", "1.5m", "2h", "1d"."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> "Duration":
        """Read a number of seconds, or a text with its unit."""
        if isinstance(value, str):
            number, unit = _split(value)
            whole, _, fraction = number.partition(".")
            if unit not in _SECONDS:
                raise ValueError
            part = digits(fraction or "0") / 10 ** len(fraction)
            return cls((digits(whole) + part) * _SECONDS[unit])
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError
        if not 0 <= value < float("inf"):  # false for nan too
            raise ValueError
        return cls(value)

    def __str__(self) -> str:
        for unit, seconds in (("h", 3600), ("m", 60)):
            if self >= 2 * seconds and self % seconds == 0:  # 60s reads better than 1m
                return f"{int(self // seconds)}{unit}"
        if self.is_integer():
            return f"{int(self)}s"
        return f"{float(self) * 1000:g}ms"


class Size(int):
    """A number of bytes; reads 8192, "8192", "8K", "8KB", "8KiB", "1M", "1G", "1T", all powers of 1024."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> "Size":
        """Read a number of bytes, or a text with its unit."""
        if isinstance(value, str):
            number, unit = _split(value)
            if unit not in _BYTES:
                raise ValueError
            return cls(digits(number) * _BYTES[unit])
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError
        return cls(value)

    def __str__(self) -> str:
        for letter in ("t", "g", "m", "k"):
            if self and self % _BYTES[letter] == 0:
                return f"{self // _BYTES[letter]}{letter.upper()}"
        return int.__repr__(self)


class Mode(int):
    """Permission bits, always written as octal text: "660", "0660" or "0o660".

    A bare number is refused: `660` in a TOML file is six hundred and sixty, and `0o660` arrives as 432,
    so the two cannot be told apart.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> "Mode":
        """Read octal text of at most 777."""
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise ValueError
        octal = value.strip().lower().removeprefix("0o")
        if not octal or octal.strip("01234567") or int(octal, 8) > 0o777:
            raise ValueError
        return cls(int(octal, 8))

    def __str__(self) -> str:
        return f"{int(self):o}"


def _split(text: str) -> tuple[str, str]:
    """Cut "500 ms" into its number and its unit, the unit in small letters."""
    text = text.strip().lower()
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    return number.rstrip(), text[len(number) :]


def digits(text: str) -> int:
    """Read plain ASCII digits, at most 15: int() also takes signs, underscores and other scripts."""
    if not (text.isascii() and text.isdigit()) or len(text) > 15:
        raise ValueError
    return int(text)
