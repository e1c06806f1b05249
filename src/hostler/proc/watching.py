"""Waiting for files to change: with watchfiles, which the kernel tells; without it by looking twice a second."""

from __future__ import annotations

import fnmatch
import glob
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from typing import Any

__all__ = ["watch"]

_EVERY = 0.5
# How soon the first look at what had changed before comes, in milliseconds; and how often nothing is told.
_FIRST_LOOK_MS = 200
# Folders in which no code of the application is, or far too much of other people's.
_IGNORED = frozenset(("__pycache__", "node_modules", "site-packages", ".git", ".hg", ".svn", ".venv", "venv", ".tox"))


def watch(folders: Sequence[str], patterns: Sequence[str], report: Callable[[str], object], since: int) -> None:
    """Report a path each time that Python files below `folders`, or files like `patterns`, have changed; for ever.

    What has changed since the time `since` (nanoseconds) counts too: a file may be saved while the server starts.
    """
    folders = [os.path.abspath(folder) for folder in folders if os.path.isdir(folder)]
    patterns = [os.path.abspath(pattern) for pattern in patterns]
    try:
        import watchfiles
    except ImportError:
        changes = _poll(folders, patterns, since)
    else:
        wanted = [*folders, *(place for place in map(_fixed_part, patterns) if os.path.isdir(place))]
        batches = watchfiles.watch(
            *dict.fromkeys(wanted),
            watch_filter=lambda change, path: _counts(path, folders, patterns),
            raise_interrupt=False,
            rust_timeout=_FIRST_LOOK_MS,
            yield_on_timeout=True,
        )
        changes = _told(batches, folders, patterns, since)
    for path in changes:
        report(os.path.relpath(path))


def _told(
    batches: Iterable[Set[tuple[Any, str]]], folders: Sequence[str], patterns: Sequence[str], since: int
) -> Iterator[str]:
    """What the kernel tells; at first, when it does tell, what had changed before."""
    is_first = True
    for batch in batches:
        paths = sorted(path for _, path in batch)
        if is_first:
            is_first = False
            paths += [path for path, changed in _files(folders, patterns) if changed > since]
        yield from paths[:1]


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


def _poll(folders: Sequence[str], patterns: Sequence[str], since: int) -> Iterator[str]:
    seen = dict(_files(folders, patterns))
    yield from [path for path, changed in seen.items() if changed > since][:1]
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
