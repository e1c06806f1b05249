"""Packet sockets through which workers hand connections to each other: a pair for each of the first slots.

All workers inherit both ends of all of them, so a packet outlives the worker that it was meant for. What is in one is
the native core's own business (rust/native/src/core/handover.rs): a descriptor, and the bytes that were read from it.
"""

from __future__ import annotations

import os
import resource
import select
import socket
import struct
import sys
from collections.abc import Sequence

__all__ = ["Inboxes"]

# More than the longest packet.
_PACKET = 128 * 1024
# Max packets that are moved from one inbox at a time: more than the kernel keeps in one (net.core.wmem_default).
_AT_ONCE = 1024
# Of the descriptors that a process may have, the pairs take at most two in so many.
_SHARE = 16
_ONE = struct.Struct("i")  # a descriptor
# Descriptors in a packet at most: a connection, and two files with what was read of it.
_MOST = 3


class Inboxes:
    """The pairs, made before the first fork and closed on exec."""

    def __init__(self, count: int) -> None:
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        if sys.platform != "linux":  # packets on unix sockets are Linux's
            return
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit != resource.RLIM_INFINITY:
            count = min(count, limit // _SHARE)
        try:
            for _ in range(count):
                self._pairs.append(socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        except OSError:  # no descriptors for more: the workers behind take no connections from others
            pass

    @property
    def descriptors(self) -> list[tuple[int, int]]:
        """By slot: where its worker takes connections, and where others put them in."""
        return [(take.fileno(), give.fileno()) for take, give in self._pairs]

    def waiting(self) -> set[int]:
        """The slots for which there is a packet."""
        poll = select.poll()
        slots = {take.fileno(): slot for slot, (take, _) in enumerate(self._pairs)}
        for fd in slots:
            poll.register(fd, select.POLLIN)
        return {slots[fd] for fd, _ in poll.poll(0)}

    def forward(self, slot: int, heirs: Sequence[int]) -> int:
        """Move what the worker of a slot has left to those of others, in turn; returns how many packets were moved.

        Siblings may send on meanwhile, so the number is bounded.
        """
        if slot >= len(self._pairs):
            return 0
        able = [heir for heir in heirs if heir < len(self._pairs)]
        moved = 0
        for _ in range(_AT_ONCE):
            packet = self._take(slot) if able else None
            if packet is None:
                break
            data, sockets = packet
            heir = able[moved % len(able)]
            try:
                if data and sockets:  # else it is no connection
                    _send(self._pairs[heir][1], data, sockets)
                    moved += 1
            except OSError:  # it has no room: a worker that takes nothing
                able.remove(heir)
                self._put_back(slot, data, sockets)
            finally:
                for fd in sockets:
                    os.close(fd)
        return moved

    def close(self) -> int:
        """Close all of them; returns how many packets were left, whose connections end with them."""
        left = 0
        for slot in range(len(self._pairs)):
            for _ in range(_AT_ONCE):
                packet = self._take(slot)
                if packet is None:
                    break
                left += 1
                for fd in packet[1]:
                    os.close(fd)
        self.let_go()
        return left

    def let_go(self) -> None:
        """Close the descriptors of this process, which has no business with them."""
        for pair in self._pairs:
            for end in pair:
                end.close()
        self._pairs.clear()

    def leave_to_the_end(self) -> None:
        """Have the end of this process close the descriptors: only then does the kernel wait for no socket."""
        for pair in self._pairs:
            for end in pair:
                end.detach()
        self._pairs.clear()

    def _take(self, slot: int) -> tuple[bytes, list[int]] | None:
        room = socket.CMSG_LEN(_MOST * _ONE.size)  # exactly so many: further ones would stay open here
        flags = socket.MSG_DONTWAIT | getattr(socket, "MSG_CMSG_CLOEXEC", 0)
        try:  # socket.recv_fds() forgets its flags
            data, control, _, _ = self._pairs[slot][0].recvmsg(_PACKET, room, flags)
        except OSError:  # nothing is there
            return None
        rights = [piece for _, kind, piece in control if kind == socket.SCM_RIGHTS]
        sockets = [fd for piece in rights for (fd,) in _ONE.iter_unpack(piece[: len(piece) // _ONE.size * _ONE.size])]
        return data, sockets

    def _put_back(self, slot: int, data: bytes, sockets: list[int]) -> None:
        try:
            _send(self._pairs[slot][1], data, sockets)
        except OSError:
            pass  # it was there a moment ago, so there is room


def _send(sock: socket.socket, data: bytes, sockets: Sequence[int]) -> None:
    rights = b"".join(_ONE.pack(fd) for fd in sockets)
    control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if sockets else []
    sock.sendmsg([data], control, socket.MSG_DONTWAIT)
