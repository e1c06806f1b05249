"""How long something takes or has lasted, for people."""

from __future__ import annotations

__all__ = ["duration", "span"]


def span(seconds: float) -> str:
    """ "3s", "12m", "5h", "9d"."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f}{unit}"
    return f"{seconds:.0f}s"


def duration(seconds: float) -> str:
    """ "250µs", "1.2ms", "83ms", "2.5s", "12s"."""
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= size:
            number = seconds / size
            return f"{number:.1f}{unit}" if number < 10 and unit != "µs" else f"{number:.0f}{unit}"
    return "0µs"
