"""The server that is watched, as its control socket knows it; blocking, so the view asks in threads."""

from __future__ import annotations

from typing import Any

from hostler.cli.asking import Wanted
from hostler.control.client import ask, find

__all__ = ["Server"]


class Server:
    """Looked for at each question: after a restart or an upgrade it has another socket. All may raise HostlerError."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted

    def look(self) -> dict[str, Any]:
        """Everything that the view shows: see arbiter/live.py."""
        answer: dict[str, Any] = self._ask("top")
        return answer

    def stacks(self, worker: int) -> str:
        """Where its threads are."""
        return str(self._ask("stacks", str(worker)))

    def scale(self, size: int) -> str:
        """Have so many workers."""
        return str(self._ask("scale", str(size)))

    def recycle(self, worker: int) -> str:
        """Replace one worker."""
        return str(self._ask("recycle", str(worker)))

    def reload(self) -> str:
        """Take up new code and configuration; returns when the last worker is replaced."""
        return str(self._ask("reload", patient=True))

    def _ask(self, *words: str, patient: bool = False) -> Any:
        return ask(find(*self._wanted), *words, patient=patient)
