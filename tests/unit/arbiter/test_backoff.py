"""Back-off: the first death is an accident, the tenth is not."""

from __future__ import annotations

import pytest

from hostler.arbiter.backoff import delay


@pytest.mark.parametrize(
    ("streak", "seconds"),
    [(0, 0.0), (1, 0.0), (2, 0.25), (3, 0.5), (4, 1.0), (8, 16.0), (9, 30.0), (10, 30.0), (10_000, 30.0)],
)
def test_delay(streak: int, seconds: float) -> None:
    assert delay(streak) == seconds
