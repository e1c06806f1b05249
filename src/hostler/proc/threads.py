"""What the threads of another process do, as far as the kernel tells (/proc; elsewhere nothing is known)."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

__all__ = ["Thread", "threads_of"]

# A thread that waits for the GIL comes up every 5 ms to ask for it, and may look as if it were running.
_LOOKS = 4
_PAUSE = 0.003
# Max threads that are read, three files each: more than a worker has, however many an app starts.
_MOST = 512

# The calls in which a thread of a server is found at all, by number. A thread that uses another one keeps its number.
_CALLS: dict[str, dict[int, str]] = {
    "x86_64": {
        0: "read", 1: "write", 7: "poll", 16: "ioctl", 23: "select", 34: "pause", 35: "nanosleep", 42: "connect",
        43: "accept", 44: "sendto", 45: "recvfrom", 46: "sendmsg", 47: "recvmsg", 61: "wait4", 72: "fcntl",
        73: "flock", 74: "fsync", 75: "fdatasync", 202: "futex", 230: "clock_nanosleep", 232: "epoll_wait",
        247: "waitid", 270: "pselect6", 271: "ppoll", 281: "epoll_pwait", 288: "accept4",
    },
    "aarch64": {
        22: "epoll_pwait", 25: "fcntl", 29: "ioctl", 32: "flock", 63: "read", 64: "write", 72: "pselect6", 73: "ppoll",
        82: "fsync", 83: "fdatasync", 95: "waitid", 98: "futex", 101: "nanosleep", 115: "clock_nanosleep",
        202: "accept", 203: "connect", 206: "sendto", 207: "recvfrom", 211: "sendmsg", 212: "recvmsg", 242: "accept4",
        260: "wait4",
    },
}  # fmt: skip


class Thread(NamedTuple):
    """One thread at one moment."""

    tid: int
    name: str
    state: str  # R running, S sleeping, D waiting in the kernel, T stopped, t traced, Z ended
    call: str  # the system call that it is in; "": none, or it may not be read
    place: str  # the kernel's function that it sleeps in; "": none, or it may not be read
    stack: int = 0  # the end of its stack; 0: it is running, or this may not be read

    @property
    def waits_for_lock(self) -> bool:
        """Whether it sleeps until another thread lets go of something."""
        return self.state == "S" and (self.call or self.place).startswith(("futex", "do_futex"))

    @property
    def seems_awake(self) -> bool:
        """Whether it runs, or did while this was read."""
        return self.state == "R" or (self.state == "S" and not self.call and not self.place)

    @property
    def doing(self) -> str:
        """What it does, to follow "which"."""
        if self.state == "R":
            return "is running"
        if self.state == "D":
            return f"waits in the kernel ({self.place or self.call or 'where is not known'})"
        return f"sleeps in {self.call or self.place or 'a system call'}"


def threads_of(pid: int) -> list[Thread]:
    """The threads of a process, the main thread first; none when that is not known. Takes a hundredth of a second."""
    try:
        tids = sorted((int(name) for name in os.listdir(f"/proc/{pid}/task")), key=lambda tid: (tid != pid, tid))[
            :_MOST
        ]
    except OSError:  # no /proc here, or it has ended
        return []
    found = {tid: thread for tid in tids if (thread := _read(pid, tid))}
    for _ in range(_LOOKS):
        awake = [tid for tid, thread in found.items() if thread.seems_awake]
        if not awake:
            break
        time.sleep(_PAUSE)
        again = (_read(pid, tid) for tid in awake)
        found.update((thread.tid, thread) for thread in again if thread and thread.waits_for_lock)
    return list(found.values())


def _read(pid: int, tid: int) -> Thread | None:
    # "pid (name) state …"; the name may hold anything, also spaces and brackets.
    head, _, rest = _text(pid, tid, "stat").rpartition(")")
    if not rest:  # it has ended meanwhile
        return None
    place = _text(pid, tid, "wchan")
    # "230 0x0 … sp pc", "-1 sp pc" outside of a call, or "running"
    call = _text(pid, tid, "syscall").split()
    return Thread(
        tid,
        head.partition("(")[2],
        rest.split()[0],
        _call_name(call[0]) if call else "",
        "" if place == "0" else place,
        int(call[-2], 16) if len(call) > 2 else 0,
    )


def _call_name(number: str) -> str:
    if not number.isdigit():
        return ""
    return _CALLS.get(os.uname().machine, {}).get(int(number), f"system call {number}")


def _text(pid: int, tid: int, name: str) -> str:
    try:
        with open(f"/proc/{pid}/task/{tid}/{name}", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:  # it has ended, or this is not for us to read
        return ""
