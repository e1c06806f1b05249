"""What costs seconds to prepare is made once for all processes of a test run."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def copy_of(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A directory of the caller's own, with what `make` puts into one; the first caller of all processes makes it."""
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    made = base / f"made-{name}"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(base / f"draft-{name}", ignore_errors=True)  # of a caller that failed
            draft = base / f"draft-{name}"
            draft.mkdir()
            make(draft)
            draft.rename(made)
    return shutil.copytree(made, factory.mktemp(name) / name)
