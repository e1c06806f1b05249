"""Where control sockets are: one for each server, named after its process.

Linux has names for unix sockets that are no files: nothing that a cleaner could delete, that a read-only container
could refuse, or that a killed server could leave behind. `hostler/<user id>/<process id>` is one of these. Any user can
take such a name, though: a server whose name is taken uses a file in a directory of its own, as servers do on other
systems, and a client looks at the kernel's word for the process that it reaches (client.py).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import NamedTuple

from hostler.proc import owners, trusted

__all__ = ["HAS_ABSTRACT", "Candidate", "candidates", "chosen_name", "directories", "own_name", "own_path", "shown"]

_LONGEST = 107  # bytes of sun_path, without its NUL
_PREFIX = "hostler/"
HAS_ABSTRACT = sys.platform == "linux"


class Candidate(NamedTuple):
    """A name that says which process and user have it; it may be stale, or another process' by now."""

    pid: int
    uid: int
    name: str


def own_name(pid: int) -> str:
    """The abstract name for this process, with a NUL in front."""
    return f"\0{_PREFIX}{os.geteuid()}/{pid}"


def own_path(pid: int) -> str:
    """The file for this process, in a directory that is made where it is missing; OSError when none can be used."""
    problem = OSError()
    for directory in directories(os.geteuid()):
        try:
            trusted.own_directory(directory)
            return chosen_name(os.path.join(directory, f"{pid}.sock"))
        except OSError as error:
            problem = error
    raise problem


def chosen_name(option: str) -> str:
    """The name that a user has chosen: @NAME is abstract, anything else a path."""
    name = f"\0{option[1:]}" if option.startswith("@") else os.path.abspath(option)
    if len(os.fsencode(name)) > _LONGEST:
        raise OSError(f"the path is longer than the {_LONGEST} bytes that a unix socket may have")
    return name


def shown(name: str) -> str:
    """For people: @NAME, or the path."""
    return f"@{name[1:]}" if name.startswith("\0") else name


def candidates(pid: int | None = None) -> list[Candidate]:
    """The names of servers that may be asked: our user's, everybody's for root; `pid`: of this process alone.

    What does not fit is left out: a name with another user than its process has, a directory that its user shares.
    """
    uids = {os.geteuid()}
    if pid is not None and os.geteuid() == 0:
        uids.add(owners.user_of(pid) or 0)
    found = [*_abstract(), *(each for uid in sorted(uids) for each in _files(uid))]
    return [each for each in found if pid is None or each.pid == pid]


def directories(uid: int) -> list[str]:
    """Where the sockets of a user are that are files, the best place first."""
    found = []
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and uid == os.geteuid():
        found.append(os.path.join(runtime, "hostler"))
    if uid == 0:
        found.append("/run/hostler")
    found += [f"/run/user/{uid}/hostler", f"/tmp/hostler-{uid}"]
    return list(dict.fromkeys(found))


def _abstract() -> Iterator[Candidate]:
    """The abstract names, as the kernel lists them (proc_net_unix(5))."""
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as file:
            rows = [line.split() for line in file]
    except OSError:
        return
    for row in rows:
        prefix, _, rest = (row[7] if len(row) > 7 else "").partition(f"@{_PREFIX}")
        uid, _, pid = rest.partition("/")
        if prefix or not (_is_number(uid) and _is_number(pid)) or os.geteuid() not in (0, int(uid)):
            continue
        if owners.user_of(int(pid)) == int(uid):
            yield Candidate(int(pid), int(uid), f"\0{_PREFIX}{uid}/{pid}")


def _files(uid: int) -> Iterator[Candidate]:
    """The sockets in a user's directories, by the process they are named after."""
    for directory in directories(uid):
        try:
            if not trusted.is_ours_alone(os.lstat(directory), uid):
                continue
            names = os.listdir(directory)
        except OSError:
            continue
        for name in names:
            number, _, suffix = name.partition(".")
            if suffix == "sock" and _is_number(number):
                yield Candidate(int(number), uid, os.path.join(directory, name))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 11
