"""Who has it: processes by pid, and by the sockets they have, as far as /proc tells (elsewhere: None)."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import NamedTuple

from hostler.proc import unix
from hostler.proc.printable import printable

__all__ = [
    "Owner",
    "client_owner",
    "is_running",
    "is_sibling",
    "started_at",
    "tcp_owner",
    "unix_owner",
    "unix_server",
    "user_of",
]

_LISTEN, _ESTABLISHED = "0A", "01"  # TCP states as /proc/net/tcp writes them
_COMMAND_MAX = 60


class Owner(NamedTuple):
    """A process that has what we want; reads as `"gunicorn shop.wsgi" (pid 4242)`."""

    pid: int
    command: str

    @classmethod
    def of(cls, pid: int) -> Owner:
        """The process `pid`, with its command where that can be read."""
        return cls(pid, _command(pid))

    def __str__(self) -> str:
        return f'"{self.command}" (pid {self.pid})' if self.command else f"process {self.pid}"


def tcp_owner(port: int) -> Owner | None:
    """The process that listens on a TCP port."""
    return _holder(set(_listening_inodes(port)))


def unix_owner(path: str) -> Owner | None:
    """The process that has the unix socket `path` (an abstract one starts with NUL)."""
    shown = f"@{path[1:]}" if path.startswith("\0") else path
    # Num RefCount Protocol Flags Type St Inode Path
    rows = (line.rstrip("\n").split(None, 7) for line in _lines("/proc/net/unix"))
    return _holder({row[6] for row in rows if len(row) == 8 and row[7] == shown})


def unix_server(path: str) -> Owner | None:
    """The process that listens on the unix socket `path`, as the kernel tells a client; else as `unix_owner`."""
    peer = unix.server_of(path)
    return Owner.of(peer.pid) if peer is not None and peer.pid else unix_owner(path)


def client_owner(address: str, port: int, server_ports: Collection[int]) -> Owner | None:
    """The process of this machine that connected from `address`:`port` to one of our ports; loopback only."""
    if not address.startswith("127.") and address != "::1":
        return None
    inodes = {
        row[9]
        for row in _tcp_rows()
        if row[3] == _ESTABLISHED and _port(row[1]) == port and _port(row[2]) in server_ports
    }
    return _holder(inodes, first=os.getpid())


def is_sibling(pid: int) -> bool:
    """Whether a process has the same parent as this one."""
    return _parent(pid) == os.getppid()


def user_of(pid: int) -> int | None:
    """The effective user of a process (proc_pid_status(5)); None: it is gone, or the system does not tell."""
    for line in _lines(f"/proc/{pid}/status"):
        if line.startswith("Uid:"):
            return int(line.split()[2])
    return None


def is_running(pid: int) -> bool:
    """Whether a process is there and has not ended (a zombie has: its parent has not noticed yet)."""
    states = [line.split()[1] for line in _lines(f"/proc/{pid}/status") if line.startswith("State:")]
    return bool(states) and states[0] not in ("Z", "X")


def _parent(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def started_at(pid: int) -> float | None:
    """When a process started, in seconds since the epoch."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        boot = next(line for line in _lines("/proc/stat") if line.startswith("btime "))
    except (OSError, ValueError, IndexError, StopIteration):
        return None
    return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")


def _listening_inodes(port: int) -> Iterator[str]:
    return (row[9] for row in _tcp_rows() if row[3] == _LISTEN and _port(row[1]) == port)


def _tcp_rows() -> Iterator[list[str]]:
    """sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode"""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in _lines(table):
            row = line.split()
            if len(row) > 9 and row[0] != "sl":
                yield row


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def _holder(inodes: set[str], first: int = 0) -> Owner | None:
    """The first process (the parent, when there are several) that has one of these sockets open.

    `first` is looked at before the others.
    """
    wanted = {f"socket:[{inode}]" for inode in inodes}
    if not wanted:
        return None
    pids = sorted(int(name) for name in _names("/proc") if name.isdigit())
    for pid in [first, *pids] if first else pids:
        for fd in _names(f"/proc/{pid}/fd"):
            try:
                if os.readlink(f"/proc/{pid}/fd/{fd}") in wanted:
                    return Owner.of(pid)
            except OSError:  # closed meanwhile
                continue
    return None


def _command(pid: int) -> str:
    """The command line as one would say it: without the interpreter and without folders."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().decode("utf-8", "replace").rstrip("\0").split("\0")
    except OSError:
        return ""
    if os.path.basename(words[0]).startswith("python") and len(words) > 1:
        rest = words[2:] if words[1] == "-m" else words[1:]
        words = rest if rest and not rest[0].startswith("-") else words
    text = " ".join([os.path.basename(words[0]), *words[1:]])
    text = printable(text)
    return text if len(text) <= _COMMAND_MAX else f"{text[: _COMMAND_MAX - 3]}..."


def _lines(path: str) -> Iterator[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            yield from file
    except OSError:  # no /proc here, or the process has ended
        return


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # another user's process, or gone meanwhile
        return []
