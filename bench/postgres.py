"""A PostgreSQL server of the benchmark's own, for as long as one scenario takes.

It is made in a new directory, listens on a unix socket there and nowhere else, and goes with everything it wrote.
PostgreSQL refuses to run as root: then it runs as the user that Debian's package makes for it.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = Path("/usr/lib/postgresql")
PACKAGE = "postgresql"
ROLE = "bench"
VARIABLE = "BENCH_POSTGRES"
"""Tells the Django project where the socket is."""

PATIENCE = 30.0
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "500",  # one for each thread of the largest pool, and those that are still closing
    "fsync": "off",  # nothing is written while measuring, and nothing is kept
    "autovacuum": "off",
}


class Unavailable(Exception):
    """There is no PostgreSQL here that can be started."""


def newest(versions: Iterable[str]) -> str | None:
    """The highest of the version directories; `9.6` is older than `15`."""
    known = [version for version in versions if re.fullmatch(r"\d+(\.\d+)?", version)]
    return max(known, key=lambda version: [int(part) for part in version.split(".")], default=None)


def command(programs: Path, home: Path) -> list[str]:
    """The server's command line: its data and its socket are in `home`."""
    settings = SETTINGS | {"unix_socket_directories": str(home)}
    return [
        str(programs / "postgres"),
        *("-D", str(home / "data")),
        *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
    ]


@contextmanager
def running(cores: Iterable[int]) -> Iterator[dict[str, str]]:
    """The server on these cores; what the apps need to find it is in the environment variables that are given."""
    programs, user = _programs(), _user()
    home = Path(tempfile.mkdtemp(prefix="hostler-bench-"))
    try:
        if user is not None:
            os.chown(home, user, -1)
        _initialise(programs, home, user)
        with _started(programs, home, user, cores):
            yield {VARIABLE: str(home)}
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _programs() -> Path:
    found = newest(path.name for path in PROGRAMS.iterdir()) if PROGRAMS.is_dir() else None
    programs = PROGRAMS / (found or "") / "bin"
    if not (programs / "initdb").exists():
        raise Unavailable(f"no PostgreSQL in {PROGRAMS} (Debian: apt-get install {PACKAGE})")
    return programs


def _user() -> int | None:
    """Who the server runs as, where that is not whoever runs the benchmark."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_uid
    except KeyError:
        raise Unavailable("PostgreSQL does not run as root, and there is no user postgres") from None


def _initialise(programs: Path, home: Path, user: int | None) -> None:
    words = ["-D", str(home / "data"), "-U", ROLE, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
    done = subprocess.run(
        [str(programs / "initdb"), *words], user=user, cwd=home, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Unavailable(f"initdb ended with {done.returncode}: {done.stderr.strip()}")


@contextmanager
def _started(programs: Path, home: Path, user: int | None, cores: Iterable[int]) -> Iterator[None]:
    log = home / "log"
    with (
        log.open("wb") as stream,
        subprocess.Popen(
            command(programs, home),
            user=user,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        ) as process,
    ):
        try:
            _await(programs, home, process, log)
            yield
        finally:
            _stop(process)


def _await(programs: Path, home: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    asked = [str(programs / "pg_isready"), "-q", "-h", str(home), "-U", ROLE]
    deadline = time.monotonic() + PATIENCE
    while subprocess.run(asked, check=False).returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            raise Unavailable(f"PostgreSQL did not start: {log.read_text(errors='replace').strip()}")
        time.sleep(0.1)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Its "fast" end; then its "immediate" one, in which it ends its children too."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        process.send_signal(number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            continue
        return
    process.kill()
