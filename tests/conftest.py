"""What every test may rely on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _no_outside_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own HOSTLER_* variables must not reach the code under test."""
    for name in list(os.environ):
        if name.startswith("HOSTLER_") or name in ("PORT", "WEB_CONCURRENCY"):
            monkeypatch.delenv(name)


@pytest.fixture
def root() -> Path:
    """The repository."""
    return ROOT
