"""How the requests are spread over the workers, beside the other servers: `python -m bench.balance [TABLE …]`.

Five tables: an even load on 17 workers, a skewed one, a worker that is stuck, what balancing costs, and a number of
workers that follows the load. Each is a page in bench/results with its plots beside it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.balance import cost, even, fleet, skewed, stuck
from bench.balance.servers import Bench, Page
from bench.prepare import ROOT, NotReady, prepare, say, versions
from bench.report import DISTURBED

TABLES: dict[str, Callable[[Bench], Page]] = {
    "even": even.table,
    "skewed": skewed.table,
    "stuck": stuck.table,
    "cost": cost.table,
    "fleet": fleet.table,
}


def main() -> int:
    """Measure, and write a page for each table; 1 when one could not be made."""
    parser = argparse.ArgumentParser(prog="python -m bench.balance", description=__doc__.partition("\n\n")[2])
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"some of {', '.join(TABLES)}; all by default")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement; fleet has its own times")
    parser.add_argument("--rounds", type=int, default=5, help="of each table but fleet")
    parser.add_argument("--no-build", action="store_true", help="measure the hostler that is installed in bench/.venv")
    parser.add_argument("--results", type=Path, default=ROOT / "bench" / "results", help="where to write")
    options = parser.parse_args()
    if unknown := set(options.tables) - set(TABLES):
        parser.error(f"no table {', '.join(sorted(unknown))}; there are: {', '.join(TABLES)}")
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("less than one round, or no time, measures nothing")
    try:
        place = prepare(build=not options.no_build, hostler=())
    except NotReady as error:
        say(str(error))
        return 1
    code = 0
    for name in options.tables or TABLES:
        try:
            bench = Bench(place, options.seconds, options.rounds, [])
            page = TABLES[name](bench)
            _write(options.results, name, [*page.lines, "", *_circumstances(bench)], page.plots)
        except NotReady as error:
            say(f"{name}: {error}")
            code = 1
    return code


def _circumstances(bench: Bench) -> list[str]:
    """On what it was measured, and who disturbed it."""
    found = versions(bench.place)
    names = [f"{name} {found[name]}" for name in ("hostler", "gunicorn", "granian", "gevent", "flask") if name in found]
    lines = [f"* {', '.join(names)}; {os.cpu_count()} processors, shared by servers and clients"]
    worst = max(bench.others, default=0.0)
    if worst > DISTURBED:
        lines.append(f"* disturbed: other processes took up to {worst:.2f} cores, {median(bench.others):.2f} mostly")
    return lines


def _write(results: Path, name: str, lines: list[str], plots: dict[str, str]) -> None:
    results.mkdir(parents=True, exist_ok=True)
    text = "\n".join(lines) + "\n"
    (results / f"0.1.0-balance-{name}.md").write_text(text, encoding="utf-8")
    for plot, drawing in plots.items():
        (results / f"balance-{name}-{plot}.svg").write_text(drawing, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
