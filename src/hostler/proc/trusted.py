"""Files that root opens, makes and removes by names that an operator has given: places.py has the rule.

A file is given to another user only if this process has made it (O_EXCL), or if it is root's own and still empty, as
logrotate makes it. No open here waits for another process, except where it says so.
"""

from __future__ import annotations

import errno
import os
import stat

from hostler.proc.places import FOREIGN, SAFE, Ids, Place, find, is_guarded, refusal

__all__ = ["identify", "is_ours_alone", "open_log", "opener", "own_directory", "read", "remove", "replace"]

_AT_ONCE = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# How often to try again when a file appears or goes in between: logrotate does that once.
_TRIES = 8


def open_log(path: str, workers: Ids | None = None, flags: int = os.O_WRONLY) -> int:
    """Open a file to append to, made when it is not there; a file that we have made belongs to `workers` then.

    Of `flags`, the access and O_TRUNC count. Never waits: a FIFO that no process reads is an OSError. The descriptor
    that is returned waits, like any other.
    """
    flags, truncates = flags & os.O_ACCMODE | os.O_APPEND, flags & os.O_TRUNC
    if not is_guarded():
        return _waiting(os.open(path, flags | truncates | os.O_CREAT | _AT_ONCE, 0o644))
    with find(path, workers) as place:
        fd, is_new = _open_or_make(place, flags)
        try:
            found = os.fstat(fd)
            place.check(found, workers)
            if truncates and stat.S_ISREG(found.st_mode):
                os.ftruncate(fd, 0)
            if workers is not None and (is_new or _is_fresh(found, place)):
                _give(fd, workers)
        except OSError:
            os.close(fd)
            raise
    return _waiting(fd)


def opener(path: str, flags: int) -> int:
    """For open(): a file to read. Where others may have put a FIFO or a device there, root opens only a regular file.

    Links are followed: what can change a configuration's name can change the configuration.
    """
    if not is_guarded():
        return os.open(path, flags | os.O_CLOEXEC)
    fd = os.open(path, flags | _AT_ONCE)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    with find(path) as place:
        if place.trust != SAFE:
            raise refusal("it is no regular file", place.changed_by)
    return os.open(path, flags | os.O_CLOEXEC)  # the operator's own pipe, for which we wait


def replace(path: str, text: str, mode: int = 0o644) -> None:
    """Have a file with this text, whole or not at all; what was there before, a link too, is gone then. OSError."""
    with find(path, follow=False) as place:
        draft = f".{place.name}.{os.urandom(8).hex()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(draft, flags, mode, dir_fd=place.directory)
        try:
            try:
                os.write(fd, text.encode())
            finally:
                os.close(fd)
            os.replace(draft, place.name, src_dir_fd=place.directory, dst_dir_fd=place.directory)
        except OSError:
            place.discard(draft)
            raise


def read(path: str, most: int) -> tuple[str, os.stat_result]:
    """The first `most` bytes of a file that root trusts, as text, and what is known of it; OSError."""
    with find(path) as place:
        fd = place.open(os.O_RDONLY)
        try:
            found = os.fstat(fd)
            place.check(found)
            if place.trust != SAFE and found.st_uid != os.geteuid():
                raise refusal(f"it belongs to user {found.st_uid}", place.changed_by)
            return os.read(fd, most).decode("utf-8", "replace"), found
        finally:
            os.close(fd)


def identify(path: str) -> tuple[int, int] | None:
    """Device and inode of what has this name, a link not followed; None: nothing that we may use."""
    try:
        with find(path, follow=False) as place:
            found = place.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found is not None else None


def remove(path: str, inode: tuple[int, int]) -> None:
    """Remove a file of ours, unless another one has its name by now, or it is gone."""
    try:
        with find(path, follow=False) as place:
            found = place.stat()
            if found is not None and (found.st_dev, found.st_ino) == inode:
                place.unlink()
    except OSError:
        pass


def own_directory(path: str) -> None:
    """Have a directory that this user alone can change, with mode 0700 when it is made; OSError when it cannot be."""
    with find(path, follow=False) as place:
        if place.trust == FOREIGN:
            raise refusal(f"{path} cannot be ours alone", place.changed_by)
        try:
            os.mkdir(place.name, 0o700, dir_fd=place.directory)
        except FileExistsError:
            pass
        found = place.stat()
        if found is None or not is_ours_alone(found, os.geteuid()):
            raise OSError(errno.EPERM, f"{path} is not a directory that this user alone can change")


def is_ours_alone(found: os.stat_result, uid: int) -> bool:
    """Whether this is a directory, by lstat(2), that only user `uid` can change."""
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not found.st_mode & 0o022


def _open_or_make(place: Place, flags: int) -> tuple[int, bool]:
    """The file's descriptor, and whether we have made it. It may be moved away or made at any moment."""
    for _ in range(_TRIES):
        try:
            return place.open(flags), False
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno == errno.ENXIO:
                raise OSError(errno.ENXIO, "it is a FIFO that no process reads, or a socket") from None
            raise
        try:
            return place.open(flags | os.O_CREAT | os.O_EXCL, 0o644), True
        except FileExistsError:
            pass
    raise OSError(errno.EBUSY, "other processes make and remove it all the time")


def _is_fresh(found: os.stat_result, place: Place) -> bool:
    """Whether root has just made the file, as logrotate does: nothing of it is lost or shown when it is given away."""
    is_single = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
    return is_single and found.st_size == 0 and found.st_uid == os.geteuid() and not place.is_linked


def _give(fd: int, owner: Ids) -> None:
    try:
        os.fchown(fd, owner.uid, owner.gid)
    except OSError:  # a file system without owners
        pass


def _waiting(fd: int) -> int:
    os.set_blocking(fd, True)
    return fd
