"""What `hostler top` is told, from a scoreboard that the test writes."""

from __future__ import annotations

import json
import os
import struct

from hostler.arbiter.fleet import Fleet
from hostler.arbiter.handle import WorkerState
from hostler.arbiter.live import MOST, live
from hostler.arbiter.plan import Plan
from hostler.arbiter.timing import Timing
from hostler.stats import scoreboard as layout
from hostler.stats.scoreboard import LAYOUT, Scoreboard

SECOND = 1_000_000_000


class World:
    """A fleet of workers that are ready, one process id after another from 100 on."""

    def __init__(self, workers: int) -> None:
        self.fleet = Fleet(workers, Timing())
        self.board = Scoreboard(self.fleet.slots)
        for worker in self.fleet.workers:
            worker.pid, worker.state = 100 + worker.slot, WorkerState.READY
            self.board.begin(worker.slot, worker.pid)
            self.write(worker.slot, started_ns=5 * SECOND)

    def write(self, slot: int, **fields: int) -> None:
        for name, value in fields.items():
            offset, size = LAYOUT[name]
            struct.pack_into({4: "<I", 8: "<Q"}[size], self.board.mapping, self.at(slot) + offset, value)

    def count(self, slot: int, bucket: int, count: int) -> None:
        struct.pack_into("<Q", self.board.mapping, self.at(slot) + LAYOUT["latency"][0] + 8 * bucket, count)

    def run(self, slot: int, index: int, start_ns: int, path: bytes) -> None:
        at = self.at(slot) + LAYOUT["records"][0] + 128 * index
        struct.pack_into("<IIQ16s96s", self.board.mapping, at, 2, 1000 + index, start_ns, b"GET", path)

    def at(self, slot: int) -> int:
        return layout._HEADER_SIZE + slot * layout._SLOT_SIZE

    def ask(self, now_ns: int = 10 * SECOND) -> dict[str, object]:
        plan = Plan(1, Timing(), lambda slot, channel, dump: 0)
        answer = live(self.fleet, self.board, plan, SECOND, now_ns)
        assert json.loads(json.dumps(answer)) == answer, "plain JSON"
        return answer


def test_server() -> None:
    world = World(2)
    world.board.count_restarts([1, 0, 2, 0])
    answer = world.ask()
    assert (answer["pid"], answer["state"], answer["uptime"]) == (os.getpid(), "new", 9.0)
    assert (answer["wanted"], answer["most"], answer["reloading"]) == (2, 2, False)
    assert answer["restarts"] == {"died": 1, "limit": 0, "reload": 2, "timeout": 0}


def test_worker() -> None:
    world = World(1)
    world.write(0, requests=7, status_2xx=5, status_5xx=2, bytes_in=10, bytes_out=20, in_flight=1, queued=2)
    world.write(0, connections=3, threads=4, threads_busy=1, queue_ns=11, busy_ns=12)
    world.count(0, 6, 5)
    world.count(0, 63, 2)
    assert world.ask()["workers"] == [
        {
            "worker": 0, "pid": 100, "state": "ready", "age": 5.0, "requests": 7, "statuses": [0, 5, 0, 0, 2],
            "bytes_in": 10, "bytes_out": 20, "in_flight": 1, "queued": 2, "connections": 3, "threads": 4,
            "threads_busy": 1, "queue_ns": 11, "busy_ns": 12, "latency": [[6, 5], [63, 2]],
        }
    ]  # fmt: skip


def test_a_new_process_does_not_have_the_numbers_of_the_last_one() -> None:
    world = World(2)
    world.write(0, requests=7, in_flight=1)
    world.run(0, 0, SECOND, b"/old")
    world.fleet.workers[0].pid = 300  # forked, and not on the scoreboard yet
    world.write(1, requests=9)
    world.fleet.workers[1].pid, world.fleet.workers[1].state = 0, WorkerState.BACKOFF
    answer = world.ask()
    workers = answer["workers"]
    assert isinstance(workers, list)
    assert [(each["pid"], each["state"], each["requests"], each["age"]) for each in workers] == [
        (300, "ready", 0, 0.0),
        (0, "backoff", 0, 0.0),
    ]
    assert answer["running"] == []


def test_requests_in_flight_come_oldest_first_and_have_an_end() -> None:
    world = World(2)
    for index in range(MOST):
        world.run(index % 2, index, 8 * SECOND - index, b"/%d" % index)
    world.run(0, 200, 7 * SECOND, b"/oldest")
    for slot in (0, 1):
        world.write(slot, in_flight=51)
    running = world.ask()["running"]
    assert isinstance(running, list)
    assert running[0] == {"worker": 0, "thread": 1200, "method": "GET", "path": "/oldest", "age": 3.0}
    assert [each["path"] for each in running[1:3]] == ["/99", "/98"]
    assert len(running) == MOST


def test_records_of_workers_that_run_nothing_are_not_read() -> None:
    world = World(2)
    world.run(0, 0, SECOND, b"/left-behind")
    world.run(1, 0, SECOND, b"/runs")
    world.write(1, in_flight=1)
    running = world.ask()["running"]
    assert isinstance(running, list)
    assert [each["path"] for each in running] == ["/runs"]
