"""Arbiter and worker put together: the only place that knows both."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ostler import __version__
from ostler.arbiter.arbiter import Arbiter
from ostler.arbiter.fleet import Fleet, Timing
from ostler.arbiter.listeners import open_listeners
from ostler.errors import OstlerError
from ostler.logs import Logs, ensure_standard_streams
from ostler.proc.limits import raise_open_files
from ostler.proc.pidfile import Pidfile
from ostler.stats.scoreboard import Scoreboard

if TYPE_CHECKING:
    from ostler.config import Config
    from ostler.proc.channel import Channel
    from ostler.proc.dump import Dump
    from ostler.proc.sockets import Listener

__all__ = ["run"]

# How long TCP handshakes that have begun may take, once newcomers are refused. Measured with 60 clients at a
# round trip of 4 and 20 ms: without it a stop resets 21 and 15 connections, with it none. Who is farther away
# comes through a proxy that is not.
_HANDSHAKES = 0.1


def run(config: Config, app: Callable[..., Any] | None = None) -> int:
    """Serve `app` (None: the one that `config` names) until a signal ends it; returns the exit code."""
    threading = sys.modules.get("threading")
    if threading is not None and threading.current_thread() is not threading.main_thread():
        raise OstlerError("a server can be started by the main thread only: signals come to no other")
    ensure_standard_streams()
    if config.chdir is not None:
        os.chdir(config.chdir)
    logs = Logs(config.error_log, config.access_log, config.log_level)
    pidfile = Pidfile(config.pidfile) if config.pidfile is not None else None
    listeners: list[Listener] = []
    try:
        raise_open_files()
        if pidfile is not None:
            pidfile.write()
        listeners += open_listeners(
            config.bind, backlog=config.backlog, unix_mode=config.unix_mode, logs=logs, admin=config.admin_bind
        )
        return _supervise(config, app, listeners, logs)
    finally:
        for listener in listeners:
            listener.close()
        if pidfile is not None:
            pidfile.remove()
        logs.close()


def _supervise(config: Config, app: Callable[..., Any] | None, listeners: list[Listener], logs: Logs) -> int:
    has_door = any(listener.is_ours and not listener.is_unix for listener in listeners)
    timing = Timing(
        config.graceful_timeout,
        config.boot_timeout,
        handshakes=_HANDSHAKES if has_door else 0.0,
        silence=config.worker_timeout,
    )
    fleet = Fleet(config.workers, timing)
    board = Scoreboard(fleet.slots)

    def work(slot: int, channel: Channel, dump: Dump) -> int:
        # Imported after the fork: the arbiter has no use for it, and each byte of its memory is paid for ever.
        from ostler.worker.worker import Worker

        return Worker(config, listeners, board, slot, channel, dump, logs, app).run()

    welcome = f"ostler {__version__} listening on {{url}} ({_size(config)})"
    return Arbiter(fleet, listeners, board, logs, work, welcome, config.control).run()


def _size(config: Config) -> str:
    """ "1 worker, up to 256 threads"."""
    workers, threads = config.workers, config.threads or config.max_threads
    upto = "up to " if config.threads is None else ""
    kind = "greenlet" if config.driver == "gevent" else "thread"
    return f"{workers} worker{'s' * (workers > 1)}, {upto}{threads} {kind}{'s' * (threads > 1)}"
