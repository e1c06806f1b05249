"""Where control sockets are: one for each server, named after its process."""

from __future__ import annotations

import os
import stat

__all__ = ["candidates", "directories", "own_path"]

_LONGEST = 107  # bytes of sun_path, without its NUL


def directories() -> list[str]:
    """Where `control = "auto"` puts sockets, the best place first."""
    found = []
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isdir(runtime):
        found.append(os.path.join(runtime, "ostler"))
    if os.geteuid() == 0:
        found.append("/run/ostler")
    found.append(f"/tmp/ostler-{os.geteuid()}")
    return found


def own_path(pid: int) -> str:
    """The socket's path for this process; makes the directory. OSError when none of them can be used."""
    problem: OSError | None = None
    for directory in directories():
        path = os.path.join(directory, f"{pid}.sock")
        try:
            _make(directory)
            return check_length(path)
        except OSError as error:
            problem = error
    assert problem is not None
    raise problem


def check_length(path: str) -> str:
    """The path, or an OSError when no socket can have it."""
    if len(os.fsencode(path)) > _LONGEST:
        raise OSError(f"the path is longer than the {_LONGEST} bytes that a unix socket may have")
    return path


def candidates() -> dict[int, str]:
    """The sockets in these directories by the process they are named after; they may be stale."""
    found: dict[int, str] = {}
    for directory in directories():
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        for name in names:
            number, _, suffix = name.partition(".")
            if suffix == "sock" and number.isdigit():
                found.setdefault(int(number), os.path.join(directory, name))
    return found


def _make(directory: str) -> None:
    """A directory that only we can enter; /tmp is everybody's, so what is there already is looked at."""
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        pass
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise OSError(f"{directory} is not a directory of ours alone")
