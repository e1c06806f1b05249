"""The scoreboard: its layout in both languages, and what readers see."""

from __future__ import annotations

import os
import struct
import time
from itertools import pairwise

import pytest

from hostler.arbiter.fleet import Fleet
from hostler.arbiter.timing import Timing
from hostler.proc.fork import fork
from hostler.stats import scoreboard as module
from hostler.stats.scoreboard import BOOTING, EMPTY, LAYOUT, READY, Scoreboard, Snapshot


def test_layout_is_the_native_one() -> None:
    from hostler.native import scoreboard_layout

    assert scoreboard_layout() == {**LAYOUT, "slot_size": (0, module._SLOT_SIZE)}


def test_layout_has_no_overlap() -> None:
    fields = sorted(LAYOUT.values())
    assert all(offset + size <= following for (offset, size), (following, _) in pairwise(fields))
    assert module._SLOT_SIZE == 1280 + 256 * 128
    assert module._SLOT_SIZE % 64 == 0


def test_snapshot_has_the_layouts_fields() -> None:
    assert [*Snapshot._fields, "records"] == list(LAYOUT)


@pytest.mark.parametrize("field", [name for name in LAYOUT if name not in ("latency", "queue_latency", "records")])
def test_each_field_is_read_where_the_layout_says(field: str) -> None:
    board = Scoreboard(3)
    offset, size = LAYOUT[field]
    value = 2 ** (8 * size) - 5
    struct.pack_into({4: "<I", 8: "<Q"}[size], board.mapping, 64 + 1280 + 256 * 128 + offset, value)
    assert getattr(board.read(1), field) == value
    assert board.read(0) == board.read(2) == Snapshot._make((*[0] * 30, (0,) * 64, (0,) * 64, *[0] * 5))


def test_latency() -> None:
    board = Scoreboard(1)
    struct.pack_into("<64Q", board.mapping, 64 + LAYOUT["latency"][0], *range(64))
    struct.pack_into("<64Q", board.mapping, 64 + LAYOUT["queue_latency"][0], *range(64, 128))
    assert board.read(0).latency == tuple(range(64))
    assert board.read(0).queue_latency == tuple(range(64, 128))


def test_who_takes_connections() -> None:
    board = Scoreboard(2)
    struct.pack_into("<I", board.mapping, 64 + LAYOUT["taking"][0], 1)
    assert board.takes(0)
    assert not board.takes(1)
    board.shut(0)
    assert not board.takes(0)


def test_header() -> None:
    header = struct.unpack_from("<QIII", Scoreboard(5).mapping)
    assert header == (int.from_bytes(b"HOSTLER1", "big"), 2, 5, 1280 + 256 * 128)


def test_begin_forgets_the_last_worker() -> None:
    board = Scoreboard(2)
    board.mapping[64:] = b"\xff" * (len(board.mapping) - 64)
    before = time.monotonic_ns()
    board.begin(0, 77)
    slot = board.read(0)
    assert (slot.state, slot.pid, slot.requests, slot.latency) == (BOOTING, 77, 0, (0,) * 64)
    assert before <= slot.started_ns <= time.monotonic_ns()
    assert board.in_flight(0) == []
    assert board.read(1).requests == 2**64 - 1


def test_beat_is_the_time_of_its_slot_alone() -> None:
    board = Scoreboard(2)
    before = time.monotonic_ns()
    board.beat(1)
    assert before <= board.heartbeat(1) == board.read(1).heartbeat_ns <= time.monotonic_ns()
    assert board.heartbeat(0) == 0
    board.begin(1, 77)
    assert board.heartbeat(1) == 0


def test_children_write_and_the_parent_reads() -> None:
    board = Scoreboard(1)
    assert board.read(0).state == EMPTY

    def main() -> int:
        board.set_state(0, READY)
        return 0

    os.waitpid(fork(lambda: None, main, {}), 0)
    assert board.read(0).state == READY


@pytest.mark.parametrize("slot", [-1, 2])
def test_slot_that_is_not_there(slot: int) -> None:
    with pytest.raises(IndexError, match=f"no slot {slot}"):
        Scoreboard(2).read(slot)


def test_restarts_by_reason() -> None:
    board = Scoreboard(1)
    board.count_restarts([1, 2, 3, 4])
    assert board.restarts == {"died": 1, "limit": 2, "reload": 3, "timeout": 4}
    assert list(board.restarts) == list(Fleet(1, Timing()).restarts)


# --- Requests in flight ---


def record(board: Scoreboard, index: int, seq: int, start_ns: int, method: bytes, path: bytes) -> None:
    at = 64 + LAYOUT["records"][0] + index * 128
    struct.pack_into("<IIQ16s96s", board.mapping, at, seq, 1000 + index, start_ns, method, path)


def test_requests_come_oldest_first() -> None:
    board = Scoreboard(1)
    record(board, 0, 2, 300, b"GET", b"/new")
    record(board, 5, 2, 0, b"GET", b"/ended")
    record(board, 127, 4, 200, b"POST", "/é".encode())
    assert [(request.tid, request.method, request.path) for request in board.in_flight(0)] == [
        (1127, "POST", r"/\xc3\xa9"),
        (1000, "GET", "/new"),
    ]


def test_the_oldest_of_several_workers() -> None:
    board = Scoreboard(3)
    for slot, start_ns in ((0, 30), (1, 10), (2, 20)):
        at = 64 + slot * module._SLOT_SIZE + LAYOUT["records"][0]
        struct.pack_into("<IIQ16s96s", board.mapping, at + 255 * 128, 2, 7, start_ns, b"GET", b"/")
    assert [(slot, request.start_ns) for slot, request in board.oldest([0, 1, 2], 2)] == [(1, 10), (2, 20)]
    assert [slot for slot, _ in board.oldest([0, 2], 9)] == [2, 0]
    assert board.oldest([1], 0) == board.oldest([], 9) == []


def test_long_path_fills_its_field() -> None:
    board = Scoreboard(1)
    record(board, 0, 2, 1, b"G" * 16, b"/" * 96)
    [request] = board.in_flight(0)
    assert (request.method, request.path) == ("G" * 16, "/" * 96)


def test_record_that_was_being_written_when_its_worker_died() -> None:
    board = Scoreboard(1)
    record(board, 0, 3, 1, b"GET", b"/half")
    assert [request.path for request in board.in_flight(0)] == ["/half"]
