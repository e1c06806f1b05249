"""Closing a TCP listener's door while those inside are still served.

A listener that closes resets every connection that the kernel has accepted for it, and one that stays open
goes on accepting. In between lies a socket filter that drops the first packet (SYN) of new connections: their
clients try again a second later, and find the next server or a closed port. Handshakes that have begun
complete, and the queue stays where it is, to be accepted until it is empty.
"""

from __future__ import annotations

import socket
import struct
import sys
from array import array

__all__ = ["refuse_newcomers"]

# asm-generic/socket.h; alpha, mips, parisc and sparc differ and are not served.
_SO_ATTACH_FILTER: int | None = 26 if sys.platform == "linux" else None

# struct sock_filter { u16 code; u8 jt; u8 jf; u32 k; }: classic BPF over the packet from its TCP header on.
_SYN_WITHOUT_ACK = (
    (0x30, 0, 0, 13),  # A = the byte with the flags
    (0x54, 0, 0, 0x12),  # A &= SYN | ACK
    (0x15, 0, 1, 0x02),  # if A == SYN: next, else skip one
    (0x06, 0, 0, 0),  # drop the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # take it whole
)


def refuse_newcomers(listener: socket.socket) -> bool:
    """Let no new TCP connection begin on `listener`; False where the system has no such thing."""
    if _SO_ATTACH_FILTER is None or listener.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    program = array("B", b"".join(struct.pack("=HBBI", *step) for step in _SYN_WITHOUT_ACK))
    address, _ = program.buffer_info()
    try:
        # struct sock_fprog { unsigned short len; struct sock_filter *filter; }
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(_SYN_WITHOUT_ACK), address))
    except OSError:  # no BPF here (a sandbox): then as without it
        return False
    return True
