"""Files whose change asks for a reload."""

from __future__ import annotations

import os
from pathlib import Path

from hostler.arbiter.touched import Touched


def test_no_files_are_never_looked_at() -> None:
    touched = Touched((), 0.0)
    assert touched.deadline() is None
    assert touched.take(9.0) is None


def test_touched_made_and_replaced_files_count_once(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.touch()
    touched = Touched((str(old), str(new)), 0.0)
    assert touched.deadline() == 1.0
    assert touched.take(1.0) is None
    os.utime(old, ns=(1, 1))
    assert touched.take(1.5) is None, "not before it is time"
    assert touched.take(2.0) == str(old)
    assert touched.take(3.0) is None
    new.touch()
    assert touched.take(4.0) == str(new)
    new.unlink()
    assert touched.take(5.0) is None, "one that goes asks for nothing"
    fresh = tmp_path / "fresh"
    fresh.touch()
    os.utime(fresh, ns=(1, 1))
    fresh.replace(old)
    assert touched.take(6.0) == str(old)
