"""Waiting for files to change: with watchfiles, which the kernel tells; without it by looking twice a second."""

from __future__ import annotations

import fnmatch
import glob
import os
import time
from collections.abc import Callable, Iterator, Sequence

__all__ = ["watch"]

_EVERY = 0.5
# Folders in which no code of the application is, or far too much of other people's.
_IGNORED = frozenset(("__pycache__", "node_modules", "site-packages", ".git", ".hg", ".svn", ".venv", "venv", ".tox"))


def watch(folders: Sequence[str], patterns: Sequence[str], report: Callable[[str], object]) -> None:
    """Report a path each time that Python files below `folders`, or files like `patterns`, have changed; for ever."""
    folders = [os.path.abspath(folder) for folder in folders if os.path.isdir(folder)]
    patterns = [os.path.abspath(pattern) for pattern in patterns]
    try:
        import watchfiles
    except ImportError:
        changes = _poll(folders, patterns)
    else:
        wanted = [*folders, *(place for place in map(_fixed_part, patterns) if os.path.isdir(place))]
        changes = (
            path
            for batch in watchfiles.watch(
                *dict.fromkeys(wanted),
                watch_filter=lambda change, path: _counts(path, folders, patterns),
                raise_interrupt=False,
            )
            for path in sorted(path for _, path in batch)[:1]
        )
    for path in changes:
        report(os.path.relpath(path))


def _counts(path: str, folders: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether a change of this file is one of the code."""
    if any(fnmatch.fnmatch(path, pattern) for pattern in patterns):
        return True
    below = [os.path.relpath(path, folder) for folder in folders if path.startswith(folder + os.sep)]
    return path.endswith(".py") and any(not _IGNORED.intersection(part.split(os.sep)) for part in below)


def _fixed_part(pattern: str) -> str:
    """The folder of a pattern that has no wildcard in it."""
    folder = os.path.dirname(pattern)
    while glob.has_magic(folder):
        folder = os.path.dirname(folder)
    return folder


def _poll(folders: Sequence[str], patterns: Sequence[str]) -> Iterator[str]:
    seen = dict(_files(folders, patterns))
    while True:
        time.sleep(_EVERY)
        found = dict(_files(folders, patterns))
        changed = [path for path in (*found, *seen) if found.get(path) != seen.get(path)]
        seen = found
        yield from sorted(changed)[:1]


def _files(folders: Sequence[str], patterns: Sequence[str]) -> Iterator[tuple[str, int]]:
    for path in (*_code(folders), *(path for pattern in patterns for path in glob.iglob(pattern, recursive=True))):
        try:
            yield path, os.stat(path).st_mtime_ns
        except OSError:  # gone meanwhile
            continue


def _code(folders: Sequence[str]) -> Iterator[str]:
    for folder in folders:
        for place, inner, names in os.walk(folder):
            inner[:] = [name for name in inner if name not in _IGNORED]
            yield from (os.path.join(place, name) for name in names if name.endswith(".py"))
