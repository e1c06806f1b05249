"""What is served: the workers tell it when they are ready, and it is logged once."""

from __future__ import annotations

from hostler.logs import Logs, printable

__all__ = ["Served"]

_SHOWN = 500  # max characters of a line: the application could say anything


class Served:
    """Facts of the application (`app=... settings=...`) and warnings, as the worker that became ready last has them."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._facts = self._facts_said = ""
        self._warnings: list[str] = []
        self._warnings_said: list[str] = []

    def hear(self, about: str) -> None:
        """Note what a worker tells."""
        facts, *warnings = (printable(line[:_SHOWN]) for line in about.split("\n"))
        self._facts, self._warnings = facts, warnings

    def with_facts(self, line: str) -> str:
        """The start line, with the facts."""
        self._facts_said = self._facts
        return f"{line} {self._facts}".rstrip()

    def say_news(self) -> None:
        """Log what was not logged yet: the facts where they have changed, and warnings."""
        if self._facts != self._facts_said:
            self._logs.info(self.with_facts("the application has changed"))
        for text in self._warnings:
            if text not in self._warnings_said:
                self._logs.warning(text)
        self._warnings_said = self._warnings
