"""Limits of the process: raised as far as allowed, in a child so that the tests keep theirs."""

from __future__ import annotations

import os
import resource

import pytest

from hostler.proc import limits
from hostler.proc.fork import fork


def in_child(soft: int, hard: int) -> int:
    """What raise_open_files() makes of these limits; 0: it did not say the truth."""

    def main() -> int:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        said = limits.raise_open_files()
        return said // 8 if said == resource.getrlimit(resource.RLIMIT_NOFILE)[0] else 0

    return 8 * os.waitstatus_to_exitcode(os.waitpid(fork(lambda: None, main, {}), 0)[1])


def test_soft_limit_is_raised_to_the_hard_one() -> None:
    assert in_child(256, 1024) == 1024


def test_equal_limits_stay() -> None:
    assert in_child(512, 512) == 512


def test_a_limit_beyond_reason_is_not_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_CEILING", 640)
    assert in_child(256, 1024) == 640
