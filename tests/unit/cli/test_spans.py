"""Times for people."""

from __future__ import annotations

import pytest

from hostler.cli.spans import duration, span


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172800, "2d"), (864000, "10d")]
)
def test_span(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0µs"), (0.00025, "250µs"), (0.0012, "1.2ms"), (0.083, "83ms"), (2.5, "2.5s"), (12.4, "12s"), (3600, "3600s")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
