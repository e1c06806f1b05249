"""What reloads, limits and preloading cost beside the other servers: `python -m bench.lifecycle [TABLE …]`.

Three tables, in bench/results: failed requests and response times while workers are replaced (by a reload, by a limit
of 1000 requests), under the load of tests.soak.reloads; memory of a Django project with four workers after traffic;
memory of the arbiter alone. Peers are reloaded as their manuals say.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.adapters import Place
from bench.prepare import ROOT, environment, prepare, say
from bench.procs import Memory, Server, parse_rollup
from tests.soak.reloads import PAGE, Load

STEADY = 5.0  # seconds of load before anything is replaced
SETTLED = 6.0  # from one reload to the next: two imports of a second, one after the other, and what drains
WITHIN = 30.0
MEGABYTE = 1 << 20
LOAD = "64 keep-alive connections and a new one each 5 ms; Django, an import of 1 s, 2 workers"


class Lifecycle(NamedTuple):
    """A server whose workers are replaced."""

    name: str
    command: Callable[[Place, int, Path], list[str]]
    reload: Callable[[Place, Server, Path], None]
    limit: Sequence[str] = ()  # what has a worker replaced after 1000 requests; empty: there is no such limit


class Outcome(NamedTuple):
    """What the clients saw."""

    answered: int
    failures: list[str]
    steady: float  # p99 in seconds
    during: float


def _tool(place: Place, name: str) -> str:
    return str(place.bin / name)


def _hup(place: Place, server: Server, folder: Path) -> None:
    os.kill(server.pid, signal.SIGHUP)


def _ask_hostler(place: Place, server: Server, folder: Path) -> None:
    command = [*place.hostler, "reload", "--pid", str(server.pid)]
    subprocess.run(command, check=True, capture_output=True, timeout=WITHIN)


def _touch(place: Place, server: Server, folder: Path) -> None:
    (folder / "reload").touch()


PEERS = (
    Lifecycle(
        "hostler",
        lambda place, port, folder: [*place.hostler, "serve", "app", "--bind", f"127.0.0.1:{port}", "--workers", "2"],
        _ask_hostler,
        ("--max-requests", "1000"),
    ),
    Lifecycle(
        "gunicorn gthread",
        lambda place, port, folder: [
            _tool(place, "gunicorn"), "-b", f"127.0.0.1:{port}", "-w", "2", "-k", "gthread", "--threads", "64",
            "--keep-alive", "75", "--no-control-socket", "app",
        ],
        _hup,
        ("--max-requests", "1000"),
    ),
    Lifecycle(
        "granian",
        lambda place, port, folder: [
            _tool(place, "granian"), "--interface", "wsgi", "--port", str(port), "--workers", "2", "--log-level",
            "warning", "app:application",
        ],
        _hup,
    ),
    Lifecycle(
        "uvicorn",
        lambda place, port, folder: [
            _tool(place, "uvicorn"), "--interface", "wsgi", "--port", str(port), "--workers", "2", "--log-level",
            "warning", "--timeout-keep-alive", "75", "app:application",
        ],
        _hup,
        ("--limit-max-requests", "1000"),
    ),
    Lifecycle(
        "uWSGI, chain reload",
        lambda place, port, folder: [
            _tool(place, "uwsgi"), "--http11-socket", f"127.0.0.1:{port}", "--master", "--die-on-term", "--need-app",
            "--lazy-apps", "--processes", "2", "--threads", "64", "--module", "app", "--home",
            str(place.bin.parent), "--disable-logging", "--touch-chain-reload", str(folder / "reload"),
        ],
        _touch,
        ("--max-requests", "1000"),
    ),
)  # fmt: skip


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _write(folder: Path, version: int) -> None:
    page = textwrap.dedent(PAGE.replace("VERSION", str(version)))
    (folder / "app.py").write_text(page, encoding="utf-8")


def _await(port: int, server: Server) -> None:
    """Wait until something answers."""
    deadline = time.monotonic() + WITHIN
    while time.monotonic() < deadline and server.ended() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=WITHIN) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                if sock.recv(12):
                    return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"no answer from {server.output()}")


async def _observe(port: int, meanwhile: Callable[[], None], times: int, seconds: float) -> Outcome:
    """The load, `meanwhile` so many times, then for so many seconds more."""
    load = Load(port)
    clients = load.start()
    await asyncio.sleep(STEADY)
    began = time.monotonic()
    for _ in range(times):
        await asyncio.to_thread(meanwhile)
        await asyncio.sleep(SETTLED)
    await asyncio.sleep(seconds)
    load.is_over = True
    _, hanging = await asyncio.wait(clients, timeout=WITHIN)
    for client in hanging:
        client.cancel()
        load.failures.append("a client hangs")
    return Outcome(len(load.times), load.failures, *load.percentiles(began))


def _replaced(place: Place, peer: Lifecycle, reloads: int, seconds: float) -> Outcome:
    """Reload so often; or, with 0 reloads, have the limit replace workers for so many seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder, version = Path(name), 0
        _write(folder, version)
        (folder / "reload").touch()
        port = _free_port()
        command = peer.command(place, port, folder) + list(() if reloads else peer.limit)
        env = environment(place) | {"PYTHONPATH": name}
        with Server(command, env, folder, folder / "output", os.sched_getaffinity(0)) as server:
            _await(port, server)

            def reload() -> None:
                nonlocal version
                version += 1
                _write(folder, version)
                peer.reload(place, server, folder)

            return asyncio.run(_observe(port, reload, reloads, seconds))


# --- Memory ---

MEMORY: dict[str, Callable[[Place, int], list[str]]] = {
    "hostler --preload": lambda place, port: [
        *place.hostler, "serve", "pages.wsgi:app", "--bind", f"127.0.0.1:{port}", "--workers", "4", "--preload",
    ],
    "gunicorn --preload": lambda place, port: [
        _tool(place, "gunicorn"), "-b", f"127.0.0.1:{port}", "-w", "4", "-k", "gthread", "--threads", "4", "--preload",
        "--no-control-socket", "pages.wsgi:app",
    ],
    "uWSGI": lambda place, port: [
        _tool(place, "uwsgi"), "--http11-socket", f"127.0.0.1:{port}", "--master", "--die-on-term", "--processes", "4",
        "--threads", "4", "--module", "pages.wsgi:app", "--home", str(place.bin.parent), "--disable-logging",
    ],
    "granian": lambda place, port: [
        _tool(place, "granian"), "--interface", "wsgi", "--port", str(port), "--workers", "4", "--log-level",
        "warning", "pages.wsgi:app",
    ],
    "gunicorn": lambda place, port: [
        _tool(place, "gunicorn"), "-b", f"127.0.0.1:{port}", "-w", "4", "-k", "gthread", "--threads", "4",
        "--no-control-socket", "pages.wsgi:app",
    ],
    "hostler": lambda place, port: [
        *place.hostler, "serve", "pages.wsgi:app", "--bind", f"127.0.0.1:{port}", "--workers", "4",
    ],
}  # fmt: skip


def _memory(place: Place, command: list[str], port: int) -> tuple[Memory, int]:
    """Of the whole tree after traffic, and the PSS of the first process alone."""
    output = place.build / "lifecycle.out"
    with Server(command, environment(place), place.apps, output, os.sched_getaffinity(0)) as server:
        _await(port, server)
        time.sleep(2)
        load = ["wrk", "-t1", "-c32", "-d8s", f"http://127.0.0.1:{port}/"]
        subprocess.run(load, check=True, capture_output=True, timeout=60)
        time.sleep(3)
        rollup = Path(f"/proc/{server.pid}/smaps_rollup").read_text(encoding="ascii")
        return server.memory(), parse_rollup(rollup).pss


# --- The page ---


def _row(name: str, outcome: Outcome) -> str:
    share = outcome.during / outcome.steady if outcome.steady else 0.0
    kinds = ", ".join(sorted({failure.partition("(")[0] for failure in outcome.failures}))
    failed = f"{len(outcome.failures)}" + (f" ({kinds})" if kinds else "")
    return f"| {name} | {outcome.answered} | {failed} | {share:.2f}× |"


def reloads(place: Place, times: int) -> list[str]:
    """Reloads under load."""
    lines = [
        "# Reloads under load",
        "",
        f"{LOAD}; {times} reloads. p99 is that of the response times meanwhile, against the same server before.",
        "",
        "| server | answered | failed | p99 |",
        "| --- | ---: | ---: | ---: |",
    ]
    for peer in PEERS:
        lines.append(_row(peer.name, _replaced(place, peer, times, 1.0)))
        say(lines[-1])
    return lines


def limit(place: Place, seconds: float) -> list[str]:
    """Workers that are replaced because they have run their share."""
    lines = [
        "# Workers replaced after 1000 requests",
        "",
        f"{LOAD}; {seconds:.0f} s. p99 as for reloads.",
        "",
        "| server | answered | failed | p99 |",
        "| --- | ---: | ---: | ---: |",
    ]
    for peer in PEERS:
        if peer.limit:
            lines.append(_row(peer.name, _replaced(place, peer, 0, seconds)))
            say(lines[-1])
    return lines


def memory(place: Place, rounds: int) -> list[str]:
    """Memory after traffic."""
    lines = [
        "# Memory of a Django project with 4 workers",
        "",
        f"PSS after 8 s of requests on 32 connections, the arbiter's alone beside it; medians of {rounds} rounds.",
        "",
        "| server | MB, all | hostler, this = 1 | MB, arbiter |",
        "| --- | ---: | ---: | ---: |",
    ]
    found: dict[str, list[tuple[int, int]]] = {name: [] for name in MEMORY}
    for turn in range(rounds):
        names = list(MEMORY)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            port = _free_port()
            tree, arbiter = _memory(place, MEMORY[name](place, port), port)
            found[name].append((tree.pss, arbiter))
            say(f"{name}: {tree.pss / MEGABYTE:.0f} MB, arbiter {arbiter / MEGABYTE:.1f} MB")
    ours = median(pss for pss, _ in next(iter(found.values())))
    for name, sizes in found.items():
        whole, alone = median(each[0] for each in sizes), median(each[1] for each in sizes)
        lines.append(f"| {name} | {whole / MEGABYTE:.0f} | {ours / whole:.2f}× | {alone / MEGABYTE:.1f} |")
    return lines


def main() -> int:
    """Measure, and write a page for each table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", default=["reloads", "limit", "memory"])
    parser.add_argument("--reloads", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=45.0, help="with the limit of 1000 requests")
    parser.add_argument("--rounds", type=int, default=3, help="of the memory table")
    parser.add_argument("--no-build", action="store_true")
    options = parser.parse_args()
    place = prepare(build=not options.no_build, hostler=())
    make: dict[str, Callable[[], list[str]]] = {
        "reloads": lambda: reloads(place, options.reloads),
        "limit": lambda: limit(place, options.seconds),
        "memory": lambda: memory(place, options.rounds),
    }
    for name in options.tables:
        path = ROOT / "bench" / "results" / f"0.1.0-lifecycle-{name}.md"
        path.write_text("\n".join(make[name]()) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
