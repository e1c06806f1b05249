"""Questions about processes that are not ours: /proc where there is one, `ps` elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


class Process(NamedTuple):
    """One row of the process table."""

    pid: int
    parent: int
    group: int
    is_zombie: bool


def table() -> list[Process]:
    """Every process that this user can see, now."""
    return list(_from_proc() if (_PROC / "self" / "stat").exists() else _from_ps())


def children(pid: int) -> list[int]:
    """The living children of `pid`."""
    return sorted(row.pid for row in table() if row.parent == pid and not row.is_zombie)


def cpu(pid: int) -> float:
    """Seconds of processor time that it has used."""
    stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    user, system = stat[stat.rindex(")") + 1 :].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def rss(pid: int) -> int:
    """Bytes of its resident memory."""
    pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def group(leader: int) -> list[int]:
    """The living members of a process group. A zombie is dead: only its parent has not looked yet."""
    return sorted(row.pid for row in table() if row.group == leader and not row.is_zombie)


def kill_group(leader: int) -> None:
    """Kill whatever is left of a process group."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
        pass


def _from_proc() -> Iterator[Process]:
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text(errors="replace")
        except OSError:  # It ended meanwhile.
            continue
        # "pid (name) state parent group …"; the name may hold anything, also spaces and brackets.
        state, parent, pgid = stat[stat.rindex(")") + 1 :].split()[:3]
        yield Process(int(entry.name), int(parent), int(pgid), state in "ZX")


def _from_ps() -> Iterator[Process]:
    command = ["ps", "-A", "-o", "pid=,ppid=,pgid=,state="]
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        pid, parent, pgid, state = line.split()
        yield Process(int(pid), int(parent), int(pgid), state.startswith("Z"))


def wait_gone(pids: list[int], within: float) -> None:
    """Wait until none of the processes is alive; a zombie is not."""
    deadline = time.monotonic() + within
    while alive := [row.pid for row in table() if row.pid in pids and not row.is_zombie]:
        assert time.monotonic() < deadline, f"{alive} are alive after {within} s"
        time.sleep(0.005)
