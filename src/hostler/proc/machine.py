"""What this process may use of the machine, as affinity and control groups allow; and what others use of it."""

from __future__ import annotations

import os
from collections.abc import Iterator

__all__ = ["cpu_seconds", "memory", "memory_limit", "processors"]

_ROOT = "/sys/fs/cgroup"
# cgroup v1 says "no limit" by a number near 2^63.
_NO_LIMIT = 1 << 60


def processors() -> float:
    """How many processors' time this process gets: by its affinity (sched_setaffinity(2)) and quota (cgroups(7))."""
    found = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    for folder in _groups("cpu"):
        words = _read(f"{folder}/cpu.max").split()  # v2: "50000 100000", or "max 100000"
        if len(words) != 2:
            words = [_read(f"{folder}/cpu.cfs_quota_us"), _read(f"{folder}/cpu.cfs_period_us")]
        quota, period = words
        if quota.isdigit() and period.isdigit() and int(period):
            found = min(found, int(quota) / int(period))
    return found


def memory_limit() -> int | None:
    """Bytes that the control group may have; None: there is no limit but the machine's."""
    found = []
    for folder in _groups("memory"):
        text = _read(f"{folder}/memory.max") or _read(f"{folder}/memory.limit_in_bytes")
        if text.isdigit() and int(text) < _NO_LIMIT:
            found.append(int(text))
    return min(found, default=None)


def memory() -> int:
    """Bytes of memory that this process may have: the control group's limit, or the machine's memory."""
    pages = os.sysconf("SC_PHYS_PAGES") if "SC_PHYS_PAGES" in os.sysconf_names else 0
    machine = pages * os.sysconf("SC_PAGE_SIZE")
    return min(each for each in (memory_limit(), machine) if each) if machine else memory_limit() or 0


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used, all threads together; 0 where the system does not tell (proc(5))."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0


def _groups(controller: str) -> Iterator[str]:
    """The folders of our control group and of those around it, in both versions' file systems."""
    for line in _read("/proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            base = _ROOT
        elif controller in controllers.split(","):
            base = f"{_ROOT}/{controllers}" if os.path.isdir(f"{_ROOT}/{controllers}") else f"{_ROOT}/{controller}"
        else:
            continue
        while path not in ("", "/"):
            yield base + path
            path = os.path.dirname(path)
        yield base


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
