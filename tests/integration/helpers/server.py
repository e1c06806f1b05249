"""A running `hostler serve`: started as a user starts it, watched through its log, always ended."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from tests.integration.helpers import processes
from tests.integration.helpers.raw import Connection

T = TypeVar("T")

# Far above what a slow machine needs: reached only when something is broken.
READY_WITHIN = 60.0  # some applications import for seconds
WITHIN = 20.0
ENDED_WITHIN = 20.0
_POLL = 0.01

# "hostler 0.1.0 listening on http://127.0.0.1:43121 (…)", "… on unix:/run/app.sock (…)"
_LISTENING = re.compile(r"listening on (?:http://(?P<tcp>\S+)|unix:(?P<unix>\S+))", re.IGNORECASE)


class ServerError(AssertionError):
    """The server did not do what the test waited for; the message carries its log."""


class Server:
    """One `hostler serve` process with its workers, in a process group of its own.

    `args` are what follows `hostler serve`, or follows what `python` names in its place. The log (stdout and
    stderr together) goes to a file, so that no reader can block the server.
    """

    def __init__(
        self,
        args: Sequence[str],
        *,
        log_path: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        python: Sequence[str] = ("-m", "hostler", "serve"),
    ) -> None:
        self.log_path = log_path
        with log_path.open("ab") as log:  # a test may write a line of its own
            self.process = subprocess.Popen(
                [sys.executable, *python, *args],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=_environment(env or {}),
                pass_fds=pass_fds,
                start_new_session=True,
            )

    # --- What it said ---

    @property
    def log(self) -> str:
        """Everything the server has written so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def wait_log(self, pattern: str, *, count: int = 1, within: float = WITHIN) -> list[str]:
        """Wait until at least `count` places of the log match `pattern`; returns them."""
        expression = re.compile(pattern, re.MULTILINE)

        def found() -> list[str] | None:
            matches = [match.group(0) for match in expression.finditer(self.log)]
            return matches if len(matches) >= count else None

        return self.wait_for(found, f"{pattern!r} {count} times in the log", within=within)

    def wait_log_of(self, pattern: str, *, alive: int, within: float = WITHIN) -> None:
        """As `wait_log`, for what a successor with the pid `alive` says when the first arbiter has ended."""
        deadline = time.monotonic() + within
        while not re.search(pattern, self.log):
            if time.monotonic() > deadline or alive not in [row.pid for row in processes.table()]:
                raise self._error(f"no {pattern!r} in the log")
            time.sleep(_POLL)

    def wait_for(self, condition: Callable[[], T | None], what: str, *, within: float = WITHIN) -> T:
        """Wait until `condition` returns something true; an arbiter that ended fails at once."""
        deadline = time.monotonic() + within
        while True:
            ended = self.process.poll() is not None  # Asked first: the last words count.
            if value := condition():
                return value
            if ended:
                raise self._error(f"ended with {self.process.returncode} before {what}")
            if time.monotonic() > deadline:
                raise self._error(f"no {what} within {within} s")
            time.sleep(_POLL)

    # --- Where it is ---

    def wait_ready(self, binds: int = 1) -> None:
        """Wait until `binds` addresses are announced, which is when the first worker is ready."""
        self.wait_log(f"(?i){_LISTENING.pattern}", count=binds, within=READY_WITHIN)

    @property
    def addresses(self) -> list[tuple[str, int] | str]:
        """Where it listens, in the order of its log: (host, port), or the path of a unix socket."""
        return [_address(match) for match in _LISTENING.finditer(self.log)]

    @property
    def port(self) -> int:
        """The port of its first TCP listener."""
        return next(address[1] for address in self.addresses if isinstance(address, tuple))

    def url(self, path: str = "/") -> str:
        """`path` on its first TCP listener."""
        host, port = next(address for address in self.addresses if isinstance(address, tuple))
        return f"http://{f'[{host}]' if ':' in host else host}:{port}{path}"

    def connect(self, index: int = 0, timeout: float = 10.0) -> Connection:
        """A raw connection to its listener number `index`."""
        address = self.addresses[index]
        if isinstance(address, tuple):
            return Connection(socket.create_connection(address, timeout=timeout))
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(timeout)
        try:
            sock.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        except OSError as error:
            error.add_note(f"{address}; the server: {self.process.poll()}. Its log:\n{self.log}")
            raise
        return Connection(sock)

    # --- Its processes ---

    @property
    def pid(self) -> int:
        """The arbiter."""
        return self.process.pid

    def children(self) -> list[int]:
        """The processes that the arbiter has now."""
        return processes.children(self.pid)

    def wait_children(self, count: int, *, without: Sequence[int] = ()) -> list[int]:
        """Wait until the arbiter has exactly `count` children and none of `without`."""

        def found() -> list[int] | None:
            pids = self.children()
            return pids if len(pids) == count and not set(pids) & set(without) else None

        return self.wait_for(found, f"{count} children")

    def kill(self, number: signal.Signals) -> None:
        """Send a signal to the arbiter alone."""
        self.process.send_signal(number)

    def kill_resize(self, by: int) -> None:
        """Ask for so many workers more."""
        for _ in range(by):
            self.kill(signal.SIGTTIN)

    def wait(self, within: float = ENDED_WITHIN) -> int:
        """Wait for the arbiter's end; returns its exit code."""
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise self._error(f"still there after {within} s") from None

    def stop(self, number: signal.Signals = signal.SIGTERM, within: float = ENDED_WITHIN) -> int:
        """Signal the arbiter and wait for its end; returns its exit code."""
        if self.process.poll() is None:
            self.kill(number)
        return self.wait(within)

    def end(self) -> None:
        """End the server whatever state it is in. Fails when that took force, or left a process."""
        try:
            self.stop()
            self.wait_gone()
        finally:
            processes.kill_group(self.pid)
            self.process.wait()

    def wait_gone(self, within: float = 5.0) -> None:
        """Wait until no process of its group is left."""
        deadline = time.monotonic() + within
        while left := processes.group(self.pid):
            if time.monotonic() > deadline:
                raise self._error(f"processes {left} outlived the arbiter by {within} s")
            time.sleep(_POLL)

    def _error(self, what: str) -> ServerError:
        return ServerError(f"hostler serve: {what}. Its log:\n{self.log or '(empty)'}")


def _address(match: re.Match[str]) -> tuple[str, int] | str:
    if path := match.group("unix"):
        return path
    host, _, port = match.group("tcp").rstrip("/").rpartition(":")
    return host.strip("[]"), int(port)


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Ours, without what would configure the server behind a test's back."""
    configures = re.compile(r"HOSTLER_|LISTEN_|PYTEST_|(PORT|WEB_CONCURRENCY|DJANGO_SETTINGS_MODULE)$")
    env = {name: value for name, value in os.environ.items() if not configures.match(name)}
    # Tests run with warnings as errors; so do the servers that they start.
    env["PYTHONWARNINGS"] = "error"
    env.update(extra)
    return env
