"""Directories as each kind of user may change them."""

from __future__ import annotations

import os
from pathlib import Path

from hostler.proc.places import FOREIGN, SAFE, SHARED, Ids

APP, OTHER, ROOT = 54321, 54322, 0
WORKERS = Ids(APP, APP, frozenset((APP, 54399)))

# kind of directory -> owner, group, mode, what it is
KINDS = {
    "roots": (ROOT, ROOT, 0o755, SAFE),
    "roots, of another group": (ROOT, OTHER, 0o775, SHARED),
    "roots, of the workers' group": (ROOT, APP, 0o775, FOREIGN),
    "roots, of another group of the workers": (ROOT, 54399, 0o775, FOREIGN),
    "everybody's, sticky": (ROOT, ROOT, 0o1777, SHARED),
    "everybody's": (ROOT, ROOT, 0o777, FOREIGN),
    "the workers'": (APP, APP, 0o755, FOREIGN),
    "another user's": (OTHER, OTHER, 0o755, FOREIGN),
    "another user's, sticky": (OTHER, OTHER, 0o1777, FOREIGN),
}


def directory(path: Path, kind: str) -> Path:
    owner, group, mode, _ = KINDS[kind]
    path.mkdir()
    os.chown(path, owner, group)
    path.chmod(mode)
    return path
