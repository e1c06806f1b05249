"""Where we listen: the sockets of the configured addresses, or those that systemd passes."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from ostler.config.address import Address, DescriptorAddress, TcpAddress, UnixAddress
from ostler.errors import BindError
from ostler.logs import Logs
from ostler.proc import sockets
from ostler.proc.sockets import AddressTaken, Listener

__all__ = ["open_listeners"]

# The workers of an arbiter that was killed hold its port until they have seen it: a second at most.
_PATIENCE = 1.2
_PAUSE = 0.05


def open_listeners(
    addresses: Sequence[Address], *, backlog: int, unix_mode: int, logs: Logs, admin: Sequence[Address] = ()
) -> list[Listener]:
    """Listen on all addresses, or raise BindError and listen on none; `admin`: those for probes."""
    passed = sockets.passed_by_systemd(os.environ)
    if passed:
        logs.info(f"systemd passes {len(passed)} socket(s): they are used in place of bind")
        addresses = [DescriptorAddress(fd) for fd in passed]
    listeners: list[Listener] = []
    try:
        for address in addresses:
            listeners += _open_patiently(address, addresses, backlog, unix_mode)
        for address in admin:
            opened = _open_patiently(address, admin, backlog, unix_mode)
            listeners += (listener._replace(is_admin=True) for listener in opened)
    except BindError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _open_patiently(address: Address, addresses: Sequence[Address], backlog: int, mode: int) -> list[Listener]:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return _open(address, addresses, backlog, mode)
        except AddressTaken:
            if time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE)


def _open(address: Address, addresses: Sequence[Address], backlog: int, mode: int) -> list[Listener]:
    match address:
        case TcpAddress(host, port):
            return sockets.open_tcp(host, port, backlog, v6only=_is_v6only(address, addresses))
        case UnixAddress(path):
            return [sockets.open_unix(path, mode, backlog)]
        case DescriptorAddress(fd):
            return [sockets.adopt(fd, backlog)]


def _is_v6only(address: TcpAddress, addresses: Sequence[Address]) -> bool:
    """`[::]` alone takes IPv4 too, whatever the system's default; beside `0.0.0.0` it must not."""
    return address.host != "::" or TcpAddress("0.0.0.0", address.port) in addresses
