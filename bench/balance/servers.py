"""The servers of these tables, each started so that all its workers have booted before anybody counts."""

from __future__ import annotations

import http.client
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.adapters import Command, Place, Plan, choose
from bench.load import Request, ask, free_port
from bench.prepare import NotReady, environment
from bench.procs import Server, machine_cpu

WITHIN = 60.0
SETTLED = 0.5  # from the import of the app to the first accept, and a bit
OURS = "hostler"


class Contender(NamedTuple):
    """A server with its settings, and the app it gets."""

    name: str
    app: str
    command: Command

    @property
    def ours(self) -> bool:
        return self.name.startswith(OURS)


class Running(NamedTuple):
    """A server that serves, and who its workers are."""

    server: Server
    port: int
    workers: frozenset[int]


class Bench(NamedTuple):
    """What stays the same for a table: where things are, how long each measurement takes, how often it is made."""

    place: Place
    seconds: float
    rounds: int
    others: list[float]  # cores that other processes took, one number for each server that ran


class Page(NamedTuple):
    """What a table writes: Markdown, and its plots by name."""

    lines: list[str]
    plots: dict[str, str]


def contender(name: str, app: str, peer: str, *options: str) -> Contender:
    """One of the adapters' servers, with more options behind its own."""
    command = choose([peer])[0].command
    return Contender(name, app, lambda place, plan: _with(command(place, plan), options))


def _with(command: list[str], options: tuple[str, ...]) -> list[str]:
    """The app is the last word of some commands; options are taken in front of it there."""
    return [*command, *options] if "serve" in command else [*command[:-1], *options, command[-1]]


@contextmanager
def running(bench: Bench, contender: Contender, workers: int) -> Iterator[Running]:
    """The server, once all its workers have imported the app and it answers."""
    place, port = bench.place, free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        booted = folder / "booted"
        booted.mkdir()
        env = environment(place) | {"BENCH_BOOTED": str(booted)}
        command = contender.command(place, Plan(contender.app, port, workers))
        with Server(command, env, place.apps, folder / "output", os.sched_getaffinity(0)) as server:
            began, busy, ours = time.monotonic(), _machine(), _ours()
            pids = _await(contender, server, port, booted, workers)
            yield Running(server, port, pids)
            others = _machine() - busy - (_ours() - ours) - server.cpu().total
            bench.others.append(others / (time.monotonic() - began))


def _machine() -> float:
    return machine_cpu(Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0])


def _ours() -> float:
    """The clients, and wrk where it is the client."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def _await(contender: Contender, server: Server, port: int, booted: Path, wanted: int) -> frozenset[int]:
    """Who has booted: each worker leaves a file named like its process."""
    deadline = time.monotonic() + WITHIN
    while time.monotonic() < deadline:
        if server.ended() is not None:
            raise NotReady(f"{contender.name} does not start: {server.output().strip() or 'it says nothing'}")
        pids = frozenset(int(file.name) for file in booted.iterdir())
        if len(pids) >= wanted and _answers(port):
            time.sleep(SETTLED)
            return pids
        time.sleep(0.05)
    raise NotReady(f"{contender.name}: {len(list(booted.iterdir()))} of {wanted} workers after {WITHIN:.0f} s")


def _answers(port: int) -> bool:
    try:
        return ask(port, Request(b"")).status == 200
    except (OSError, http.client.HTTPException):
        return False


def ratio_text(value: float) -> str:
    """∞ where a worker answered nothing."""
    return "∞" if value == float("inf") else f"{value:.2f}"


def verdict(found: float, limit: float) -> str:
    """As in the other pages."""
    return "yes" if found <= limit else "**no**"
