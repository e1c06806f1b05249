"""The line between the arbiter and a worker: short messages one way, and the news of the other end's death.

The other end may run code that is not trusted, so one call of `receive` takes a bounded number of messages of a bounded
length, and nothing is kept between two calls but the beginning of one message.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Sequence

from hostler.proc.signals import ORPHANED

__all__ = ["Channel"]

_END = b"\0"
_CHUNK = 65536
# A packet of this size is under every default of net.core.wmem_max, so one send takes it whole.
_MESSAGE_MAX = 60_000
# Max descriptors that come with one message (SCM_MAX_FD of Linux).
_FDS_MOST = 253
_FD = struct.Struct("i")
# Max messages that one `receive` returns.
_AT_ONCE = 32
# macOS has no packets on unix sockets; the NUL that ends a message makes up for it.
_HAS_PACKETS = sys.platform == "linux"
_KIND = socket.SOCK_SEQPACKET if _HAS_PACKETS else socket.SOCK_STREAM
# As they are before gevent has its own in their place: sockets that know no MSG_DONTWAIT, a poll that runs its hub.
_Socket, _poll = socket.socket, select.poll


class Channel:
    """One end. `is_open` turns False when the other end is closed everywhere: its process has ended."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = b""  # without packets: the beginning of a message whose end has not come yet
        self.is_open = True

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Two connected ends, closed on exec."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, _KIND)
        ours.setblocking(False)
        return cls(ours), cls(theirs)

    @classmethod
    def of(cls, fd: int) -> Channel:
        """The end that is open as `fd`."""
        return cls(_Socket(fileno=fd))

    def fileno(self) -> int:
        """Readable when there is a message, and when the other end is gone."""
        return self._sock.fileno()

    def send(self, message: str) -> bool:
        """Send one message, cut when it is very long; False when nobody is there."""
        data = message.encode("utf-8", "replace").replace(_END, b"?")
        if len(data) > _MESSAGE_MAX:
            half = _MESSAGE_MAX // 2
            data = data[:half] + b"\n[...]\n" + data[-half:]
        try:
            self._sock.sendall(data + _END)
        except OSError:  # EPIPE, ECONNRESET: the arbiter is gone
            self.is_open = False
        return self.is_open

    def receive(self, most: int = _AT_ONCE) -> list[str]:
        """At most so many of the messages that have come, without waiting; notices the end of the other side."""
        messages: list[bytes] = []
        while self.is_open and len(messages) < most:
            try:
                chunk = self._sock.recv(_CHUNK, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError:
                chunk = b""
            if not chunk:
                self.is_open = False
            elif _HAS_PACKETS:
                messages.append(chunk.partition(_END)[0])
            else:
                messages += self._split(chunk)[: most - len(messages)]
        return [message.decode("utf-8", "replace") for message in messages]

    def _split(self, chunk: bytes) -> list[bytes]:
        """The messages that end in this piece of the stream. One that never ends is cut."""
        *messages, rest = (self._buffer + chunk).split(_END)
        if len(rest) > _MESSAGE_MAX:
            messages, rest = [*messages, rest[:_MESSAGE_MAX]], b""
        self._buffer = rest
        return messages

    def send_with(self, message: str, fds: Sequence[int]) -> None:
        """Send one short message with descriptors (SCM_RIGHTS); OSError when it cannot be sent."""
        socket.send_fds(self._sock, [message.encode() + _END], list(fds))

    def wait_with(self) -> tuple[str, list[int]]:
        """Wait for one message and the descriptors that come with it; "" when the other end is gone."""
        room = socket.CMSG_SPACE(_FDS_MOST * _FD.size)
        flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)  # socket.recv_fds() forgets its flags
        data, control, _, _ = self._sock.recvmsg(_CHUNK, room, flags)
        fds = [fd for _, kind, piece in control if kind == socket.SCM_RIGHTS for (fd,) in _FD.iter_unpack(piece)]
        return data.rstrip(_END).decode("utf-8", "replace"), fds

    def die_with_peer(self, wanted: bool) -> None:
        """Have the kernel end this process when the other end closes, or has closed, for times when nothing polls.

        The descriptor sends ORPHANED, whose default action is the end, with every message too: none may come on this
        channel, until `native.kill_when_closed` handles the signal. It is what PR_SET_PDEATHSIG does, but a change of
        the user does not end it, and it tells the arbiter from a parent that is only on the way to it.
        """
        flags = fcntl.fcntl(self._sock, fcntl.F_GETFL)
        if not wanted:
            fcntl.fcntl(self._sock, fcntl.F_SETFL, flags & ~fcntl.FASYNC)
            return
        signal.signal(ORPHANED, signal.SIG_DFL)
        fcntl.fcntl(self._sock, fcntl.F_SETOWN, os.getpid())
        if hasattr(fcntl, "F_SETSIG"):
            fcntl.fcntl(self._sock, fcntl.F_SETSIG, ORPHANED)
        fcntl.fcntl(self._sock, fcntl.F_SETFL, flags | fcntl.FASYNC)
        poll = _poll()
        poll.register(self._sock, 0)
        if poll.poll(0):  # it closed before we asked
            os.kill(os.getpid(), ORPHANED)

    def close(self) -> None:
        """Close this end."""
        self.is_open = False
        self._sock.close()
