"""Each request computes 5 ms of Python; the answer tells which process gave it.

The work is a number of rounds, found when the app is imported: with a deadline, a thread that waits for the
interpreter's lock would compute less.
"""

from __future__ import annotations

import time
from typing import Any

import who

WORK = 0.005  # seconds of processor time
SAMPLE = 20_000  # rounds


def compute(rounds: int) -> int:
    total = 0
    for number in range(rounds):
        total = (total + number * number) & 0xFFFF
    return total


def _calibrated() -> int:
    """The quickest of some samples: whoever disturbs the others, the work is the same."""
    best = WORK
    for _ in range(15):
        began = time.thread_time()
        compute(SAMPLE)
        best = min(best, time.thread_time() - began)
    return round(SAMPLE * WORK / best)


ROUNDS = _calibrated()


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    compute(ROUNDS)
    answer: list[bytes] = who.app(environ, start_response)
    return answer
