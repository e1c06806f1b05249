"""Environment variables: ours, the platforms', and those that only look like ours."""

from __future__ import annotations

import pytest

from ostler.config.settings import Assignment
from ostler.config.sources.environment import from_environment, from_platform
from ostler.errors import ConfigError


def test_variables() -> None:
    environ = {"OSTLER_WORKERS": "2", "PATH": "/bin", "OSTLER_LIMIT_REQUEST_BODY": "1M", "OSTLER_APP": "shop.wsgi"}
    assert from_environment(environ) == [
        Assignment("workers", "2", "OSTLER_WORKERS", "OSTLER_WORKERS"),
        Assignment("limit_request_body", "1M", "OSTLER_LIMIT_REQUEST_BODY", "OSTLER_LIMIT_REQUEST_BODY"),
        Assignment("app", "shop.wsgi", "OSTLER_APP", "OSTLER_APP"),
    ]


def test_empty_counts_as_unset() -> None:
    assert from_environment({"OSTLER_WORKERS": "", "OSTLER_NONSENSE": ""}) == []
    assert from_platform({"PORT": "", "WEB_CONCURRENCY": ""}) == []


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("OSTLER_WORKER", ' - did you mean "OSTLER_WORKERS"?'),
        ("OSTLER_TIMEOUT_KEEP_ALIVE", ' - did you mean "OSTLER_KEEPALIVE"?'),
        ("OSTLER_COLOUR", ""),
        ("OSTLER_", ""),
    ],
)
def test_unknown_variable(variable: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_environment({variable: "1"})
    assert caught.value.message == f'unknown option "{variable}" in the environment{hint}'


@pytest.mark.parametrize(
    "variable",
    [
        "OSTLER_SERVICE_HOST",
        "OSTLER_SERVICE_PORT",
        "OSTLER_SERVICE_PORT_HTTP",
        "OSTLER_PORT",
        "OSTLER_PORT_80_TCP",
        "OSTLER_PORT_80_TCP_ADDR",
        "OSTLER_WEB_SERVICE_HOST",
        "OSTLER_WEB_PORT_8000_TCP_PROTO",
    ],
)
def test_kubernetes_service_links_are_ignored(variable: str) -> None:
    assert from_environment({variable: "tcp://10.0.0.7:80"}) == []


def test_platform() -> None:
    assert from_platform({"PORT": "5000", "WEB_CONCURRENCY": "3", "HOME": "/"}) == [
        Assignment("bind", "0.0.0.0:5000", "PORT", "PORT"),
        Assignment("workers", "3", "WEB_CONCURRENCY", "WEB_CONCURRENCY"),
    ]
