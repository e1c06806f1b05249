"""How much memory a process has (proc(5))."""

from __future__ import annotations

import os

__all__ = ["megabytes", "pss", "rss"]


def rss(pid: int | str = "self") -> int:
    """Resident memory in bytes; 0 where the system does not tell."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    except (OSError, IndexError, ValueError):
        return 0


def pss(pid: int | str = "self") -> int:
    """Proportional memory in bytes: what is shared counts in part; 0 where the system does not tell."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except (OSError, IndexError, ValueError):
        pass
    return 0


def megabytes(size: int) -> str:
    """For people: "64M"."""
    return f"{size / 1048576:.0f}M"
