"""Numbers for StatsD, sent by the arbiter each second: what has been counted since the last time, by gunicorn's names.

The workers count on the scoreboard anyway; a packet for each request, as gunicorn sends, would cost more than a quick
request. So the counters come added up, and durations with a sample rate that stands for how many there were.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from typing import Any

from hostler.logs import Logs
from hostler.proc.sockets import Listener
from hostler.proc.unix import Reached
from hostler.stats.latency import bounds
from hostler.stats.scoreboard import LATENCY_BUCKETS, Scoreboard, Snapshot

__all__ = ["Statsd"]

_EVERY = 1.0
# Max that a worker may have counted since the last time. The scoreboard is the workers' to write: what is below 0 or
# above this is no count.
_PLAUSIBLE = 10_000_000
_PACKET = 1400  # bytes: what passes every network in one piece
_CLASSES = ("status_1xx", "status_2xx", "status_3xx", "status_4xx", "status_5xx")
_TCP_INFO_UNACKED = 24  # offset in Linux' struct tcp_info: of a listening socket, how many wait (ss.c)


class Statsd:
    """Sends numbers to `address`; what cannot be sent is lost."""

    def __init__(
        self,
        address: str,
        prefix: str,
        tags: Sequence[str],
        logs: Logs,
        now: float,
        before: Statsd | None = None,
        board: Scoreboard | None = None,
    ) -> None:
        """What `before` has sent, or stands on `board` already, is not sent again. The name is looked up here, once."""
        self._prefix = f"{prefix.rstrip('.')}." if prefix else ""
        self._tags = f"|#{','.join(tags)}" if tags else ""
        self._next = now + _EVERY
        # What has been sent, by (slot, pid); one for all configurations, whichever of them is in force.
        self._sent: list[dict[tuple[int, int], Snapshot]]
        self._sent = before._sent if before is not None else [_read(board) if board is not None else {}]
        self._logs = logs
        self._has_failed = False
        self._address: Any
        if address.startswith("unix://"):
            self._address = address.removeprefix("unix://")
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        else:
            self._address, self._socket = self._found(address)
        self._socket.setblocking(False)

    def _found(self, address: str) -> tuple[Any, socket.socket]:
        """The name is looked up in this moment only: the arbiter cannot wait for a resolver while it serves.

        A name that nobody knows is no reason not to serve: nothing is sent until a reload looks again.
        """
        host, _, port = address.rpartition(":")
        try:
            found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
        except (OSError, UnicodeError) as error:
            self._logs.warning(
                "StatsD host not known; no metrics until a reload finds it", statsd=address, reason=error
            )
            return None, socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        return found[4], socket.socket(found[0], socket.SOCK_DGRAM)

    def deadline(self) -> float:
        """When to call `send`."""
        return self._next

    def send(self, now: float, board: Scoreboard, workers: int, listeners: Sequence[Listener]) -> None:
        """Send what has happened, if it is time to."""
        if now < self._next:
            return
        self._next = now + _EVERY
        lines = [
            f"{self._prefix}gunicorn.{line}{self._tags}"
            for line in (f"workers:{workers}|g", f"backlog:{_backlog(listeners)}|g", *self._counted(board))
        ]
        packet = ""
        for line in lines:
            if packet and len(packet) + len(line) >= _PACKET:
                self._send(packet)
                packet = ""
            packet = f"{packet}\n{line}" if packet else line
        self._send(packet)

    def close(self) -> None:
        """In a child: let go of the socket."""
        self._socket.close()

    def _counted(self, board: Scoreboard) -> Iterator[str]:
        found = _read(board)
        changes = [(each, self._sent[0].get(key)) for key, each in found.items()]
        self._sent[0] = found
        requests = sum(_grown(each.requests, before.requests if before else 0) for each, before in changes)
        if requests > 0:
            yield f"requests:{requests}|c"
        for name in _CLASSES:
            count = sum(_grown(getattr(each, name), getattr(before, name) if before else 0) for each, before in changes)
            if count > 0:
                yield f"request.status.{name.removeprefix('status_')}:{count}|c"
        for bucket in range(LATENCY_BUCKETS):
            count = sum(
                _grown(each.latency[bucket], before.latency[bucket] if before else 0) for each, before in changes
            )
            if count > 0:
                rate = f"|@{1 / count:.6g}" if count > 1 else ""
                yield f"request.duration:{_milliseconds(bucket):.3f}|ms{rate}"

    def _send(self, packet: str) -> None:
        if self._address is None:
            return
        try:
            data = packet.encode("utf-8", "replace")
            if isinstance(self._address, str):
                with Reached(self._address) as address:
                    self._socket.sendto(data, address)
            else:
                self._socket.sendto(data, self._address)
            self._has_failed = False
        except OSError as error:
            if not self._has_failed:  # said once: nobody reads a line a second
                self._logs.warning(
                    "StatsD not reached; what is counted now is lost",
                    statsd=self._address,
                    reason=error.strerror or error,
                )
            self._has_failed = True


def _read(board: Scoreboard) -> dict[tuple[int, int], Snapshot]:
    return {(slot, each.pid): each for slot in range(board.slots) if (each := board.read(slot)).pid}


def _grown(now: int, before: int) -> int:
    """By how much a counter has grown; 0 for what cannot be."""
    return now - before if 0 <= now - before <= _PLAUSIBLE else 0


def _milliseconds(bucket: int) -> float:
    """The middle of a bucket."""
    return sum(bounds(bucket)) / 2 * 1000


def _backlog(listeners: Sequence[Listener]) -> int:
    """How many connections the kernel keeps for us, over all TCP addresses; 0 where it does not tell."""
    found = 0
    for listener in listeners:
        if not listener.is_unix and hasattr(socket, "TCP_INFO"):
            try:
                info = listener.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
                found += int.from_bytes(info[_TCP_INFO_UNACKED : _TCP_INFO_UNACKED + 4], "little")
            except OSError:
                continue
    return found
