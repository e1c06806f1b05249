"""Where the last name of a path is, found so that root follows no name that others can change.

A log directory often belongs to the workers' user, and /tmp to everybody. So the name that an operator has given may be
another file's by the time root uses it: a link to /etc/shadow, a FIFO that blocks the open. The rule here is that of
the kernel's protected_symlinks, protected_regular and protected_fifos (sysctl/fs.rst), made stricter, since those only
look at sticky directories. The directories of a path are opened one by one from the root, without following links
(openat(2)), and each is one of these:

safe     Only root can change it, and all directories above it. Its names are the operator's: links are followed, and
         whatever is there is used.
shared   Root's, but others may make files in it: everybody in one with the sticky bit (/tmp), or its group. A link or
         a FIFO there is used only when it is root's own and has no second name (a hard link may be anybody's). A
         regular file with one name is used when it is root's or the workers' user's.
foreign  It belongs to another user, or its group is the workers' own, or everybody can change it; or this is true of a
         directory above it. As shared, but no link is followed, except for those to the standard streams and /dev/null
         (containers have them). A regular file may also be the directory's owner's.

Other users than root have no more rights than the directory gives them: for them, the kernel's rules do.
"""

from __future__ import annotations

import errno
import os
import stat
from types import TracebackType
from typing import NamedTuple

__all__ = ["FOREIGN", "SAFE", "SHARED", "Ids", "Place", "find", "is_guarded", "refusal"]

SAFE, SHARED, FOREIGN = range(3)


class Ids(NamedTuple):
    """The user and the group that the workers run as, and the other groups that they have."""

    uid: int
    gid: int
    groups: frozenset[int] = frozenset()


_ROOT = 0
# The descriptor of a path alone needs no right to read, and opens no device.
_PATH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC
# Never wait for a reader of a FIFO, never take a terminal as our own.
_AT_ONCE = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MOST_LINKS = 40  # as the kernel (path_resolution(7))
# Where a link may lead from anywhere: what is behind these names is ours, whatever made the link.
_STREAMS = frozenset(
    f"{folder}/{name}"
    for folder, names in (
        ("/dev", ("stdout", "stderr", "null", "fd/1", "fd/2")),
        ("/proc/self/fd", ("1", "2")),
        ("/proc/1/fd", ("1", "2")),
    )
    for name in names
)
# The links in these are the kernel's own; only it can follow them.
_KERNEL = ("/proc/", "/dev/fd/", "/dev/stdin", "/dev/stdout", "/dev/stderr")


class _Step:
    """A directory on the way, open."""

    def __init__(self, fd: int, path: str, workers: Ids | None, above: _Step | None = None) -> None:
        found = os.fstat(fd)
        self.fd = fd
        self.path = path
        self.owner = found.st_uid
        self.trust, others = _trust(found, workers)
        self.changed_by = f"{path or '/'}, which {others} can change" if others else ""
        if above is not None and above.trust == FOREIGN:
            self.trust, self.changed_by = FOREIGN, above.changed_by


class Place:
    """The last name of a path, and its directory, which is open: the name cannot move to another directory any more."""

    def __init__(self, directory: int, name: str, path: str, trust: int = SAFE, follow: int = 0) -> None:
        self.directory = directory
        self.name = name
        self.path = path
        self.trust = trust
        self.owner = _ROOT  # of the directory
        self.changed_by = ""  # which directory others can change, and which others; empty: it is safe
        self.is_linked = False  # the name was found through a link
        self._follow = follow  # O_NOFOLLOW, or 0 where the kernel may follow

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.directory)

    @property
    def address(self) -> str:
        """For calls that take no descriptor of a directory (bind, connect): leads to this directory, by /proc."""
        return self.path if self.trust == SAFE else f"/proc/self/fd/{self.directory}/{self.name}"

    def open(self, flags: int, mode: int = 0o666) -> int:
        """Open the file without waiting for anything; OSError."""
        return os.open(self.name, flags | self._follow | _AT_ONCE, mode, dir_fd=self.directory)

    def pin(self) -> int:
        """A descriptor of whatever has the name, a link too, that allows nothing but to look at it."""
        return os.open(self.name, _PATH | os.O_NOFOLLOW, dir_fd=self.directory)

    def stat(self) -> os.stat_result | None:
        """What has the name, a link not followed; None: nothing."""
        try:
            return os.stat(self.name, dir_fd=self.directory, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def unlink(self) -> None:
        """Remove the name; OSError."""
        os.unlink(self.name, dir_fd=self.directory)

    def discard(self, name: str = "") -> None:
        """Remove the name, or another one in the directory, where that can be done."""
        try:
            os.unlink(name or self.name, dir_fd=self.directory)
        except OSError:
            pass

    def check(self, found: os.stat_result, workers: Ids | None = None) -> None:
        """Refuse an open file that others may have put there: OSError that says why."""
        if self.trust == SAFE:
            return
        users = {_ROOT, *(workers[:1] if workers else ()), *([self.owner] if self.trust == FOREIGN else [])}
        kind = "a FIFO" if stat.S_ISFIFO(found.st_mode) else "no regular file"
        if found.st_nlink != 1:
            problem = f"it has {found.st_nlink} names"
        elif stat.S_ISREG(found.st_mode):
            problem = "" if found.st_uid in users else f"it belongs to user {found.st_uid}"
        elif stat.S_ISFIFO(found.st_mode) and found.st_uid == _ROOT:
            problem = ""
        else:
            problem = f"it is {kind} of user {found.st_uid}"
        if problem:
            raise refusal(problem, self.changed_by)


def find(path: str, workers: Ids | None = None, follow: bool = True) -> Place:
    """Find the last name of `path` by the rule above, and open its directory; `follow`: through links at its end.

    The file need not exist. Raises OSError, also for a link that must not be followed: its `strerror` says why.
    """
    if not is_guarded():
        directory = os.open(os.path.dirname(path) or ".", _PATH | os.O_DIRECTORY)
        return Place(directory, os.path.basename(path), path, follow=0 if follow else os.O_NOFOLLOW)
    absolute = os.path.join(os.getcwd(), path)
    if absolute.startswith(_KERNEL) or absolute in _STREAMS:
        return _kernel_place(absolute)
    walk = _Walk(workers)
    try:
        place = walk.to(absolute, follow)
    finally:
        walk.close()
    if place.trust == SAFE:
        place.path = path  # what the kernel then shows of a socket is the name that was configured
    return place


class _Walk:
    """From the root of the file system along a path."""

    def __init__(self, workers: Ids | None) -> None:
        self._workers = workers
        self._links = 0
        self._is_linked = False  # through a link at the path's end
        self._steps = [_Step(os.open("/", _PATH | os.O_DIRECTORY), "", workers)]
        self._names: list[str] = []  # that are to come, the next one last

    def to(self, path: str, follow: bool) -> Place:
        """The place of the path's last name."""
        self._add(path)
        while self._names:
            name = self._names.pop()
            if name == "..":
                if len(self._steps) > 1:
                    os.close(self._steps.pop().fd)
            elif not self._names and not follow:
                return self._place(name)
            else:
                place = self._go(name)
                if place is not None:
                    return place
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))

    def close(self) -> None:
        """Close the directories that are left."""
        for step in self._steps:
            os.close(step.fd)

    def _go(self, name: str) -> Place | None:
        """Go into a directory or along a link; returns the end of the way, when this is it."""
        is_last = not self._names
        try:
            fd = os.open(name, _PATH | os.O_NOFOLLOW, dir_fd=self._steps[-1].fd)
        except FileNotFoundError:
            if is_last:
                return self._place(name)
            raise
        found = os.fstat(fd)
        if stat.S_ISDIR(found.st_mode) and not is_last:
            above = self._steps[-1]
            self._steps.append(_Step(fd, f"{above.path}/{name}", self._workers, above))
            return None
        try:
            if not stat.S_ISLNK(found.st_mode):
                if is_last:
                    return self._place(name)
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            self._is_linked = self._is_linked or is_last
            text = self._link(fd, found, name)
        finally:
            os.close(fd)
        if text.startswith(_KERNEL) or text in _STREAMS:
            return _kernel_place("/".join([text, *reversed(self._names)]))
        self._add(text)
        return None

    def _add(self, path: str) -> None:
        """Go on by `path`, before the names that are to come."""
        if path.startswith("/"):
            while len(self._steps) > 1:
                os.close(self._steps.pop().fd)
        self._names += reversed([name for name in path.split("/") if name not in ("", ".")])

    def _link(self, fd: int, found: os.stat_result, name: str) -> str:
        """The link's text, which is the way from here, if it may be followed."""
        step = self._steps[-1]
        text = os.readlink("", dir_fd=fd)
        is_single_of_root = found.st_uid == _ROOT and found.st_nlink == 1
        is_stream = text in _STREAMS and not self._names
        if not (step.trust == SAFE or is_stream or (step.trust == SHARED and is_single_of_root)):
            raise refusal(f"root does not follow the link {step.path}/{name}", step.changed_by)
        self._links += 1
        if self._links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return text

    def _place(self, name: str) -> Place:
        step = self._steps.pop()
        place = Place(step.fd, name, f"{step.path}/{name}", step.trust, os.O_NOFOLLOW)
        place.owner, place.changed_by, place.is_linked = step.owner, step.changed_by, self._is_linked
        return place


def _trust(found: os.stat_result, workers: Ids | None) -> tuple[int, str]:
    """What a directory is by itself, and which others can change it."""
    is_sticky = bool(found.st_mode & stat.S_ISVTX)
    if found.st_uid != _ROOT:
        return FOREIGN, f"user {found.st_uid}"
    if found.st_mode & 0o002:
        return SHARED if is_sticky else FOREIGN, "everybody"
    if found.st_mode & 0o020:
        is_workers = workers is not None and found.st_gid in (workers.gid, *workers.groups)
        return FOREIGN if is_workers and not is_sticky else SHARED, f"group {found.st_gid}"
    return SAFE, ""


def _kernel_place(path: str) -> Place:
    place = Place(os.open("/", _PATH | os.O_DIRECTORY), path.removeprefix("/"), path)
    place.is_linked = True
    return place


def is_guarded() -> bool:
    """Whether others have fewer rights than we: what follows needs openat(2) with O_PATH."""
    return os.geteuid() == _ROOT and hasattr(os, "O_PATH")


def refusal(problem: str, changed_by: str = "") -> OSError:
    """The error for what root must not use; `changed_by`: the directory that others can change."""
    return OSError(errno.EPERM, f"{problem}, in {changed_by}" if changed_by else problem)
