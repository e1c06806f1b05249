"""Telling systemd how far the service is: sd_notify(3), by the socket that $NOTIFY_SOCKET names."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping

from hostler.proc.unix import Reached

__all__ = ["Notifier"]


class Notifier:
    """Says nothing where nobody listens. A message that cannot be sent is lost: the service goes on."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        """Takes the variables out of `environ`, so that children do not speak for the service (sd_notify(3))."""
        names = ("NOTIFY_SOCKET", "WATCHDOG_USEC")
        self.variables = {name: environ[name] for name in names if name in environ}  # for a successor
        path = environ.pop("NOTIFY_SOCKET", "")
        microseconds = environ.pop("WATCHDOG_USEC", "")
        process = environ.pop("WATCHDOG_PID", "")
        self._path = "\0" + path[1:] if path.startswith("@") else path
        is_watched = path and microseconds.isdigit() and process in ("", str(os.getpid()))
        # Half of what systemd allows, as sd_watchdog_enabled(3) advises; None: it does not watch.
        self.interval: float | None = int(microseconds) / 2e6 if is_watched and int(microseconds) else None
        self._next = 0.0

    def ready(self, status: str) -> None:
        """The service serves; after `reloading` too."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, text: str) -> None:
        """A line for `systemctl status`."""
        self._send(f"STATUS={text}")

    def reloading(self) -> None:
        """The configuration is being read again; `ready` ends it. Type=notify-reload wants the time."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}\nSTATUS=reloading")

    def succeeded(self, pid: int) -> None:
        """Another process is the service's main one from now on."""
        self._send(f"MAINPID={pid}")

    def stopping(self) -> None:
        """The service ends."""
        self._send("STOPPING=1\nSTATUS=stopping")

    def deadline(self) -> float | None:
        """When `beat` has to be called, on the monotonic clock."""
        return self._next if self.interval is not None else None

    def beat(self, now: float) -> None:
        """Say that we are alive, if it is time to."""
        if self.interval is not None and now >= self._next:
            self._next = now + self.interval
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._path:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0)) as sock:
                sock.setblocking(False)
                with Reached(self._path) as address:
                    sock.sendto(message.encode("utf-8", "replace"), address)
        except OSError:  # nobody reads, or its queue is full
            pass
