"""What a worker measures of itself now and then, for all that read the scoreboard."""

from __future__ import annotations

import time

from hostler.proc.memory import pss
from hostler.stats.scoreboard import Scoreboard

__all__ = ["Vitals"]

_EVERY = 5.0  # seconds
_PSS_EVERY = 60.0  # the kernel walks all pages for it: some milliseconds


class Vitals:
    """Memory, and how much of what the worker can do it does: of one processor, or of its threads."""

    def __init__(self, board: Scoreboard, slot: int, places: int) -> None:
        self._board = board
        self._slot = slot
        self._places = places  # for requests at once
        self._looked = time.monotonic()
        self._cpu = time.process_time()
        self._pss = 0
        self._measured = -_PSS_EVERY

    def look(self, now: float) -> bool:
        """Measure, when it is time; returns whether it was."""
        if now - self._looked < _EVERY:
            return False
        cpu = time.process_time()
        computing = (cpu - self._cpu) / (now - self._looked)
        waiting = self._board.read(self._slot).in_flight / self._places
        self._looked, self._cpu = now, cpu
        if now - self._measured >= _PSS_EVERY:
            self._measured, self._pss = now, pss()
        self._board.set_vitals(self._slot, self._pss, min(1.0, max(computing, waiting)))
        return True

    def due(self, now: float) -> float:
        """Seconds until it is time."""
        return max(0.0, self._looked + _EVERY - now)
