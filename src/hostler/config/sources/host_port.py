"""`--host` and `--port`, as many other servers have them: together they are one address of `bind`."""

from __future__ import annotations

import os

from hostler.config.units import digits
from hostler.errors import ConfigError

__all__ = ["HOST", "PORT", "written"]

HOST = "127.0.0.1"
PORT = 8000


def written(host: str | None, port: object, names: tuple[str, str]) -> str:
    """The address as `bind` takes it. None stands for the default, which for the port is $PORT where a platform sets
    it; port 0 lets the kernel choose.

    `host` may be a name, an address without brackets, "" (every IPv4 interface), or unix:/path, which has no port.
    `names` are those of the two in messages. Raises ConfigError.
    """
    try:
        number = _default() if port is None else digits(str(port))
    except ValueError:
        number = -1
    if isinstance(port, bool) or not 0 <= number <= 65535:
        raise ConfigError(f"{names[1]}: {str(port)!r} is not a whole number from 0 to 65535")
    host = HOST if host is None else host.strip()
    if host.startswith("unix:"):
        if port is not None:
            raise ConfigError(f"{names[0]}: {host} is a unix socket, which has no port: leave {names[1]} out")
        return host
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{host}:{number}"


def _default() -> int:
    hint = os.environ.get("PORT", "")
    return int(hint) if hint.isascii() and hint.isdigit() and int(hint) <= 65535 else PORT
