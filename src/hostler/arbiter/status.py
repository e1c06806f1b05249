"""What `hostler ctl status` tells, as plain data for JSON."""

from __future__ import annotations

import os
from typing import Any

from hostler.arbiter.fleet import Fleet
from hostler.arbiter.plan import Plan
from hostler.proc.memory import rss
from hostler.stats.scoreboard import Scoreboard

__all__ = ["status"]


def status(fleet: Fleet, board: Scoreboard, plan: Plan, started_ns: int, now_ns: int, directory: str) -> dict[str, Any]:
    """The server and its workers now; times in seconds, memory in bytes. `directory`: that it was started in."""
    listeners = [listener for listener in plan.listeners if listener.is_open]  # while it stops, none
    return {
        "version": plan.version,
        "pid": os.getpid(),
        "app": next((value for name, value, _ in plan.shown if name == "app"), "none"),
        "directory": directory,
        "state": fleet.state.value,
        "uptime": round((now_ns - started_ns) / 1e9, 1),
        "listening": [listener.url for listener in listeners if not listener.is_admin],
        "probes": [listener.url for listener in listeners if listener.is_admin],
        "reloading": fleet.rollout is not None,
        "workers": [
            _worker(board, worker.slot, worker.pid, worker.state.value, now_ns)
            for worker in fleet.workers
            if worker.pid
        ],
        "wanted": fleet.size,
        "most": fleet.most,
    }


def _worker(board: Scoreboard, slot: int, pid: int, state: str, now_ns: int) -> dict[str, Any]:
    seen = board.read(slot)
    return {
        "worker": slot,
        "pid": pid,
        "state": state,
        "age": round(max(0, now_ns - seen.started_ns) / 1e9, 1),
        "requests": seen.requests,
        "errors": seen.status_5xx,
        "in_flight": seen.in_flight,
        "queued": seen.queued,
        "connections": seen.connections,
        "threads": seen.threads,
        "rss": rss(pid),
    }
