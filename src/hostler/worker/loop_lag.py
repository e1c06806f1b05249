"""Whether the event loop comes round: asked twice within `loop_lag`, and logged with the stack that blocks it."""

from __future__ import annotations

from collections.abc import Callable

from hostler.logs import Logs

__all__ = ["LoopLag"]


class LoopLag:
    """What the supervisor knows of the loop. Times are time.monotonic()'s, in seconds.

    `ask` has the loop call something; `stack` tells where its thread is; `give_up` is called once, when the loop has
    been blocked for `limit`.
    """

    def __init__(
        self,
        lag: float,
        limit: float,
        logs: Logs,
        ask: Callable[[Callable[[], object]], object],
        stack: Callable[[], str],
        give_up: Callable[[str], object],
    ) -> None:
        self._lag = lag
        self._limit = limit
        self._logs = logs
        self._ask = ask
        self._stack = stack
        self._give_up = give_up
        self._asked: float | None = None  # None: it has answered
        self._said = False
        self._given_up = False
        self._looked = 0.0

    @property
    def interval(self) -> float | None:
        """Seconds between two looks; None: nobody asked."""
        return self._lag / 2 if self._lag else None

    def look(self, now: float) -> None:
        """Ask the loop, or see how long it has owed the answer."""
        if not self._lag or now - self._looked < self._lag / 4:
            return
        self._looked = now
        if self._asked is None:
            self._asked = now
            self._ask(self._answer)
            return
        owed = now - self._asked
        if owed >= self._lag and not self._said:
            self._said = True
            text = f"event loop blocked; no other request is served\n{self._stack()}"
            self._logs.warning(text, blocked_for=f"{owed:.1f}s", loop_lag=f"{self._lag:g}s")
        if self._limit and owed >= self._limit and not self._given_up:
            self._given_up = True
            self._give_up(f"its event loop has been blocked for {owed:.0f}s")

    def _answer(self) -> None:
        """Called by the loop."""
        self._asked = None
        self._said = False
