"""Where control sockets are: one for each server, named after its process.

Linux has names for unix sockets that are no files: nothing that a cleaner could delete, that a read-only container
could refuse, or that a killed server could leave behind. `hostler/<user id>/<process id>` is one of these; elsewhere it
is a file.
"""

from __future__ import annotations

import os
import stat
import sys

__all__ = ["abstract_names", "candidates", "directories", "own_name", "shown"]

_LONGEST = 107  # bytes of sun_path, without its NUL
_PREFIX = "hostler/"
HAS_ABSTRACT = sys.platform == "linux"


def own_name(pid: int) -> str:
    """The socket's name for this process: abstract (with a NUL in front), or a path whose directory is made.

    OSError when no directory can be used.
    """
    if HAS_ABSTRACT:
        return f"\0{_PREFIX}{os.geteuid()}/{pid}"
    return _own_path(pid)


def chosen_name(option: str) -> str:
    """The name that a user has chosen: @NAME is abstract, anything else a path."""
    name = f"\0{option[1:]}" if option.startswith("@") else os.path.abspath(option)
    if len(os.fsencode(name)) > _LONGEST:
        raise OSError(f"the path is longer than the {_LONGEST} bytes that a unix socket may have")
    return name


def shown(name: str) -> str:
    """For people: @NAME, or the path."""
    return f"@{name[1:]}" if name.startswith("\0") else name


def candidates() -> dict[int, str]:
    """The servers that may be asked, by process: our user's; everybody's for root. Files may be stale."""
    return {**_files(), **abstract_names()}


def abstract_names() -> dict[int, str]:
    """The abstract names of servers, by process (proc_net_unix(5))."""
    found: dict[int, str] = {}
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as file:
            rows = [line.split() for line in file]
    except OSError:
        return found
    for row in rows:
        prefix, _, rest = (row[7] if len(row) > 7 else "").partition(f"@{_PREFIX}")
        uid, _, pid = rest.partition("/")
        if not prefix and uid.isdigit() and pid.isdigit() and os.geteuid() in (0, int(uid)):
            found[int(pid)] = f"\0{_PREFIX}{uid}/{pid}"
    return found


def owner_of(name: str) -> int | None:
    """The user that an abstract name of ours says it is; None: it says nothing."""
    uid = name.removeprefix(f"\0{_PREFIX}").partition("/")[0]
    return int(uid) if name.startswith(f"\0{_PREFIX}") and uid.isdigit() else None


def directories() -> list[str]:
    """Where sockets are that are files, the best place first."""
    found = []
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isdir(runtime):
        found.append(os.path.join(runtime, "hostler"))
    if os.geteuid() == 0:
        found.append("/run/hostler")
    found.append(f"/tmp/hostler-{os.geteuid()}")
    return found


def _own_path(pid: int) -> str:
    problem: OSError | None = None
    for directory in directories():
        path = os.path.join(directory, f"{pid}.sock")
        try:
            _make(directory)
            return chosen_name(path)
        except OSError as error:
            problem = error
    assert problem is not None
    raise problem


def _files() -> dict[int, str]:
    """The sockets in these directories by the process they are named after."""
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
