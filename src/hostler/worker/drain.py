"""A worker's drain in time: when open streams are told of it, and when it has to be over."""

from __future__ import annotations

__all__ = ["Drain"]


class Drain:
    """The times of one drain (seconds of time.monotonic). `stream_drain`: how long open streams go on."""

    def __init__(self, stream_drain: float) -> None:
        self._stream_drain = stream_drain
        self._streams_due: float | None = None
        self.has_begun = False
        self.deadline: float | None = None  # None: serving, or leaving without haste

    def begin(self, seconds: float | None, now: float) -> bool:
        """Drain for at most so many seconds; None: as long as requests, streams and WebSockets take by themselves.

        Returns whether the drain has a deadline now and had none before. A second call never moves a deadline away.
        """
        self.has_begun = True
        if seconds is None:
            return False
        is_first = self.deadline is None
        if is_first:
            self._streams_due = now + min(self._stream_drain, seconds)
        self.deadline = now + seconds if self.deadline is None else min(self.deadline, now + seconds)
        return is_first

    def ends_streams(self, now: float) -> bool:
        """Whether open streams have to be told now; true once."""
        if self._streams_due is None or now < self._streams_due:
            return False
        self._streams_due = None
        return True

    def is_late(self, now: float) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and now >= self.deadline

    def wait(self, now: float) -> float | None:
        """Seconds until one of these is due."""
        dues = [due for due in (self._streams_due, self.deadline) if due is not None]
        return max(0.0, min(dues) - now) if dues else None
