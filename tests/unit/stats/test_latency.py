"""Durations from the histogram's buckets."""

from __future__ import annotations

from itertools import pairwise

import pytest

from hostler.stats.latency import bounds, percentile
from hostler.stats.scoreboard import LATENCY_BUCKETS


def test_buckets_follow_each_other() -> None:
    """As `buckets_grow_without_gaps` in score.rs."""
    edges = [bounds(bucket) for bucket in range(LATENCY_BUCKETS)]
    assert edges[0][0] == 0
    assert all(high == pytest.approx(low) for (_, high), (low, _) in pairwise(edges))
    assert bounds(20) == pytest.approx((1024e-6, 1536e-6))
    assert bounds(21) == pytest.approx((1536e-6, 2048e-6))
    assert bounds(63)[0] == pytest.approx(3221, abs=1)  # seconds


def test_percentiles() -> None:
    counts = {20: 90, 30: 9, 40: 1}
    p50, p95, p99 = (percentile(counts, share) for share in (0.5, 0.95, 0.99))
    assert p50 == pytest.approx(1024e-6 + 512e-6 * 50 / 90)
    assert p95 == pytest.approx(32768e-6 + 16384e-6 * 5 / 9)
    assert p99 == pytest.approx(bounds(30)[1])
    assert percentile(counts, 1) == pytest.approx(bounds(40)[1])
    assert percentile({7: 1}, 0.5) == pytest.approx(sum(bounds(7)) / 2)


def test_of_nothing_there_is_none() -> None:
    assert percentile({}, 0.99) is None
