"""Addresses to listen on, as frozen values: TCP, unix socket, or a descriptor that is already open."""

from typing import NamedTuple

from hostler.config.units import digits

__all__ = ["Address", "DescriptorAddress", "TcpAddress", "UnixAddress", "parse_address"]

_LONGEST = 300  # characters: a host name has at most 253
_PATH_MAX = 107  # bytes: sockaddr_un.sun_path holds 108 on Linux (104 on macOS), one of them NUL
_HOST_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")


class TcpAddress(NamedTuple):
    """A TCP port; `host` is an IPv4 or IPv6 literal (without brackets) or a name, never empty."""

    host: str
    port: int  # 0 <= port <= 65535; 0: the kernel chooses

    @property
    def is_ipv6(self) -> bool:
        """Whether `host` is an IPv6 literal."""
        return ":" in self.host

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.is_ipv6 else f"{self.host}:{self.port}"


class UnixAddress(NamedTuple):
    """A unix socket; `path` is what bind() takes: a file's path, or NUL and an abstract name."""

    path: str

    @property
    def is_abstract(self) -> bool:
        """Whether it lives in the kernel's name space (Linux) and not in the file system."""
        return self.path.startswith("\0")

    def __str__(self) -> str:
        return f"unix:@{self.path[1:]}" if self.is_abstract else f"unix:{self.path}"


class DescriptorAddress(NamedTuple):
    """A listening socket that the parent process opened and passed on."""

    fd: int

    def __str__(self) -> str:
        return f"fd://{self.fd}"


Address = TcpAddress | UnixAddress | DescriptorAddress


def parse_address(text: str) -> Address:
    """Read one address; the ValueError for anything else says what is wrong with it, or nothing."""
    text = text.strip()
    if len(text) > _LONGEST:
        raise ValueError
    if text.startswith("fd://"):
        return DescriptorAddress(_number(text[5:], 2**31 - 1, "a descriptor is a whole number"))
    if text.startswith("unix:"):
        return _unix(text.removeprefix("unix:").removeprefix("//"))
    if text.startswith("["):
        return _ipv6(text)
    if "://" in text or "/" in text:
        scheme, _, rest = text.rpartition("://")
        if not scheme:
            raise ValueError(f"a unix socket starts with unix: - unix:{text}")
        raise ValueError(f"an address has no {scheme}:// - {rest.rstrip('/')}")
    host, colon, port = text.rpartition(":")
    if ":" in host:
        raise ValueError(f"an IPv6 address needs brackets - [{host}]:{port}")
    if not colon and not text.isdigit():
        raise ValueError(f"the port is missing - {text}:8000" if _is_host(text) else "")
    if not colon:
        return TcpAddress("127.0.0.1", _port(port))  # another port of the default host
    return TcpAddress(_host(host) if host else "0.0.0.0", _port(port))


def _unix(path: str) -> UnixAddress:
    if "\0" in path:
        raise ValueError("the path of the unix socket cannot hold NUL")
    if path in ("", "@"):
        raise ValueError("the path of the unix socket is missing")
    if len(path.encode("utf-8", "surrogateescape")) > _PATH_MAX:
        raise ValueError(f"the path of a unix socket has at most {_PATH_MAX} bytes")
    return UnixAddress("\0" + path[1:] if path.startswith("@") else path)


def _ipv6(text: str) -> TcpAddress:
    host, bracket, port = text[1:].partition("]")
    if not bracket or not port.startswith(":"):
        raise ValueError("an IPv6 address with its port looks like [::1]:8000")
    literal, _, _zone = host.partition("%")  # the zone: the interface of a link-local address
    if not _is_literal(literal, 6):
        raise ValueError(f'"{host}" is not an IPv6 address')
    return TcpAddress(host, _port(port[1:]))


def _host(host: str) -> str:
    """A name as it is, an IPv4 address with four numbers: 0 is 0.0.0.0, 127.1 is 127.0.0.1 (inet_aton(3))."""
    if not _is_host(host):
        raise ValueError(f'"{host}" is not a host')
    if host.strip("0123456789."):
        return host
    import socket  # not at the top: a default address needs no check

    return socket.inet_ntoa(socket.inet_aton(host))


def _is_host(host: str) -> bool:
    if not host.strip("0123456789."):
        return _is_literal(host, 4)
    return not set(host) - _HOST_CHARACTERS


def _is_literal(host: str, version: int) -> bool:
    import socket  # not at the top: a default address needs no check

    try:
        if version == 6:
            socket.inet_pton(socket.AF_INET6, host)
        else:
            socket.inet_aton(host)
    except (OSError, ValueError):  # ValueError: an embedded NUL
        return False
    return True


def _port(text: str) -> int:
    return _number(text, 65535, "a port is a whole number from 0 to 65535")


def _number(text: str, maximum: int, complaint: str) -> int:
    try:
        number = digits(text)
    except ValueError:
        raise ValueError(complaint) from None
    if number > maximum:
        raise ValueError(complaint)
    return number
