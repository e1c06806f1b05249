"""Listening sockets: opened, or adopted from the process that started us.

Whatever stands in the way is a BindError that says what, and who.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import NamedTuple

from hostler.errors import BindError
from hostler.proc import gate, owners, trusted, unix
from hostler.proc.places import Ids

__all__ = ["AddressTaken", "Listener", "adopt", "open_tcp", "open_unix", "passed_by_systemd"]

# As it is before gevent has its own in its place.
_Socket = socket.socket
_FIRST_PASSED = 3  # SD_LISTEN_FDS_START
_UNPRIVILEGED = "/proc/sys/net/ipv4/ip_unprivileged_port_start"


class AddressTaken(BindError):
    """Somebody else listens there; perhaps not for long."""


class Listener(NamedTuple):
    """A listening socket, non-blocking and closed on exec, and what must be known to close it well."""

    socket: socket.socket
    is_ours: bool  # False: the process that passed it on may go on listening when we end
    inode: tuple[int, int] | None = None  # (device, inode) of the file that we made for a unix socket
    is_admin: bool = False  # for probes only
    path: str = ""  # of a unix socket, as it was configured; empty: what the kernel says
    file: str = ""  # the same, absolute: a later chdir changes nothing

    @property
    def is_unix(self) -> bool:
        """Whether it is a unix socket."""
        return self.socket.family == socket.AF_UNIX

    @property
    def is_open(self) -> bool:
        """Whether this process still listens there. A closed socket has no address that could be asked for."""
        return self.socket.fileno() >= 0

    @property
    def host(self) -> tuple[str, str]:
        """SERVER_NAME and SERVER_PORT; PEP 3333 allows neither to be empty."""
        if self.is_unix:
            return "localhost", "80"
        name = self.socket.getsockname()
        return name[0], str(name[1])

    @property
    def server(self) -> tuple[str, int | None]:
        """ASGI's `server`: host and port, or the path of a unix socket."""
        if self.is_unix:
            return self._name, None
        name = self.socket.getsockname()
        return name[0], name[1]

    @property
    def url(self) -> str:
        """Where clients find it: `http://127.0.0.1:8000`, `unix:/run/app.sock`, `unix:@name`."""
        if not self.is_unix:
            host, port = self.host
            return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        name = self._name
        return f"unix:@{name[1:]}" if name.startswith("\0") else f"unix:{name}"

    @property
    def _name(self) -> str:
        """Of a unix socket: its path, or NUL and its abstract name.

        A socket in a directory that others can change was bound by a path through /proc.
        """
        return self.path or os.fsdecode(self.socket.getsockname())

    def refuse_newcomers(self) -> bool:
        """Let nobody new in, keep who is queued; False when only closing it does that."""
        if not self.is_ours:
            return False
        if self.is_unix:
            return self._unlink()
        return gate.refuse_newcomers(self.socket)

    def reopened(self, fd: int) -> Listener:
        """The same listener by a descriptor that another process has sent."""
        return self._replace(socket=_Socket(fileno=fd))

    def close(self) -> None:
        """Close this process' descriptor; the file of a unix socket goes too, if we made it."""
        if self.is_ours and self.is_unix:
            self._unlink()
        self.socket.close()

    def _unlink(self) -> bool:
        """Remove the file, unless another server has put its own there meanwhile."""
        if self.inode is None:
            return False
        if self.socket.fileno() >= 0:  # else our descriptor alone was closed: a successor listens on
            trusted.remove(self.file, self.inode)
        return True


def open_tcp(host: str, port: int, backlog: int, *, v6only: bool = True, reuse_port: bool = False) -> list[Listener]:
    """Listen on every address that `host` stands for: one, except for names such as localhost."""
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        # As text it goes through the IDNA codec, whose tables are 400 KB of every process from then on.
        name = host.encode() if host.isascii() else host
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BindError(f"bind {shown}: the host is not known ({reason})") from None
    listeners: list[Listener] = []
    unusable: OSError | None = None
    for family, _, _, _, address in dict.fromkeys(found):
        try:
            listeners.append(_tcp(family, address, backlog, v6only, reuse_port))
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                _close(listeners)
                raise _tcp_error(shown, error, port) from None
            unusable = error  # "localhost" is also ::1, and this machine may have no IPv6
    if unusable and not listeners:
        raise _tcp_error(shown, unusable, port) from None
    return listeners


def open_unix(path: str, mode: int, backlog: int, owner: Ids | None = None) -> Listener:
    """Listen on a unix socket; an abandoned file in its place is replaced, a living server is not.

    The file belongs to `owner`, or to this user. Raises BindError.
    """
    shown = f"unix:@{path[1:]}" if path.startswith("\0") else f"unix:{path}"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    inode = None
    try:
        if path.startswith("\0"):
            sock.bind(path)
        else:
            inode = unix.bind(sock, path, mode, owner)
        sock.listen(backlog)
        sock.setblocking(False)
        return Listener(sock, True, inode, path=path, file=os.path.abspath(path) if inode else "")
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise _taken(shown, owners.unix_server(path)) from None
        raise BindError(f"bind {shown}: {_why_unix(error)}") from None


def adopt(fd: int, backlog: int) -> Listener:
    """Take over a listening (or bound) stream socket that another process opened."""
    try:
        sock = socket.socket(fileno=fd)
    except OSError as error:
        raise BindError(f"bind fd://{fd}: no socket is open there ({error.strerror})") from None
    if sock.type != socket.SOCK_STREAM or sock.family not in (
        socket.AF_INET, socket.AF_INET6, socket.AF_UNIX,
    ):  # fmt: skip
        sock.detach()
        raise BindError(f"bind fd://{fd}: the socket there is not a TCP or unix stream socket")
    try:
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            sock.listen(backlog)
        os.set_inheritable(fd, False)
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        sock.detach()
        raise BindError(f"bind fd://{fd}: {error.strerror}") from None
    return Listener(sock, False)


def passed_by_systemd(environ: dict[str, str] | os._Environ[str]) -> list[int]:
    """The descriptors of socket activation (sd_listen_fds(3)), and no trace of it left for children."""
    pid, count = environ.get("LISTEN_PID"), environ.get("LISTEN_FDS")
    if pid != str(os.getpid()) or not count or not count.isdigit():
        return []
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        environ.pop(name, None)
    return list(range(_FIRST_PASSED, _FIRST_PASSED + int(count)))


def _tcp(family: int, address: tuple[object, ...], backlog: int, v6only: bool, reuse_port: bool) -> Listener:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        # Linux: accepted sockets have it too, which saves a system call for each.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind(address)
        sock.listen(backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return Listener(sock, True)


def _taken(shown: str, owner: owners.Owner | None) -> AddressTaken:
    return AddressTaken(f"bind {shown}: address already in use" + (f" by {owner}" if owner else ""))


def _tcp_error(shown: str, error: OSError, port: int) -> BindError:
    if error.errno == errno.EADDRINUSE:
        return _taken(shown, owners.tcp_owner(port))
    reasons = {
        errno.EACCES: f"ports below {_first_unprivileged()} need root or CAP_NET_BIND_SERVICE",
        errno.EADDRNOTAVAIL: "no network interface of this machine has that address",
        errno.EAFNOSUPPORT: "this machine has no IPv6",
    }
    return BindError(f"bind {shown}: {reasons.get(error.errno or 0, error.strerror)}")


def _why_unix(error: OSError) -> str:
    reasons = {
        errno.ENOENT: "the folder does not exist",
        errno.EEXIST: "a file that is not a socket is in its place",
        errno.EACCES: "this user may not create it",
    }
    return reasons.get(error.errno or 0, error.strerror or str(error))


def _first_unprivileged() -> int:
    try:
        with open(_UNPRIVILEGED, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 1024


def _close(listeners: list[Listener]) -> None:
    for listener in listeners:
        listener.close()
