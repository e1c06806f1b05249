"""Option names as users write them: in any spelling, from memory, or from the server they come from."""

from collections.abc import Callable
from typing import Any

from hostler.config.option import Option
from hostler.config.settings import OPTIONS

__all__ = ["closest", "did_you_mean", "find", "hint", "nearest"]

# From this ratio of difflib on, two names are taken for a slip of the pen: "worker" and "workers" are,
# gunicorn's "timeout" and "boot_timeout" are not.
_ALIKE = 0.75


def find(name: str) -> Option[Any] | None:
    """The option of that name; dashes and underscores are the same."""
    return OPTIONS.get(name.replace("-", "_"))


def nearest(name: str) -> Option[Any] | None:
    """The option that was probably meant: the same thing in another server, or a similar name."""
    name = name.replace("-", "_").lower()
    elsewhere = {
        other: option for option in OPTIONS.values() for other in (*option.gunicorn, *option.uwsgi, *option.uvicorn)
    }
    if name in elsewhere:
        return elsewhere[name]
    names = {**elsewhere, **OPTIONS}
    match = closest(name, list(names))
    return names[match] if match else None


def closest(word: str, words: list[str]) -> str | None:
    """The one of `words` that differs from `word` by a slip of the pen."""
    import difflib  # only for a message that ends the process

    return next(iter(difflib.get_close_matches(word, words, 1, _ALIKE)), None)


def hint(name: str, spelling: Callable[[Option[Any]], str]) -> str:
    """The end of a complaint about an unknown option, spelled as its source spells names."""
    option = nearest(name)
    return did_you_mean(spelling(option) if option else None)


def did_you_mean(word: str | None) -> str:
    """The end of a complaint about an unknown word."""
    return f' - did you mean "{word}"?' if word else ""
