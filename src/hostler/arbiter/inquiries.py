"""Questions to workers on behalf of the control socket: who was asked, what came back, and who is late."""

from __future__ import annotations

import time
from collections.abc import Callable

from hostler.control.server import Client

__all__ = ["WITHIN", "Inquiries"]

# How long a worker may take to answer before its stacks are taken from outside, in seconds.
WITHIN = 2.0


class Inquiries:
    """Open questions. `answer` gets the client and the text; `late` gets the pid of a worker that does not answer."""

    def __init__(self, answer: Callable[[Client, str], None], late: Callable[[int], str]) -> None:
        self._answer = answer
        self._late = late
        self._open: list[tuple[Client, dict[int, str | None], dict[int, str], float]] = []

    def begin(self, client: Client, workers: dict[int, str]) -> None:
        """`workers` were asked: pid -> the title of its answer."""
        self._open.append((client, dict.fromkeys(workers), workers, time.monotonic() + WITHIN))

    def hear(self, pid: int, text: str) -> None:
        """A worker has answered, or has ended."""
        for _, texts, _, _ in self._open:
            if pid in texts and texts[pid] is None:
                texts[pid] = text
        self._close(lambda texts, due: None not in texts.values())

    def deadline(self) -> float | None:
        """When `expire` has to be called."""
        return min((due for *_, due in self._open), default=None)

    def expire(self, now: float) -> None:
        """Take the answers of those that are late."""
        for _, texts, _, due in self._open:
            if due <= now:
                for pid in [pid for pid, text in texts.items() if text is None]:
                    texts[pid] = self._late(pid)
        self._close(lambda texts, due: due <= now)

    def _close(self, is_done: Callable[[dict[int, str | None], float], bool]) -> None:
        done = [each for each in self._open if is_done(each[1], each[3])]
        self._open = [each for each in self._open if each not in done]
        for client, texts, titles, _ in done:
            blocks = (f"{titles[pid]}\n\n{text}" for pid, text in texts.items())
            self._answer(client, "\n\n".join(blocks) + "\n")
