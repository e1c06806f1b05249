"""Limits of this process."""

from __future__ import annotations

import resource

__all__ = ["raise_open_files"]

# Linux' own ceiling (fs.nr_open). Container runtimes set a hard limit of 2^30, and programs that the app
# starts may close every possible descriptor one by one.
_CEILING = 1 << 20


def raise_open_files() -> int:
    """Raise the limit of open files as far as this process may; returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _CEILING if hard == resource.RLIM_INFINITY else min(hard, _CEILING)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # macOS refuses more than OPEN_MAX
            return soft
        return wanted
    return soft
