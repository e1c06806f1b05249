"""hostler's native core in gunicorn's workers: `gunicorn -k hostler.integrations.gunicorn.Worker shop.wsgi`.

gunicorn's arbiter stays: its configuration, its signals, its reload. What a worker does with connections is ours:
threads that come while requests wait, slow clients that cost no thread, WSGI and ASGI. `threads` above 1 fixes their
number.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

from gunicorn.workers.base import Worker as Base

from hostler.config import Config
from hostler.config.hook_source import HookSource
from hostler.config.settings import Assignment
from hostler.errors import BootError
from hostler.logs import Logs
from hostler.proc.channel import Channel
from hostler.proc.dump import Dump
from hostler.proc.sockets import Listener
from hostler.stats.scoreboard import Scoreboard
from hostler.worker.interfaces import is_asgi

__all__ = ["Worker"]

# gunicorn's settings that are ours by another name; those that it leaves as they are keep our defaults.
_OPTIONS = {
    "worker_connections": "worker_connections", "max_requests": "max_requests", "keepalive": "keepalive",
    "max_requests_jitter": "max_requests_jitter", "limit_request_fields": "limit_request_fields",
    "access_log_format": "access_log_format", "root_path": "root_path", "tmp_upload_dir": "temp_dir",
    "asgi_loop": "loop", "asgi_lifespan": "lifespan",
}  # fmt: skip


class Worker(Base):  # type: ignore[misc]  # gunicorn has no annotations
    """A worker class for gunicorn."""

    def run(self) -> None:
        """Serve until gunicorn's arbiter wants an end, or is gone."""
        from hostler.worker.worker import Worker as Native

        if self.cfg.is_ssl:
            self.log.error("hostler.integrations.gunicorn.Worker has no TLS: let a proxy end it (certfile, keyfile)")
            sys.exit(BootError.exit_code)  # 3, at which gunicorn halts
        config = Config(self._assignments())
        logs = Logs(self.cfg.errorlog, self.cfg.accesslog, config.log_level)
        listeners = [Listener(each.sock, is_ours=False) for each in self.sockets]
        board = _Board(self)
        ours, theirs = Channel.pair()
        app = _Line(theirs, self)
        native = Native(config, listeners, board, 0, app, Dump(), logs, self._hooked(logs), end=_leave)
        try:
            code = native.run()
        finally:
            ours.close()
            app.close()
        sys.exit(code)  # it could not start, and has said why

    def _hooked(self, logs: Logs) -> Any:
        """The application, with the request hooks around it that are set."""
        from hostler.hooks import Hooks

        settings = {name: self.cfg.settings[name] for name in ("pre_request", "post_request")}
        functions = {name: each.get() for name, each in settings.items() if each.get() is not each.default}
        hooks = Hooks(HookSource(functions=functions), {}, logs)
        return hooks.wrap(self, self.wsgi, is_asgi(self.wsgi))

    def _assignments(self) -> Iterator[Assignment]:
        cfg = self.cfg
        for theirs, option in _OPTIONS.items():
            setting = cfg.settings[theirs]
            value = setting.get()
            if value != setting.default and value not in (None, ""):
                yield _assign(option, value)
        yield _assign("workers", cfg.workers)
        if cfg.threads > 1:
            yield _assign("threads", cfg.threads)
        level = str(cfg.loglevel).lower()
        yield _assign("log_level", {"critical": "error", "warn": "warning"}.get(level, level))
        yield _assign("graceful_timeout", cfg.graceful_timeout)
        yield _assign("worker_timeout", cfg.timeout or 30)
        yield _assign("forwarded_allow_ips", _trusted(cfg.forwarded_allow_ips))
        read = "on" if is_asgi(self.wsgi) else "scheme"  # the client too, as uvicorn's worker; WSGI has middleware
        yield _assign("proxy_headers", read if cfg.secure_scheme_headers else "off")
        if cfg.proxy_protocol != "off":
            yield _assign("proxy_protocol", {"auto": "on"}.get(cfg.proxy_protocol, cfg.proxy_protocol))
            yield _assign("proxy_allow_ips", _trusted(cfg.proxy_allow_ips))
        if cfg.limit_request_line != cfg.settings["limit_request_line"].default:
            most = cfg.limit_request_line or 32768
            yield _assign("limit_request_line", min(max(most, 64), 32768))


class _Board(Scoreboard):
    """The scoreboard of one worker; its heartbeat is gunicorn's too."""

    def __init__(self, worker: Base) -> None:
        super().__init__(1)
        self._worker = worker

    def beat(self, slot: int) -> None:
        """Say that we are alive; end when nobody is there to hear it."""
        super().beat(slot)
        self._worker.notify()
        if os.getppid() != self._worker.ppid:
            os.kill(os.getpid(), signal.SIGTERM)


class _Line(Channel):
    """What our worker would say to our arbiter: it wants to be replaced, or cannot start."""

    def __init__(self, channel: Channel, worker: Base) -> None:
        super().__init__(channel._sock)
        self._worker = worker

    def send(self, message: str) -> bool:
        """Do what follows from a word: gunicorn starts another worker for one that ends."""
        word, _, text = message.partition("\n")
        if word in ("retire", "renew"):
            self._worker.log.info("%s", text)
            os.kill(os.getpid(), signal.SIGTERM)
        elif word == "ready" and not self._worker.alive:  # gunicorn's handler has heard TERM before ours was there
            os.kill(os.getpid(), signal.SIGTERM)
        elif word.startswith("failed"):
            self._worker.log.error("%s", text)
        return True

    def die_with_peer(self, wanted: bool) -> None:
        """Both ends are ours."""


def _trusted(allowed: Any) -> str:
    """Proxies: gunicorn trusts those that come by a unix socket, whatever the list says."""
    return (allowed if isinstance(allowed, str) else ",".join(map(str, allowed))) or "unix"


def _assign(option: str, value: Any) -> Assignment:
    return Assignment(option, value, "gunicorn", f"gunicorn: {option}")


def _leave(code: int) -> NoReturn:
    """Back to gunicorn's arbiter code in this process, which calls its hooks and ends it."""
    raise SystemExit(code)
