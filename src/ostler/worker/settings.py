"""The options that the native core takes, in its words: plain numbers, descriptors, no None."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ostler.config import Config
    from ostler.logs import Logs

__all__ = ["core_settings"]

_SAME = (
    "threads", "workers", "worker_connections", "queue_size", "retry_after",
    "limit_request_line", "limit_request_head", "limit_request_fields", "limit_request_body",
    "body_memory", "response_buffer", "min_rate", "log_level",
)  # fmt: skip
_SECONDS = ("header_timeout", "body_timeout", "keepalive", "write_timeout")


def core_settings(config: Config, logs: Logs) -> dict[str, object]:
    """What `Core` gets as its settings."""
    settings: dict[str, object] = {name: int(config.values[name]) for name in _SAME}
    settings.update((name, float(config.values[name])) for name in _SECONDS)
    settings["temp_dir"] = config.temp_dir
    settings["server_header"] = config.server_header or ""
    settings["access_log_fd"] = logs.access_fd
    settings["access_log_format"] = config.access_log_format
    settings["error_log_fd"] = logs.error_fd
    return settings
