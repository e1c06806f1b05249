"""Answers of a server, as arbiter/live.py gives them."""

from __future__ import annotations

from typing import Any


def worker(number: int, pid: int, **numbers: Any) -> dict[str, Any]:
    """One that is ready and has done nothing, but for `numbers`."""
    return {
        "worker": number, "pid": pid, "state": "ready", "age": 60.0, "requests": 0, "statuses": [0, 0, 0, 0, 0],
        "bytes_in": 0, "bytes_out": 0, "in_flight": 0, "queued": 0, "connections": 0, "threads": 1, "threads_busy": 0,
        "queue_ns": 0, "busy_ns": 0, "latency": [], **numbers,
    }  # fmt: skip


def request(number: int, age: float, path: str = "/", thread: int = 7) -> dict[str, Any]:
    """One in flight, of a worker."""
    return {"worker": number, "thread": thread, "method": "GET", "path": path, "age": age}


def answer(uptime: float, *workers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Of a server with these workers."""
    return {
        "version": "0.1.0", "pid": 99, "state": "serving", "uptime": uptime, "listening": ["http://127.0.0.1:8000"],
        "reloading": False, "wanted": len(workers), "most": 2 * len(workers),
        "restarts": {"died": 0, "limit": 0, "reload": 0, "timeout": 0}, "workers": list(workers), "running": [],
        **fields,
    }  # fmt: skip
