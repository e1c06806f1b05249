"""Mount: one application, where it is served, and for which protocols.

shop.wsgi:application               everywhere
api:app@/api                        below /api, with SCRIPT_NAME or root_path /api
shop.asgi:application=websocket     WebSockets only; the others keep HTTP
api:app@/api=http+websocket         both at once
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["PROTOCOLS", "Mount"]

PROTOCOLS = ("http", "websocket")


class Mount(NamedTuple):
    """What one entry of `app` says."""

    target: str
    path: str = ""  # without its last slash; empty: every path
    protocols: tuple[str, ...] = ()  # empty: all that the application can

    @classmethod
    def parse(cls, text: str) -> Mount:
        """Read the form of the command line; ValueError when it is none."""
        target, path, protocols = text.strip(), "", ""
        # From the end: the arguments of a factory may hold both signs.
        head, equals, tail = target.rpartition("=")
        if equals and tail and all(word in PROTOCOLS for word in tail.split("+")):
            target, protocols = head, tail
        head, at, tail = target.rpartition("@")
        if at and tail.startswith("/"):
            target, path = head, tail
        return cls.make(target, path, protocols.split("+") if protocols else [])

    @classmethod
    def make(cls, target: str, path: str, protocols: list[str]) -> Mount:
        """Check the parts; ValueError says which is wrong."""
        if not target.strip() or not target.isprintable():
            raise ValueError("an application needs a target such as shop.wsgi:application")
        if path and (not path.startswith("/") or set(path) & set(" ?#%")):
            raise ValueError(f'"{path}" is not a path such as /api')
        for word in protocols:
            if word not in PROTOCOLS:
                raise ValueError(f'"{word}" is not a protocol: there are {" and ".join(PROTOCOLS)}')
        return cls(target, path.rstrip("/"), tuple(dict.fromkeys(protocols)))

    def __str__(self) -> str:
        path = f"@{self.path}" if self.path else ""
        protocols = f"={'+'.join(self.protocols)}" if self.protocols else ""
        return f"{self.target}{path}{protocols}"
