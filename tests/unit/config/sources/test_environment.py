"""Environment variables: ours, the platforms', and those that only look like ours."""

from __future__ import annotations

import pytest

from hostler.config.settings import Assignment
from hostler.config.sources.environment import from_environment, from_platform
from hostler.errors import ConfigError


def test_variables() -> None:
    environ = {"HOSTLER_WORKERS": "2", "PATH": "/bin", "HOSTLER_LIMIT_REQUEST_BODY": "1M", "HOSTLER_APP": "shop.wsgi"}
    assert from_environment(environ) == [
        Assignment("workers", "2", "HOSTLER_WORKERS", "HOSTLER_WORKERS"),
        Assignment("limit_request_body", "1M", "HOSTLER_LIMIT_REQUEST_BODY", "HOSTLER_LIMIT_REQUEST_BODY"),
        Assignment("app", "shop.wsgi", "HOSTLER_APP", "HOSTLER_APP"),
    ]


def test_empty_counts_as_unset() -> None:
    assert from_environment({"HOSTLER_WORKERS": "", "HOSTLER_NONSENSE": ""}) == []
    assert from_platform({"PORT": "", "WEB_CONCURRENCY": ""}) == []


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("HOSTLER_WORKER", ' - did you mean "HOSTLER_WORKERS"?'),
        ("HOSTLER_TIMEOUT_KEEP_ALIVE", ' - did you mean "HOSTLER_KEEPALIVE"?'),
        ("HOSTLER_COLOUR", ""),
        ("HOSTLER_", ""),
    ],
)
def test_unknown_variable(variable: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_environment({variable: "1"})
    assert caught.value.message == f'unknown option "{variable}" in the environment{hint}'


@pytest.mark.parametrize(
    "variable",
    [
        "HOSTLER_SERVICE_HOST",
        "HOSTLER_SERVICE_PORT",
        "HOSTLER_SERVICE_PORT_HTTP",
        "HOSTLER_PORT",
        "HOSTLER_PORT_80_TCP",
        "HOSTLER_PORT_80_TCP_ADDR",
        "HOSTLER_WEB_SERVICE_HOST",
        "HOSTLER_WEB_PORT_8000_TCP_PROTO",
    ],
)
def test_kubernetes_service_links_are_ignored(variable: str) -> None:
    assert from_environment({variable: "tcp://10.0.0.7:80"}) == []


def test_platform() -> None:
    assert from_platform({"PORT": "5000", "WEB_CONCURRENCY": "3", "HOME": "/"}) == [
        Assignment("bind", "0.0.0.0:5000", "PORT", "PORT"),
        Assignment("workers", "3", "WEB_CONCURRENCY", "WEB_CONCURRENCY"),
    ]
