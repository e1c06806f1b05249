"""The options that the native core takes, in its words: plain numbers, descriptors, no None."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

from hostler.proc.machine import memory, processors

if TYPE_CHECKING:
    from hostler.config import Config
    from hostler.logs import Logs
    from hostler.worker.interfaces import Mounted

__all__ = ["core_settings"]

_SAME = (
    "worker_connections", "queue_size", "retry_after",
    "limit_request_line", "limit_request_head", "limit_request_fields", "limit_request_body",
    "body_memory", "response_buffer", "response_file", "min_rate",
    "ws_max_size", "ws_max_frame_size", "ws_max_queue",
)  # fmt: skip
_SECONDS = (
    "header_timeout", "body_timeout", "read_timeout", "keepalive", "write_timeout",
    "queue_timeout", "slow_request", "request_timeout",
    "disconnect_grace", "ws_ping_interval", "ws_ping_timeout", "ws_handshake_timeout", "ws_lifetime",
)  # fmt: skip

_IDLE_IN_DEVELOPMENT = 0.1
# The share of the memory that one worker's responses may hold, and its bounds in bytes.
_RESPONSES, _LEAST_RESPONSES, _MOST_RESPONSES = 32, 16 << 20, 256 << 20


def core_settings(
    config: Config, logs: Logs, apps: Sequence[Mounted], inboxes: Sequence[tuple[int, int]] = ()
) -> dict[str, object]:
    """What `Core` gets as its settings. `inboxes`: see `proc.inboxes`."""
    settings: dict[str, object] = {name: int(config.values[name]) for name in _SAME}
    settings.update((name, float(config.values[name])) for name in _SECONDS)
    if config.reload == "on":  # a browser must not find the old code at the end of its idle connection
        settings["keepalive"] = min(float(config.keepalive), _IDLE_IN_DEVELOPMENT)
    most = config.max_workers or max(config.min_workers, ceil(processors()))
    if config.reload == "on":
        most = config.min_workers
    settings["workers"] = config.workers or most  # more than one: wsgi.multiprocess
    is_auto = config.threads is None
    settings["threads"] = config.threads or config.max_threads
    settings["initial_threads"] = config.threads or 1
    settings["thread_idle"] = float(config.thread_idle) if is_auto else None
    settings["greenlets"] = config.driver == "gevent"
    settings["mounts"] = [(app.path, *app.takes, app.is_asgi) for app in apps]
    settings["balance"] = config.balance
    settings["inboxes"] = list(inboxes)
    settings["loop_polls"] = all(app.is_asgi for app in apps)
    if settings["loop_polls"]:
        settings["initial_threads"] = 0
    settings["root_path"] = config.root_path or ""
    settings["proxy_headers"] = config.proxy_headers
    settings["trusted_proxies"] = config.forwarded_allow_ips if config.proxy_headers != "off" else ""
    settings["proxy_protocol"] = config.proxy_protocol
    settings["proxy_allow_ips"] = config.proxy_allow_ips
    settings["ws_per_message_deflate"] = config.ws_per_message_deflate
    settings["max_requests"] = share(config.max_requests, config.max_requests_jitter)
    settings["cpus"] = parallel_threads()
    settings["health_path"] = config.health_path
    settings["metrics_path"] = config.metrics_path
    settings["temp_dir"] = config.temp_dir
    settings["response_memory"] = int(config.response_memory or response_memory(memory()))
    settings["server_header"] = config.server_header or ""
    settings["access_log_fd"] = logs.access_fd
    settings["access_log_format"] = config.access_log_format
    settings["error_log_fd"] = logs.error_fd if logs.core_error_fd < 0 else logs.core_error_fd
    settings["ignores_late_sends"] = config.send_after_disconnect == "ignore"
    settings["pathsend"] = config.pathsend == "on"
    settings["log_level"] = logs.level  # which may have been changed since the start
    return settings


def response_memory(memory: int) -> int:
    """What responses may hold of so much memory (bytes): a 32nd, within bounds."""
    return min(max(memory // _RESPONSES, _LEAST_RESPONSES), _MOST_RESPONSES)


def share(requests: int, jitter: int) -> int:
    """`requests`, and up to `jitter` more by chance, so that workers that began together do not end together."""
    if not requests or not jitter:
        return requests
    return requests + int.from_bytes(os.urandom(8), "little") % (jitter + 1)


def parallel_threads() -> int:
    """How many threads can run Python code at the same time: 1, or without the GIL our CPUs."""
    has_lock = getattr(sys, "_is_gil_enabled", lambda: True)()  # PEP 703
    return 1 if has_lock else len(os.sched_getaffinity(0))
