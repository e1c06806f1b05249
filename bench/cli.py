"""`bench/run`: choose scenarios and servers, prepare, measure, write the tables."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import shlex
import signal
import sys
import tempfile
from pathlib import Path

from bench import adapters, scenarios
from bench.crowd import raise_descriptor_limit
from bench.harness import Bench, measure
from bench.prepare import HERE, NotReady, prepare, say, versions
from bench.probes import Effort
from bench.report import to_markdown
from bench.results import Report

QUICK_PEERS = "raw,hostler,bjoern,gunicorn-gthread"
SPARE_DESCRIPTORS = 2000
OURS = tuple(peer.name for peer in adapters.PEERS if peer.distribution == "hostler")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    words.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="default: all of them (see --list)")
    words.add_argument("--list", action="store_true", help="name the scenarios and the servers")
    words.add_argument("--peers", default="", metavar="A,B", help="servers by name or pattern (granian*)")
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--seconds", type=int, default=3, help="length of one measurement")
    words.add_argument("--warmup", type=int, default=1, help="seconds of load before it, 0 for none")
    words.add_argument("--crowd", type=int, default=10_000, help="connections of the idle scenario")
    words.add_argument("--idle-seconds", type=float, default=10, help="how long they stay idle")
    words.add_argument("--rest", type=float, default=120, help="seconds of rest after the burst")
    words.add_argument("--quick", action="store_true", help="one round of one second, a few servers, nothing written")
    words.add_argument("--name", default="", help="write bench/results/NAME.md and .json (default: the date)")
    words.add_argument("--no-write", action="store_true", help="only print the tables")
    words.add_argument("--no-build", action="store_true", help="measure the hostler that is installed")
    words.add_argument("--hostler", default="", metavar="CMD", help="measure this command as hostler")
    return words


def main(arguments: list[str] | None = None) -> int:
    """Run; the exit code is 1 when a row of hostler could not be measured, 2 when nothing could start."""
    options = parser().parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds, options.no_write = 1, 1, True
        options.peers = options.peers or QUICK_PEERS
    try:
        peers = adapters.choose([name for name in options.peers.split(",") if name])
        chosen = scenarios.choose(options.scenarios)
        if options.list:
            print(listing())
            return 0
        wanted = any(peer.distribution == "hostler" for peer in peers)
        place = prepare(build=wanted and not options.no_build, hostler=tuple(shlex.split(options.hostler)))
    except (adapters.UnknownPeer, scenarios.UnknownScenario, NotReady) as error:
        say(f"bench: {error}")
        return 2
    return run(options, place, peers, chosen)


def run(
    options: argparse.Namespace, place: adapters.Place, peers: list[adapters.Peer], chosen: list[scenarios.Scenario]
) -> int:
    """Measure scenario after scenario; what is done is written at once, a long run may be cut."""
    effort = Effort(options.seconds, options.warmup, options.crowd, options.idle_seconds, options.rest)
    if raise_descriptor_limit(options.crowd + SPARE_DESCRIPTORS) < options.crowd + SPARE_DESCRIPTORS:
        say("bench: the limit of open files is too low for the idle scenario")
    cores = tuple(sorted(os.sched_getaffinity(0)))
    report = Report(about(options))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the measured server ends too
    with tempfile.TemporaryDirectory(dir=place.build) as scratch:
        bench = Bench(place, Path(scratch), versions(place), cores, effort, options.rounds, bool(options.peers))
        for scenario in chosen:
            report.results.append(measure(bench, scenario, peers))
            if not options.no_write:
                write(report, HERE / "results" / (options.name or f"{datetime.date.today()}"))
    print(to_markdown(report))
    return 1 if any(row.error for result in report.results for row in result.rows if row.peer in OURS) else 0


def write(report: Report, path: Path) -> None:
    """NAME.json has everything, NAME.md the tables."""
    path.parent.mkdir(exist_ok=True)
    path.with_name(path.name + ".json").write_text(report.to_json())
    path.with_name(path.name + ".md").write_text(to_markdown(report))


def about(options: argparse.Namespace) -> dict[str, str]:
    """What a reader needs to judge the numbers."""
    processor = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    kernel = re.match(r"[\d.]+", platform.release())
    return {
        "date": str(datetime.date.today()),
        "processor": f"{processor[1] if processor else platform.machine()}, {os.cpu_count()} cores",
        "kernel": f"{platform.system()} {kernel[0] if kernel else ''}",
        "Python": platform.python_version(),
        "measured": f"{options.rounds} rounds of {options.seconds} s, in turn, each server on one core, wrk on another",
    }


def listing() -> str:
    """Scenarios and servers, with what they are."""
    lines = ["scenarios:"]
    lines += [f"  {scenario.name:22}{scenario.title}" for scenario in scenarios.SCENARIOS]
    lines += ["servers:"]
    lines += [f"  {peer.name:23}{peer.settings}" for peer in adapters.PEERS]
    return "\n".join(lines)
