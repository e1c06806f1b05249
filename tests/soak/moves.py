"""Connections move between workers at random: `python -m tests.soak.moves [SECONDS]`.

Pipelined requests, bodies in pieces, clients that leave, and half of the time a worker killed (-9) each half second;
with threads, greenlets and asyncio. It is tests/integration/core/test_moves.py, for long.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.integration.helpers import Serve
from tests.integration.helpers.handovers import ASGI, WSGI, move

SETUPS = {"threads": (WSGI, ()), "gevent": (WSGI, ("--driver", "gevent")), "asyncio": (ASGI, ())}
ROUND = 15.0


def main(seconds: float) -> int:
    """The whole; returns an exit code."""
    share = seconds / (2 * len(SETUPS))
    for name, (app, options) in SETUPS.items():
        for kill_every in (0.0, 0.5):
            total = broke = 0
            left = share
            while left > 0:
                with tempfile.TemporaryDirectory() as directory:
                    serve = Serve(Path(directory))
                    try:
                        answered, broken = move(
                            serve,
                            app,
                            Path(directory, "runs"),
                            *options,
                            seconds=min(left, ROUND),
                            kill_every=kill_every,
                        )
                    finally:
                        for server in serve.servers:
                            server.end()
                total, broke, left = total + answered, broke + broken, left - ROUND
            what = "with kills" if kill_every else "without"
            print(
                f"{name} {what}: {total} answered, each once and to who had asked; {broke} connections broke",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 300.0))
