"""What the native core is told: every key, in plain types."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hostler.config import Config
from hostler.config.settings import Assignment
from hostler.logs import Logs
from hostler.worker.interfaces import Mounted
from hostler.worker.settings import core_settings, parallel_threads, response_memory, share

WSGI = Mounted(lambda environ, start_response: [], False, "", ())
ASGI = Mounted(lambda scope, receive, send: None, True, "/api", ())

KEYS = {
    "threads": int, "initial_threads": int, "thread_idle": float, "cpus": int, "greenlets": bool,
    "workers": int, "balance": str, "inboxes": list,
    "queue_timeout": float, "slow_request": float, "request_timeout": float,
    "health_path": type(None), "metrics_path": str, "limit_request_line": int, "limit_request_head": int,
    "limit_request_fields": int, "limit_request_body": int, "body_memory": int, "temp_dir": type(None),
    "response_buffer": int, "response_file": int, "response_memory": int, "read_timeout": float,
    "header_timeout": float, "body_timeout": float, "min_rate": int, "keepalive": float,
    "write_timeout": float, "worker_connections": int, "queue_size": int, "server_header": str,
    "mounts": list, "loop_polls": bool, "root_path": str, "trusted_proxies": str, "proxy_headers": str,
    "ws_max_size": int,
    "ws_max_frame_size": int, "ws_max_queue": int, "ws_per_message_deflate": str, "ws_ping_interval": float,
    "ws_ping_timeout": float, "ws_handshake_timeout": float, "ws_lifetime": float,
    "access_log_fd": int, "access_log_format": str, "error_log_fd": int, "log_level": int, "retry_after": int,
    "max_requests": int, "proxy_protocol": str, "proxy_allow_ips": str,
    "disconnect_grace": float, "ignores_late_sends": bool, "pathsend": bool,
}  # fmt: skip


def config(**options: object) -> Config:
    return Config([Assignment(name, value, "test", "test") for name, value in options.items()])


def test_every_key_has_a_plain_type() -> None:
    settings = core_settings(config(), Logs(), [WSGI])
    assert {key: type(value) for key, value in settings.items()} == KEYS


def test_values() -> None:
    settings = core_settings(config(limit_request_line="1K", keepalive="2m", threads=3), Logs(), [WSGI])
    assert (settings["limit_request_line"], settings["keepalive"], settings["threads"]) == (1024, 120.0, 3)
    assert (settings["access_log_fd"], settings["error_log_fd"], settings["log_level"]) == (-1, 2, 20)


@pytest.mark.parametrize(
    ("options", "threads"),
    [
        ({}, (256, 1, 20.0)),
        ({"max_threads": 40, "thread_idle": "3s"}, (40, 1, 3.0)),
        ({"threads": 3}, (3, 3, None)),
        ({"threads": 1, "max_threads": 40}, (1, 1, None)),
    ],
)
def test_threads_grow_from_one_or_stay(options: dict[str, object], threads: tuple[object, ...]) -> None:
    settings = core_settings(config(**options), Logs(), [WSGI])
    assert (settings["threads"], settings["initial_threads"], settings["thread_idle"]) == threads


def test_jitter_adds_by_chance() -> None:
    assert core_settings(config(max_requests_jitter=5), Logs(), [WSGI])["max_requests"] == 0
    assert core_settings(config(max_requests=5), Logs(), [WSGI])["max_requests"] == 5
    found = {share(100, 3) for _ in range(500)}
    assert found == {100, 101, 102, 103}


@pytest.mark.parametrize(
    ("memory", "share"), [(0, 16 << 20), (512 << 20, 16 << 20), (2 << 30, 64 << 20), (64 << 30, 256 << 20)]
)
def test_responses_may_hold_a_share_of_the_memory_within_bounds(memory: int, share: int) -> None:
    assert response_memory(memory) == share


def test_response_memory_that_was_chosen_is_taken() -> None:
    assert core_settings(config(response_memory="5M"), Logs(), [WSGI])["response_memory"] == 5 << 20


def test_parallel_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parallel_threads() == 1
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    assert parallel_threads() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("option", "value"), [("off", ""), ("shop", "shop")])
def test_server_header(option: str, value: str) -> None:
    assert core_settings(config(server_header=option), Logs(), [WSGI])["server_header"] == value


def test_log_files_are_descriptors(tmp_path: Path) -> None:
    logs = Logs(str(tmp_path / "error"), str(tmp_path / "access"))
    settings = core_settings(config(), logs, [WSGI])
    assert (settings["error_log_fd"], settings["access_log_fd"]) == (logs.error_fd, logs.access_fd)
    logs.close()


def test_event_loop_polls_where_every_app_is_asgi() -> None:
    alone = core_settings(config(), Logs(), [ASGI])
    assert (alone["loop_polls"], alone["initial_threads"]) == (True, 0)
    beside = core_settings(config(), Logs(), [ASGI, WSGI])
    assert (beside["loop_polls"], beside["initial_threads"]) == (False, 1)
    assert beside["mounts"] == [("/api", True, True, True), ("", True, False, False)]
