"""Names: spellings, slips of the pen, and the words of other servers."""

from __future__ import annotations

import pytest

from hostler.config.names import closest, did_you_mean, find, hint, nearest


@pytest.mark.parametrize("name", ["worker_connections", "worker-connections"])
def test_find(name: str) -> None:
    option = find(name)
    assert option is not None
    assert option.name == "worker_connections"


@pytest.mark.parametrize("name", ["", "worker", "Workers", "WORKERS"])
def test_find_is_exact(name: str) -> None:
    assert find(name) is None


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        # slips of the pen
        ("worker", "workers"),
        ("wrokers", "workers"),
        ("THREAD", "threads"),
        ("keep-alive", "keepalive"),
        ("gracefultimeout", "graceful_timeout"),
        ("limit_request_bodies", "limit_request_body"),
        # gunicorn
        ("accesslog", "access_log"),
        ("access-logfile", "access_log"),
        ("loglevel", "log_level"),
        ("pid", "pidfile"),
        ("limit-request-field-size", "limit_request_head"),
        # uWSGI
        ("processes", "workers"),
        ("http-socket", "bind"),
        ("listen", "backlog"),
        ("buffer-size", "limit_request_head"),
        ("chmod-socket", "unix_mode"),
        ("buffersize", "limit_request_head"),  # a slip in one of those
        # uvicorn
        ("timeout-keep-alive", "keepalive"),
        ("timeout-graceful-shutdown", "graceful_timeout"),
        ("host", "bind"),
        ("app-dir", "pythonpath"),
    ],
)
def test_nearest(name: str, meant: str) -> None:
    option = nearest(name)
    assert option is not None
    assert option.name == meant


@pytest.mark.parametrize("name", ["", "worker_tmp_dir", "paste", "ssl_keyfile", "colour", "x"])
def test_a_wrong_hint_is_worse_than_none(name: str) -> None:
    """gunicorn's `timeout` is neither boot_timeout nor write_timeout."""
    assert nearest(name) is None


def test_hint_spells_as_its_source_does() -> None:
    assert hint("worker", lambda option: option.flag) == ' - did you mean "--workers"?'
    assert hint("worker", lambda option: option.variable) == ' - did you mean "HOSTLER_WORKERS"?'
    assert hint("colour", lambda option: option.name) == ""


def test_did_you_mean() -> None:
    assert did_you_mean(closest("serv", ["serve", "check"])) == ' - did you mean "serve"?'
    assert did_you_mean(closest("launch", ["serve", "check"])) == ""
