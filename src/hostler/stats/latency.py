"""The buckets of the scoreboard's histogram: two for each power of two of microseconds (`bucket` in score.rs)."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["bounds", "percentile"]


def bounds(bucket: int) -> tuple[float, float]:
    """From and to how many seconds the durations of a bucket are."""
    if bucket < 2:
        return bucket / 1e6, (bucket + 1) / 1e6
    power = 2.0 ** (bucket // 2) / 1e6
    low = power * (1 + bucket % 2 / 2)
    return low, low + power / 2


def percentile(counts: Mapping[int, int], share: float) -> float | None:
    """The duration, in seconds, that this share of requests did not exceed; None where there were none.

    `counts` are bucket -> how many. Within a bucket durations are taken to be spread evenly.
    """
    wanted = share * sum(counts.values())
    if not wanted:
        return None
    passed = 0
    for bucket, count in sorted(counts.items()):
        if passed + count >= wanted:
            low, high = bounds(bucket)
            return low + (high - low) * (wanted - passed) / count
        passed += count
    raise AssertionError("a share is at most 1")
