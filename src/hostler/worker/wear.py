"""When a worker has grown too large or too old: it is replaced, the replacement first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.proc.memory import megabytes, pss, rss

if TYPE_CHECKING:
    from hostler.config import Config

__all__ = ["Wear"]

# Between two looks at the resident memory, and at the proportional one, which the kernel has to add up; in seconds.
_RSS_EVERY = 1.0
_PSS_EVERY = 10.0


class Wear:
    """Asks at intervals; `interval` is None when there is nothing to look at."""

    def __init__(self, config: Config, now: float) -> None:
        self._max_rss = int(config.max_rss)
        self._max_pss = int(config.max_pss)
        self._lifetime = float(config.max_lifetime)
        self._since = now
        self._next = now
        self._next_pss = now
        self.is_due = False
        intervals = (self._max_rss and _RSS_EVERY, self._max_pss and _PSS_EVERY, min(self._lifetime, _PSS_EVERY))
        self.interval: float | None = min((each for each in intervals if each), default=None)

    def look(self, now: float) -> str | None:
        """Why the worker should be replaced; said once."""
        if self.interval is None or self.is_due or now < self._next:
            return None
        self._next = now + self.interval
        reason = self._reason(now)
        self.is_due = reason is not None
        return reason

    def _reason(self, now: float) -> str | None:
        if self._lifetime and now - self._since >= self._lifetime:
            return f"it has served for {now - self._since:.0f}s (max_lifetime)"
        if self._max_rss and (size := rss()) > self._max_rss:
            return f"it has {megabytes(size)} of memory (max_rss {megabytes(self._max_rss)})"
        if self._max_pss and now >= self._next_pss:
            self._next_pss = now + _PSS_EVERY
            if (size := pss()) > self._max_pss:
                shared = "with its part of what is shared"
                return f"it has {megabytes(size)} of memory, {shared} (max_pss {megabytes(self._max_pss)})"
        return None
