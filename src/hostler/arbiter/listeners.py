"""Where we listen: the sockets of the configured addresses, or those that systemd passes, kept over reloads."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from hostler.config.address import Address, DescriptorAddress, TcpAddress, UnixAddress, parse_address
from hostler.errors import BindError
from hostler.logs import Logs
from hostler.proc import sockets
from hostler.proc.places import Ids
from hostler.proc.sockets import AddressTaken, Listener

__all__ = ["Listeners"]

# The workers of an arbiter that was killed hold its port until they have seen it: a second at most.
_PATIENCE = 1.2
_PAUSE = 0.05


# The address, whether it is for probes, and how often it stood there before (port 0).
_Key = tuple[Address, bool, int]


class Listeners:
    """The open sockets by the address that was asked for, and whether it is for probes."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._open: dict[_Key, list[Listener]] = {}
        self._passed: list[Address] | None = None  # by systemd; None: not asked yet

    def open(
        self,
        addresses: Sequence[Address],
        *,
        backlog: int,
        unix_mode: int,
        admin: Sequence[Address] = (),
        owner: Ids | None = None,
        reuse_port: bool = False,
    ) -> list[Listener]:
        """Listen on all of these; `admin`: those for probes; `owner`: of unix sockets. What is open already is kept.

        Raises BindError, and then listens where it did before. Port 0 stands for the port it was given first.
        """
        if self._passed is None:
            self._passed = [DescriptorAddress(fd) for fd in sockets.passed_by_systemd(os.environ)]
            if self._passed:
                self._logs.info("sockets of systemd are used in place of bind", sockets=len(self._passed))
        public = self._passed or addresses
        wanted: list[_Key] = []
        for address, is_admin in [*((each, False) for each in public), *((each, True) for each in admin)]:
            times = sum(key[:2] == (address, is_admin) for key in wanted)
            wanted.append((address, is_admin, times))
        fresh: dict[_Key, list[Listener]] = {}
        try:
            for key in wanted:
                if key not in self._open:
                    address, is_admin, _ = key
                    how = _How(admin if is_admin else public, backlog, unix_mode, owner, reuse_port)
                    opened = _open_patiently(address, how)
                    fresh[key] = [listener._replace(is_admin=is_admin) for listener in opened]
        except BindError:
            _close(fresh.values())
            raise
        self._open |= fresh
        return [listener for key in wanted for listener in self._open[key]]

    def passed_on(self) -> list[dict[str, Any]]:
        """What a successor must know of each open socket; plain data."""
        return [
            {
                "fd": listener.socket.fileno(),
                "address": str(address),
                "is_admin": is_admin,
                "times": times,
                "is_ours": listener.is_ours,
                "inode": listener.inode,
                "path": listener.path,
                "file": listener.file,
                "is_passed": address in (self._passed or ()),
            }
            for (address, is_admin, times), opened in self._open.items()
            for listener in opened
        ]

    def inherit(self, sockets: Iterable[Mapping[str, Any]]) -> None:
        """Take over what the server before us has open; raises OSError or KeyError for what is not that."""
        self._passed = []
        for each in sockets:
            address = parse_address(each["address"])
            inode = tuple(each["inode"]) if each["inode"] else None
            sock = socket.socket(fileno=each["fd"])
            opened = Listener(sock, each["is_ours"], inode, each["is_admin"], each["path"], each["file"])
            self._open.setdefault((address, each["is_admin"], each["times"]), []).append(opened)
            if each["is_passed"] and address not in self._passed:
                self._passed.append(address)

    def let_go(self) -> None:
        """Close the descriptors of this process and nothing else: another process listens on."""
        for opened in self._open.values():
            for listener in opened:
                listener.socket.close()
        self._open.clear()

    def keep(self, listeners: Sequence[Listener]) -> list[Listener]:
        """Close the others in this process, and let nobody new into them; returns them. Workers have their own."""
        kept = set(listeners)
        gone = [key for key, opened in self._open.items() if not kept.intersection(opened)]
        closed = [listener for key in gone for listener in self._open.pop(key)]
        for listener in closed:
            listener.refuse_newcomers()
            listener.close()
        return closed

    def leave(self, listeners: Sequence[Listener]) -> None:
        """In a worker: close those that are not its own, and nothing but the descriptors."""
        kept = set(listeners)
        for opened in self._open.values():
            for listener in opened:
                if listener not in kept:
                    listener.socket.close()

    def close(self) -> None:
        """Close all in this process."""
        _close(self._open.values())
        self._open.clear()


def _close(opened: Iterable[list[Listener]]) -> None:
    for listeners in opened:
        for listener in listeners:
            listener.close()


class _How(NamedTuple):
    """What is the same for all addresses that are opened together."""

    addresses: Sequence[Address]
    backlog: int
    unix_mode: int
    owner: Ids | None  # of unix sockets
    reuse_port: bool


def _open_patiently(address: Address, how: _How) -> list[Listener]:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return _open(address, how)
        except AddressTaken:
            if time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE)


def _open(address: Address, how: _How) -> list[Listener]:
    match address:
        case TcpAddress(host, port):
            v6only = _is_v6only(address, how.addresses)
            return sockets.open_tcp(host, port, how.backlog, v6only=v6only, reuse_port=how.reuse_port)
        case UnixAddress(path):
            return [sockets.open_unix(path, how.unix_mode, how.backlog, how.owner)]
        case DescriptorAddress(fd):
            return [sockets.adopt(fd, how.backlog)]


def _is_v6only(address: TcpAddress, addresses: Sequence[Address]) -> bool:
    """`[::]` alone takes IPv4 too, whatever the system's default; beside `0.0.0.0` it must not."""
    return address.host != "::" or TcpAddress("0.0.0.0", address.port) in addresses
