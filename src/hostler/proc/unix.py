"""Unix sockets that are files: made, given to their user, and told from abandoned ones."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from typing import NamedTuple

from hostler.proc.places import SAFE, Ids, Place, find, is_guarded, refusal

__all__ = ["Peer", "Reached", "bind", "is_abandoned", "peer_of", "server_of"]

_REFUSED = frozenset((errno.ECONNREFUSED, errno.ENOENT))


class Peer(NamedTuple):
    """The process at the other end of a connected unix socket; of a server, the one that called listen()."""

    pid: int  # 0: it is in another pid namespace
    uid: int
    gid: int


def peer_of(sock: socket.socket) -> Peer | None:
    """The process at the other end (unix(7), SO_PEERCRED); None where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    return Peer._make(struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)))


def bind(sock: socket.socket, path: str, mode: int, owner: Ids | None = None) -> tuple[int, int]:
    """Bind to a file with these permissions, which `owner` gets; returns its device and inode.

    An abandoned socket in its place is removed. Raises OSError: EADDRINUSE when a living server has it, EEXIST when
    it is no socket. Does not listen: until then each connect is refused.
    """
    with find(path, owner, follow=False) as place:
        _clear(place)
        mask = os.umask(0o777 & ~mode)  # not chmod: no other user may connect in the moment between
        try:
            sock.bind(place.address)
        finally:
            os.umask(mask)
        try:
            return _settle(place, owner)
        except OSError:
            place.discard()
            raise


class Reached:
    """The address of a socket's file that a process may connect or send to: `with Reached(path) as address`.

    It is that very file, found by the rule of places.py. Raises OSError.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> str:
        if self._path.startswith("\0") or not is_guarded():
            return self._path
        with find(self._path) as place:
            if place.trust == SAFE:
                return self._path
            self._fd = place.pin()
        return f"/proc/self/fd/{self._fd}"

    def __exit__(self, *raised: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def server_of(address: str) -> Peer | None:
    """The process that listens on this socket; None: it cannot be reached now, or the system does not tell."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        return peer_of(probe) if probe.connect_ex(address) == 0 else None


def is_abandoned(address: str) -> bool:
    """Whether no process listens on this socket any more; only a refusal says so.

    EAGAIN, for example, says that a server lives, and that its backlog is full.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        return probe.connect_ex(address) in _REFUSED


def _clear(place: Place) -> None:
    found = place.stat()
    if found is None:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    if not is_abandoned(place.address):
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    place.unlink()


def _settle(place: Place, owner: Ids | None) -> tuple[int, int]:
    """Give the file that bind() has made to its owner: exactly that file, whatever has its name by now."""
    fd = place.pin()
    try:
        found = os.fstat(fd)
        if place.trust != SAFE and not (stat.S_ISSOCK(found.st_mode) and found.st_uid == os.geteuid()):
            raise refusal("another file has taken the socket's place", place.changed_by)
        if owner is not None:
            if is_guarded():
                os.chown(f"/proc/self/fd/{fd}", owner.uid, owner.gid)
            else:
                os.chown(place.name, owner.uid, owner.gid, dir_fd=place.directory, follow_symlinks=False)
    finally:
        os.close(fd)
    return found.st_dev, found.st_ino
