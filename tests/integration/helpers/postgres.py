"""PostgreSQL and PgBouncer from Debian's packages, each for one test: loopback, a random port, nothing kept."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.helpers.raw import free_port

_WITHIN = 30.0


def programs() -> Path | None:
    """Where PostgreSQL's programs are; None: nowhere."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    return Path(found[-1]).parent if found else None


def bouncer() -> str | None:
    """PgBouncer's path."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def postgres(directory: Path, connections: int) -> Iterator[int]:
    """A server that takes `connections`; gives its port. User and database: postgres, no password."""
    bin_ = programs()
    assert bin_ is not None
    data = directory / "postgres"
    data.mkdir()
    _give(directory, data)
    port = free_port()
    initdb = [str(bin_ / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8"]
    subprocess.run(_as_postgres(initdb), check=True, capture_output=True, cwd=data)
    options = {
        "port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off",
        "max_connections": connections, "superuser_reserved_connections": 0, "shared_buffers": "16MB",
    }  # fmt: skip
    command = [str(bin_ / "postgres"), "-D", str(data)]
    command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    with _running(_as_postgres(command), port, directory / "postgres.log", data):
        yield port


@contextmanager
def pgbouncer(directory: Path, port: int, clients: int) -> Iterator[int]:
    """PgBouncer with transaction pooling in front of a server's port; takes `clients`; gives its own port."""
    program = bouncer()
    assert program is not None
    own = free_port()
    home = directory / "pgbouncer"
    home.mkdir()
    (home / "users.txt").write_text('"postgres" ""\n')
    (home / "pgbouncer.ini").write_text(
        f"[databases]\npostgres = host=127.0.0.1 port={port} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {own}\nauth_type = any\nauth_file = {home}/users.txt\npool_mode = transaction\n"
        f"max_client_conn = {clients}\ndefault_pool_size = 5\nunix_socket_dir =\n"
    )
    _give(directory, home)
    with _running(_as_postgres([program, str(home / "pgbouncer.ini")]), own, directory / "pgbouncer.log", home):
        yield own


@contextmanager
def _running(command: list[str], port: int, log: Path, cwd: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=cwd)
    try:
        deadline = time.monotonic() + _WITHIN
        while not _listens(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield
    finally:
        process.send_signal(2)  # PostgreSQL: a fast shutdown; PgBouncer: a safe one
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _as_postgres(command: list[str]) -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]


def _give(directory: Path, *owned: Path) -> None:
    if os.geteuid() != 0:
        return
    user = pwd.getpwnam("postgres")
    for path in owned:
        for each in (path, *path.rglob("*")):
            os.chown(each, user.pw_uid, user.pw_gid)
    for parent in (directory, *directory.parents):
        if parent.stat().st_uid == 0 and str(parent).startswith("/tmp/"):
            parent.chmod(parent.stat().st_mode | 0o011)
