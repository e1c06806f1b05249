"""The scoreboard: one anonymous shared mapping, a slot for each worker. Its worker writes it, everybody reads.

Made by the arbiter before the first fork; numbers are little-endian, as on every machine we run on. The native
core writes all of a slot but `state`, `pid`, `started_ns` and `heartbeat_ns` (`state` too, when it drains), with
plain stores and no locks: a reader may see a counter a moment before its neighbour. Only a record needs more care,
see `in_flight`.
The layout stands twice, here and in rust/native/src/score.rs; a test holds the two equal.
"""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = [
    "BOOTING",
    "DRAINING",
    "EMPTY",
    "LATENCY_BUCKETS",
    "LAYOUT",
    "READY",
    "RESTARTS",
    "STOPPED",
    "Request",
    "Scoreboard",
    "Snapshot",
]

EMPTY, BOOTING, READY, DRAINING, STOPPED = range(5)

_MAGIC = 0x484F53544C455231  # "HOSTLER1"
_VERSION = 2
_HEADER = struct.Struct("<QIII")  # magic, version, slots, slot_size
_LEAVING_AT = 20  # 1: /readyz says that the server is about to stop
_LOG_LEVEL_AT = 24  # the level that was asked for while the server runs; 0: that of the configuration
# 28: how many slots have been used; the native core's own
RESTARTS = ("died", "limit", "reload", "timeout")  # workers that were followed by another one, by reason
_RESTARTS = struct.Struct("<4Q")
_RESTARTS_AT = 32
_HEADER_SIZE = 64

LATENCY_BUCKETS = 64
RECORDS = 256
_RECORD = struct.Struct("<IIQ16s96s")  # seq, tid, start_ns, method, path
_STARTS = struct.Struct("<" + RECORDS * "8xQ112x")  # nothing but start_ns of each record
_RECORDS_AT = 1280
_SLOT_SIZE = _RECORDS_AT + RECORDS * _RECORD.size

# field -> (offset in the slot, size)
LAYOUT: dict[str, tuple[int, int]] = {
    "state": (0, 4),
    "pid": (4, 4),
    "started_ns": (8, 8),  # CLOCK_MONOTONIC, as all times here
    "heartbeat_ns": (16, 8),
    "requests": (24, 8),
    "status_1xx": (32, 8),
    "status_2xx": (40, 8),
    "status_3xx": (48, 8),
    "status_4xx": (56, 8),
    "status_5xx": (64, 8),
    "bytes_in": (72, 8),
    "bytes_out": (80, 8),
    "accepted": (88, 8),
    "rejected": (96, 8),  # answered by the core itself, 4xx and 5xx
    "timeouts": (104, 8),
    "app_errors": (112, 8),
    "client_gone": (120, 8),
    "queue_ns": (128, 8),  # total
    "busy_ns": (136, 8),  # total
    "connections": (144, 4),
    "in_flight": (148, 4),
    "queued": (152, 4),
    "threads": (156, 4),
    "threads_busy": (160, 4),
    "taking": (164, 4),  # whether siblings may hand connections over
    "lately": (168, 4),  # requests served lately, in 1024ths, as of lately_ms: half of it is gone after half a second
    "lately_ms": (172, 4),
    "family": (176, 4),  # which listeners it has
    "promised": (180, 4),  # connections on their way to it; written by the siblings
    "given": (184, 8),  # connections handed over to siblings
    "latency": (192, 8 * LATENCY_BUCKETS),
    "queue_latency": (704, 8 * LATENCY_BUCKETS),
    "taken": (1216, 8),  # connections that siblings have handed over
    "pss": (1224, 8),  # proportional set size, bytes; it and the next one are the worker's main thread's
    "capacity": (1232, 4),  # how much of what it can do it does, in 1024ths
    "filed": (1240, 8),  # bytes of responses that wait in temporary files
    "spilled": (1248, 8),  # bytes of responses that were written to them; total
    "records": (_RECORDS_AT, RECORDS * _RECORD.size),
}
_FIELDS = struct.Struct("<II17Q10IQ64Q64QQQI4xQQ")


class Snapshot(NamedTuple):
    """A slot's numbers at one moment; the fields are those of LAYOUT, without the records."""

    state: int
    pid: int
    started_ns: int
    heartbeat_ns: int
    requests: int
    status_1xx: int
    status_2xx: int
    status_3xx: int
    status_4xx: int
    status_5xx: int
    bytes_in: int
    bytes_out: int
    accepted: int
    rejected: int
    timeouts: int
    app_errors: int
    client_gone: int
    queue_ns: int
    busy_ns: int
    connections: int
    in_flight: int
    queued: int
    threads: int
    threads_busy: int
    taking: int
    lately: int
    lately_ms: int
    family: int
    promised: int
    given: int
    latency: tuple[int, ...]
    queue_latency: tuple[int, ...]
    taken: int
    pss: int
    capacity: int
    filed: int
    spilled: int


class Request(NamedTuple):
    """A request that a worker was running when its slot was read."""

    tid: int
    start_ns: int
    method: str
    path: str


class Scoreboard:
    """The mapping with its slots."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.mapping = mmap.mmap(-1, _HEADER_SIZE + slots * _SLOT_SIZE)  # anonymous, shared with children
        _HEADER.pack_into(self.mapping, 0, _MAGIC, _VERSION, slots, _SLOT_SIZE)

    def leave(self) -> None:
        """Have every worker's /readyz say that the server is about to stop."""
        struct.pack_into("<I", self.mapping, _LEAVING_AT, 1)

    @property
    def log_level(self) -> int:
        """The error log's level that was asked for while the server runs; 0: none was."""
        value: int = struct.unpack_from("<I", self.mapping, _LOG_LEVEL_AT)[0]
        return value

    @log_level.setter
    def log_level(self, level: int) -> None:
        struct.pack_into("<I", self.mapping, _LOG_LEVEL_AT, level)

    def count_restarts(self, counts: Sequence[int]) -> None:
        """Write how many workers were followed by another one, in the order of `RESTARTS`."""
        _RESTARTS.pack_into(self.mapping, _RESTARTS_AT, *counts)

    @property
    def restarts(self) -> dict[str, int]:
        """How many workers were followed by another one, by reason."""
        return dict(zip(RESTARTS, _RESTARTS.unpack_from(self.mapping, _RESTARTS_AT), strict=True))

    def begin(self, slot: int, pid: int) -> None:
        """Clear a slot for a worker that boots."""
        start = self._start(slot)
        self.mapping[start : start + _SLOT_SIZE] = bytes(_SLOT_SIZE)
        struct.pack_into("<IIQ", self.mapping, start, BOOTING, pid, time.monotonic_ns())

    def set_vitals(self, slot: int, pss: int, capacity: float) -> None:
        """Write the memory of the slot's worker in bytes, and the share of its capacity that is in use (0.0 to 1.0)."""
        offset, _ = LAYOUT["pss"]
        struct.pack_into("<QI", self.mapping, self._start(slot) + offset, pss, round(capacity * 1024))

    def set_state(self, slot: int, state: int) -> None:
        """Write how far the slot's worker is."""
        struct.pack_into("<I", self.mapping, self._start(slot), state)

    def shut(self, slot: int) -> None:
        """Have nobody hand connections over to the slot's worker: it has ended."""
        offset, _ = LAYOUT["taking"]
        struct.pack_into("<I", self.mapping, self._start(slot) + offset, 0)

    def takes(self, slot: int) -> bool:
        """Whether the slot's worker takes connections that are handed over."""
        offset, _ = LAYOUT["taking"]
        return bool(struct.unpack_from("<I", self.mapping, self._start(slot) + offset)[0] == 1)

    def beat(self, slot: int) -> None:
        """Say that the slot's worker can run Python, now."""
        offset, _ = LAYOUT["heartbeat_ns"]
        struct.pack_into("<Q", self.mapping, self._start(slot) + offset, time.monotonic_ns())

    def heartbeat(self, slot: int) -> int:
        """When the slot's worker could run Python last."""
        offset, _ = LAYOUT["heartbeat_ns"]
        value: int = struct.unpack_from("<Q", self.mapping, self._start(slot) + offset)[0]
        return value

    def read(self, slot: int) -> Snapshot:
        """The slot's numbers now."""
        values = _FIELDS.unpack_from(self.mapping, self._start(slot))
        ran = Snapshot._fields.index("latency")
        waited, rest = ran + LATENCY_BUCKETS, ran + 2 * LATENCY_BUCKETS
        return Snapshot._make((*values[:ran], values[ran:waited], values[waited:rest], *values[rest:]))

    def in_flight(self, slot: int) -> list[Request]:
        """The requests that the slot's worker runs now, the oldest first."""
        return [request for _, request in self.oldest([slot], RECORDS)]

    def oldest(self, slots: Iterable[int], most: int) -> list[tuple[int, Request]]:
        """At most so many of the requests that the slots' workers run now, each with its slot, the oldest first.

        The start words are looked at first, since nearly all records are empty.
        A record's `seq` is odd while it is being written and grows with each write: one that changed
        while it was read is read again. A worker that died while writing leaves it odd for ever.
        """
        begun: list[tuple[int, int, int]] = []
        for slot in slots:
            starts = _STARTS.unpack_from(self.mapping, self._start(slot) + _RECORDS_AT)
            if any(starts):
                begun += [(start_ns, slot, index) for index, start_ns in enumerate(starts) if start_ns]
        found = ((slot, self._record(slot, index)) for _, slot, index in sorted(begun)[:most])
        return sorted(((slot, request) for slot, request in found if request), key=lambda each: each[1].start_ns)

    def _record(self, slot: int, index: int) -> Request | None:
        at = self._start(slot) + _RECORDS_AT + index * _RECORD.size
        for _ in range(8):
            seq, tid, start_ns, method, path = _RECORD.unpack_from(self.mapping, at)
            if seq % 2 == 0 and seq == struct.unpack_from("<I", self.mapping, at)[0]:
                break
        if start_ns == 0:
            return None
        return Request(tid, start_ns, _text(method), _text(path))

    def _start(self, slot: int) -> int:
        if not 0 <= slot < self.slots:
            raise IndexError(f"the scoreboard has no slot {slot}")
        return _HEADER_SIZE + slot * _SLOT_SIZE


def _text(field: bytes) -> str:
    # As the native core writes it into logs: a path is bytes, of no encoding that we know.
    return field.partition(b"\0")[0].decode("ascii", "backslashreplace")
