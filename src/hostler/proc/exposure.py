"""Which part of a path another user can change: for warnings. What root then does with the path, places.py decides."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from hostler.proc.places import Ids

__all__ = ["changeable", "way"]


def changeable(path: str, user: Ids, is_read: bool = False) -> str | None:
    """The directory on the way to `path` that this user can change; None: there is none.

    `is_read`: the file itself counts too. Without it the user may have the file, as a log.
    """
    for form in _forms(path):
        for place, below in way(form):
            if (below or is_read) and _can_change(place, below, user):
                return place
    return None


def _forms(path: str) -> Iterator[str]:
    """As it is named, and where its links lead; the first alone if these are exchanged while they are followed."""
    whole = os.path.abspath(path)
    yield whole
    try:
        found = os.path.realpath(path)
    except OSError:
        return
    if found != whole:
        yield found


def way(path: str) -> Iterator[tuple[str, str]]:
    """The directories from the root on, each with what is below it on the way; at last the path, with nothing."""
    names = [name for name in path.split("/") if name]
    for depth in range(len(names) + 1):
        place = "/" + "/".join(names[:depth])
        yield place, os.path.join(place, names[depth]) if depth < len(names) else ""


def _can_change(place: str, below: str, user: Ids) -> bool:
    try:
        found = os.stat(place)
        if os.statvfs(place).f_flag & os.ST_RDONLY:  # as Kubernetes mounts a ConfigMap, with mode 0777
            return False
    except OSError:
        return False
    is_members = found.st_gid in (user.gid, *user.groups)
    if found.st_uid == user.uid:
        return True  # the owner may also change the mode
    if not (found.st_mode & 0o002 or (found.st_mode & 0o020 and is_members)):
        return False
    if not below or not found.st_mode & stat.S_ISVTX:
        return True
    try:
        return os.lstat(below).st_uid == user.uid  # the sticky bit: others' files stay where they are
    except OSError:
        return True  # it is not there yet: the user may make it
