"""Config and the table: defaults, types, sources, and rules that every option keeps."""

from __future__ import annotations

from typing import Any

import pytest

from hostler.config.address import TcpAddress
from hostler.config.option import Option
from hostler.config.settings import GROUPS, OPTIONS, Assignment, Config
from hostler.config.units import Duration, Mode, Size
from hostler.errors import ConfigError

EVERY_OPTION = pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS.keys())


def assignment(name: str, value: object, where: str = "--test") -> Assignment:
    return Assignment(name, value, where, where)


def test_defaults() -> None:
    """The documented ones: changing a default is a decision, so it takes a change here as well."""
    combined = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
    assert dict(Config().values) == {
        "app": (),
        "interface": "auto",
        "lifespan": "auto",
        "send_after_disconnect": "raise",
        "root_path": None,
        "prepend_root_path": "on",
        "proxy_headers": "on",
        "forwarded_allow_ips": "127.0.0.1,::1",
        "loop": "auto",
        "loop_lag": 1.0,
        "ws_max_size": 16 << 20,
        "ws_max_frame_size": 16 << 20,
        "ws_max_queue": 32,
        "ws_per_message_deflate": "on",
        "ws_ping_interval": 20.0,
        "ws_ping_timeout": 20.0,
        "ws_handshake_timeout": 10.0,
        "ws_lifetime": 0.0,
        "chdir": None,
        "pythonpath": (),
        "server_header": "hostler",
        "bind": (TcpAddress("127.0.0.1", 8000),),
        "backlog": 2048,
        "unix_mode": 0o660,
        "workers": 1,
        "balance": "even",
        "preload": "off",
        "min_workers": 1,
        "max_workers": None,
        "log_config": None,
        "syslog": None,
        "syslog_access": "on",
        "syslog_prefix": None,
        "syslog_facility": "user",
        "statsd": None,
        "statsd_prefix": None,
        "statsd_tags": (),
        "hooks": None,
        "proxy_protocol": "off",
        "proxy_allow_ips": "127.0.0.1,::1",
        "reload": "off",
        "reload_extra_files": (),
        "reuse_port": "off",
        "env": (),
        "capture_output": "off",
        "proc_name": None,
        "daemon": "off",
        "reload_batch": 1,
        "touch_reload": (),
        "max_requests": 0,
        "max_requests_jitter": 0,
        "max_rss": 0,
        "max_pss": 0,
        "max_lifetime": 0.0,
        "memory_budget": 0,
        "stream_drain": 2.0,
        "disconnect_grace": 3.0,
        "pathsend": "off",
        "drain_delay": 0.0,
        "admin_bind": (),
        "health_path": None,
        "metrics_path": "/metrics",
        "driver": "threads",
        "threads": None,
        "max_threads": 256,
        "thread_idle": 20.0,
        "queue_timeout": 30.0,
        "request_timeout": 0.0,
        "slow_request": 10.0,
        "worker_timeout": 30.0,
        "control": "auto",
        "worker_connections": 16384,
        "queue_size": 1024,
        "retry_after": 1,
        "limit_request_line": 8 << 10,
        "limit_request_head": 32 << 10,
        "limit_request_fields": 100,
        "limit_request_body": 1 << 30,
        "body_memory": 256 << 10,
        "temp_dir": None,
        "response_buffer": 1 << 20,
        "response_file": 1 << 30,
        "response_memory": None,
        "read_timeout": 30.0,
        "header_timeout": 15.0,
        "body_timeout": 15.0,
        "min_rate": 256,
        "keepalive": 75.0,
        "write_timeout": 60.0,
        "graceful_timeout": 30.0,
        "boot_timeout": 0.0,
        "access_log": None,
        "access_log_format": combined,
        "error_log": "-",
        "error_log_format": "text",
        "log_level": 20,
        "config": None,
        "pidfile": None,
        "user": None,
        "group": None,
        "umask": None,
    }


@EVERY_OPTION
def test_option_is_complete(option: Option[Any]) -> None:
    assert option.about.endswith(".")
    assert option.name == option.name.lower()
    default = option.kind.parse(option.default)
    assert option.kind.parse(option.kind.show(default)) == default


@EVERY_OPTION
def test_option_reads_what_it_shows(option: Option[Any]) -> None:
    """What `hostler check` prints can be written into a file."""
    config = Config([assignment(option.name, option.default_text)])
    assert config.values[option.name] == Config().values[option.name]


def test_names_are_unambiguous() -> None:
    flags = [flag for option in OPTIONS.values() for flag in (option.short, option.flag) if flag]
    assert len(flags) == len(set(flags))
    assert not {"-h", "-V", "--help", "--version"} & set(flags)
    # A --no- form must not hide an option of that name.
    assert not [name for name in OPTIONS if name.startswith("no_")]


def test_names_in_other_servers_are_given_once() -> None:
    for server in ("gunicorn", "uwsgi", "uvicorn"):
        names = [name for option in OPTIONS.values() for name in getattr(option, server)]
        assert len(names) == len(set(names)), server
        assert all(name == name.lower() and "-" not in name for name in names)


def test_groups_have_headings() -> None:
    assert [group.heading for group in GROUPS if not group.heading or not group.about.endswith(".")] == []
    assert len({group.heading for group in GROUPS}) == len(GROUPS)


def test_later_assignments_win_and_are_remembered() -> None:
    config = Config([assignment("workers", 2, "hostler.toml:1"), assignment("workers", "3", "HOSTLER_WORKERS")])
    assert config.workers == 3
    assert config.source("workers") == "HOSTLER_WORKERS"
    assert config.source("threads") == "default"


def test_values_have_their_types() -> None:
    config = Config()
    assert isinstance(config.keepalive, Duration)
    assert isinstance(config.limit_request_body, Size)
    assert isinstance(config.unix_mode, Mode)


def test_config_is_immutable() -> None:
    config = Config()
    with pytest.raises(AttributeError):
        config.workers = 2  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        config.wokers = 2  # type: ignore[attr-defined]


def test_ill_typed_value_names_its_source() -> None:
    """Even when a later source would win: it would come to light at a bad moment."""
    wrong = Assignment("workers", "many", "hostler.toml:3", "hostler.toml:3: workers")
    complaint = r'^hostler\.toml:3: workers: "many" is not a whole number from 1 to 1000, or "auto"$'
    with pytest.raises(ConfigError, match=complaint):
        Config([wrong, assignment("workers", 2)])


def test_complaint_names_the_source_or_the_option() -> None:
    config = Config([assignment("workers", 2, "HOSTLER_WORKERS")])
    assert config.complaint("workers", "too few").message == "HOSTLER_WORKERS: too few"
    assert config.complaint("threads", "too few").message == "threads: too few"


def test_lines_show_every_option() -> None:
    lines = list(Config([assignment("keepalive", 120, "--keepalive")]).lines())
    assert [name for name, _, _ in lines] == list(OPTIONS)
    assert ("keepalive", "2m", "--keepalive") in lines
    assert ("log_level", "info", "default") in lines
