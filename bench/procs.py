"""A server as the harness sees it: a process tree with a clock, a size and an end.

The processor time of each process comes from its own CPU clock, in nanoseconds and with its ended threads; the two
fields of /proc/PID/stat, in ticks of 10 ms, only say how it divides into user and system. Linux only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


class Stat(NamedTuple):
    """What /proc/PID/stat says about one process; times in seconds."""

    parent: int
    session: int
    user: float
    system: float


class Cpu(NamedTuple):
    """Processor seconds of a tree, and the processes that were counted."""

    total: float
    user: float
    system: float
    pids: frozenset[int]


class Memory(NamedTuple):
    """Bytes of a tree: shared pages by their share, unshared pages only, everything mapped."""

    pss: int
    uss: int
    rss: int


def parse_stat(text: str) -> Stat:
    """Read one /proc/PID/stat; the command name may hold blanks and parentheses."""
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(int(fields[1]), int(fields[3]), int(fields[11]) / TICKS, int(fields[12]) / TICKS)


def tree(stats: Mapping[int, Stat], root: int) -> frozenset[int]:
    """Every process of the session that `root` leads, and every descendant of those."""
    members = {pid for pid, stat in stats.items() if pid == root or stat.session == root}
    grown = True
    while grown:
        more = {pid for pid, stat in stats.items() if stat.parent in members} - members
        members |= more
        grown = bool(more)
    return frozenset(members)


def parse_rollup(text: str) -> Memory:
    """Read one /proc/PID/smaps_rollup."""
    sizes: dict[str, int] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if rest.endswith(" kB"):
            sizes[name] = int(rest[:-3]) * 1024
    return Memory(sizes["Pss"], sizes["Private_Clean"] + sizes["Private_Dirty"], sizes["Rss"])


def cpu_clock(pid: int) -> float:
    """Processor seconds of one process and all its threads, ended ones too (see clock_getcpuclockid(3))."""
    return time.clock_gettime_ns((~pid << 3) | 2) / 1e9


def read_stats() -> dict[int, Stat]:
    """Every process of the machine."""
    stats = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                stats[int(entry.name)] = parse_stat((entry / "stat").read_text(errors="replace"))
            except OSError:  # it ended between the two looks
                continue
    return stats


def machine_cpu(text: str) -> float:
    """Busy seconds of all cores, the hypervisor's share too, from /proc/stat."""
    user, nice, system, _idle, _wait, hard, soft, steal = (int(field) for field in text.split(maxsplit=9)[1:9])
    return (user + nice + system + hard + soft + steal) / TICKS


class Server:
    """One server, started for one measurement and ended with its whole tree."""

    def __init__(
        self, command: list[str], environment: Mapping[str, str], directory: Path, output: Path, cores: Iterable[int]
    ) -> None:
        self._output = output
        with output.open("wb") as stream:
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The first process."""
        return self._process.pid

    def ended(self) -> int | None:
        """The exit code, once the first process has ended."""
        return self._process.poll()

    def output(self) -> str:
        """The last lines it printed."""
        return "\n".join(self._output.read_text(errors="replace").splitlines()[-15:])

    def cpu(self) -> Cpu:
        """Processor time of the live tree so far."""
        stats = read_stats()
        pids = tree(stats, self._process.pid)
        total = sum(cpu_clock(pid) for pid in pids)
        return Cpu(total, sum(stats[pid].user for pid in pids), sum(stats[pid].system for pid in pids), pids)

    def memory(self) -> Memory:
        """Memory of the live tree."""
        pids = tree(read_stats(), self._process.pid)
        parts = [parse_rollup((PROC / str(pid) / "smaps_rollup").read_text()) for pid in pids]
        return Memory(*(sum(sizes) for sizes in zip(*parts, strict=True)))

    def threads(self) -> int:
        """Threads of the live tree, native ones too."""
        return sum(len(list((PROC / str(pid) / "task").iterdir())) for pid in tree(read_stats(), self._process.pid))

    def stop(self, patience: float = 3.0) -> None:
        """Ask the first process to end, then end whatever is left of the tree."""
        before = read_stats()
        members = tree(before, self._process.pid)
        if self.ended() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
        for pid, stat in read_stats().items():
            if pid in members and stat.session == before[pid].session:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._process.wait()
