"""What `hostler top` asks once a second: all that changes, as plain data for JSON.

Counters only grow, from a worker's start on: who asks makes rates of two answers. Nothing here reads /proc, and of
the scoreboard's records only those of workers that run something: an answer for 64 workers costs the arbiter 3 ms,
and 5 ms when each of them runs 256 requests.
"""

from __future__ import annotations

import os
from typing import Any

from hostler.arbiter.fleet import Fleet
from hostler.arbiter.handle import WorkerHandle
from hostler.arbiter.plan import Plan
from hostler.stats.scoreboard import Scoreboard, Snapshot

__all__ = ["live"]

# Of the requests in flight, so many are told: the oldest ones.
MOST = 100

_BLANK = Scoreboard(1).read(0)


def live(fleet: Fleet, board: Scoreboard, plan: Plan, started_ns: int, now_ns: int) -> dict[str, Any]:
    """The server, its workers and what they run; times in seconds, where the name does not say otherwise."""
    seen = [(worker, _read(board, worker)) for worker in fleet.workers]
    running = board.oldest([worker.slot for worker, slot in seen if slot.in_flight], MOST)
    return {
        "version": plan.version,
        "pid": os.getpid(),
        "state": fleet.state.value,
        "uptime": round((now_ns - started_ns) / 1e9, 6),
        "listening": [listener.url for listener in plan.listeners if not listener.is_admin],
        "reloading": fleet.rollout is not None,
        "wanted": fleet.size,
        "most": fleet.most,
        "restarts": board.restarts,
        "workers": [_worker(worker, slot, now_ns) for worker, slot in seen],
        "running": [
            {
                "worker": slot,
                "thread": request.tid,
                "method": request.method,
                "path": request.path,
                "age": _since(request.start_ns, now_ns),
            }
            for slot, request in running
        ],
    }


def _read(board: Scoreboard, worker: WorkerHandle) -> Snapshot:
    """What its process has written; a new process has written nothing yet, and finds the last one's numbers."""
    slot = board.read(worker.slot)
    return slot if worker.pid and slot.pid == worker.pid else _BLANK


def _worker(worker: WorkerHandle, seen: Snapshot, now_ns: int) -> dict[str, Any]:
    return {
        "worker": worker.slot,
        "pid": worker.pid,
        "state": worker.state.value,
        "age": _since(seen.started_ns, now_ns) if seen.started_ns else 0.0,
        "requests": seen.requests,
        "statuses": [seen.status_1xx, seen.status_2xx, seen.status_3xx, seen.status_4xx, seen.status_5xx],
        "bytes_in": seen.bytes_in,
        "bytes_out": seen.bytes_out,
        "in_flight": seen.in_flight,
        "queued": seen.queued,
        "connections": seen.connections,
        "threads": seen.threads,
        "threads_busy": seen.threads_busy,
        "queue_ns": seen.queue_ns,
        "busy_ns": seen.busy_ns,
        "latency": [[bucket, count] for bucket, count in enumerate(seen.latency) if count],
    }


def _since(then_ns: int, now_ns: int) -> float:
    return round(max(0, now_ns - then_ns) / 1e9, 6)
