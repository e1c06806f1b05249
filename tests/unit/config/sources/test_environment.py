"""Environment variables: ours, the platforms', and those that only look like ours."""

from __future__ import annotations

import pytest

from hostler.config.settings import Assignment
from hostler.config.sources.environment import from_environment, from_platform, warn_of_variables


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
def test_unknown_variable_is_ignored_with_a_warning_that_names_the_nearest(variable: str, hint: str) -> None:
    assert from_environment({variable: "1"}) == []
    said = f"the environment variable {variable} is no option and is ignored{hint}"
    assert list(warn_of_variables({variable: "1"})) == [said]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HOSTLER_SERVICE_HOST", "10.0.0.7"),
        ("HOSTLER_SERVICE_PORT", "80"),
        ("HOSTLER_SERVICE_PORT_HTTP", "80"),
        ("HOSTLER_PORT", "tcp://10.0.0.7:80"),
        ("HOSTLER_PORT_80_TCP", "tcp://10.0.0.7:80"),
        ("HOSTLER_PORT_80_TCP_ADDR", "10.0.0.7"),
        ("HOSTLER_PORT_80_TCP_PORT", "80"),
        ("HOSTLER_WEB_SERVICE_HOST", "10.0.0.7"),
        ("HOSTLER_WEB_PORT_8000_TCP_PROTO", "tcp"),
        ("HOSTLER_REUSE_PORT", "tcp://10.0.0.7:80"),  # of a Service "hostler-reuse"; the option has no such value
    ],
)
def test_kubernetes_service_link_is_ignored_without_a_word(variable: str, value: str) -> None:
    assert from_environment({variable: value}) == []
    assert list(warn_of_variables({variable: value})) == []


def test_option_that_looks_like_a_service_link_is_an_option() -> None:
    assert from_environment({"HOSTLER_REUSE_PORT": "on"})[0].value == "on"
    assert from_environment({"HOSTLER_SYSLOG": "tcp://log:514"})[0].value == "tcp://log:514"


def test_port_that_is_a_number_gets_a_warning_that_names_bind() -> None:
    assert from_environment({"HOSTLER_PORT": "8000"}) == []
    [said] = warn_of_variables({"HOSTLER_PORT": "8000"})
    assert said.endswith("HOSTLER_PORT is no option and is ignored; to listen on port 8000 set HOSTLER_BIND=:8000")


def test_platform() -> None:
    assert from_platform({"PORT": "5000", "WEB_CONCURRENCY": "3", "HOME": "/"}) == [
        Assignment("bind", "0.0.0.0:5000", "PORT", "PORT"),
        Assignment("workers", "3", "WEB_CONCURRENCY", "WEB_CONCURRENCY"),
    ]
