"""Children that another process has forked on our behalf: whether a pid that it names is one of them.

A subreaper is the parent of orphans (adopt_orphans). Which of them a pid means is said by a process that runs code of
the app, so nothing of it is believed. What is found stays so: only the parent can reap a child, and until then its pid
is no other process'.
"""

from __future__ import annotations

import os
import time

from hostler.proc.fork import is_own_fork

__all__ = ["moment", "why_foreign"]

_PID_MAX, _DIGITS = 2**31, 10


def moment() -> int:
    """Now, in the unit of processes' start times (clock ticks since the machine's start)."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def why_foreign(text: str, since: int, relative: int) -> str:
    """Why `text` is not the pid of a child that was orphaned into our care; "": it is.

    It must have started at or after the `moment` since, as the user that the process `relative` runs as.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS and 1 < int(text) < _PID_MAX):
        return "it is no pid"
    pid = int(text)
    if is_own_fork(pid):
        return "it is a child that this process has forked itself"
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return "it is no child of this process"
    started = _field(pid, "stat", 19)
    if started and int(started) < since:
        return "it is older than the request"
    if _users(pid) != _users(relative):
        return "it runs as another user"
    return ""


def _field(pid: int, name: str, number: int) -> str:
    """A field of /proc/PID/stat behind the name, which may hold anything; "": there is no /proc here."""
    try:
        with open(f"/proc/{pid}/{name}", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[number]
    except (OSError, IndexError):
        return ""


def _users(pid: int) -> str:
    """Real, effective, saved and file system user (proc(5), status)."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            return next((line for line in file if line.startswith("Uid:")), "")
    except OSError:
        return ""
