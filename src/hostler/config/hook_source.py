"""Where server hooks come from: a Python file, or functions that a script gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

__all__ = ["NAMES", "HookSource"]

NAMES = (
    "on_starting", "on_reload", "when_ready", "pre_fork", "post_fork", "post_worker_init", "worker_int", "worker_abort",
    "pre_exec", "pre_request", "post_request", "child_exit", "worker_exit", "nworkers_changed", "on_exit",
)  # fmt: skip


class HookSource(NamedTuple):
    """A file that is run when the server starts and reloads, or what has been run already."""

    path: str = ""
    functions: Mapping[str, Callable[..., Any]] | None = None
    settings: Mapping[str, Any] | None = None  # what the hooks find in `cfg`, beside our own options
    is_gunicorn: bool = False  # of `hostler gunicorn`, without functions too: workers have gunicorn's loggers
    make_logger: Callable[[], Any] | None = None  # an object of the operator's logger_class
    around: Callable[[Any], Any] | None = None  # what is put around each WSGI application in a worker
