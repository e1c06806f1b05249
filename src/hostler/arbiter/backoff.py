"""How long to wait before something that keeps dying is started again."""

from __future__ import annotations

__all__ = ["delay"]

_FIRST = 0.25  # seconds
_LONGEST = 30.0


def delay(streak: int) -> float:
    """Seconds to wait after the `streak`-th failure in a row: 0, 1/4, 1/2, 1, 2, ... 30."""
    if streak < 2:
        return 0.0  # one death is an accident; its users are waiting
    return min(_LONGEST, _FIRST * 2.0 ** min(streak - 2, 16))
