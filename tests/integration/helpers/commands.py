"""Commands beside `hostler serve`, as one types them, and questions about what they did."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

from tests.integration.helpers import Server


def ctl(server: Server, *words: str) -> subprocess.CompletedProcess[str]:
    """`hostler ctl WORDS`, to its end."""
    command = [sys.executable, "-m", "hostler", "ctl", *words, "--pid", str(server.pid)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def stacks(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hostler", "stacks", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, env=env)


def status(server: Server) -> dict[str, Any]:
    command = [sys.executable, "-m", "hostler", "status", "--json", "--pid", str(server.pid)]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, timeout=40, check=True).stdout)
    return found


def states(server: Server) -> list[str]:
    """What each worker does."""
    return [str(worker["state"]) for worker in status(server)["workers"]]


def template(server: Server) -> int:
    """The one child that is older than the workers and serves nobody."""
    return min(server.children())


def upgrade(pid: int) -> subprocess.CompletedProcess[str]:
    """`hostler upgrade`, to its end."""
    command = [sys.executable, "-m", "hostler", "upgrade", "--pid", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def end(server: Server, pid: int) -> None:
    """The last server's end; it is no child of ours."""
    os.kill(pid, signal.SIGTERM)
    server.wait_gone(within=20)


def successor(done: subprocess.CompletedProcess[str]) -> int:
    assert (done.returncode, done.stderr.count("\n")) == (0, 1), "the server that it acts on, and no fault"
    assert done.stdout.startswith("upgraded: the server with pid ")
    return int(done.stdout.split()[5])


GUNICORN = ("-m", "hostler", "gunicorn")


def wait_threads(server: Server, workers: list[int]) -> None:
    """Wait until these workers can be stopped.

    gunicorn loses a TERM that comes before the handlers of a new worker stand, and kills that worker 30 s later.
    """
    server.wait_for(lambda: all(len(os.listdir(f"/proc/{pid}/task")) > 1 for pid in workers), "the workers' threads")
