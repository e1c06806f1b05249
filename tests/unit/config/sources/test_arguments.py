"""The command line: every form, and every complaint."""

from __future__ import annotations

import shlex

import pytest

from hostler.config.sources.arguments import from_arguments
from hostler.errors import ConfigError


def values(line: str) -> dict[str, object]:
    return {each.name: each.value for each in from_arguments(shlex.split(line)).assignments}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", {}),
        ("shop.wsgi", {"app": "shop.wsgi"}),
        ("--app shop.wsgi", {"app": "shop.wsgi"}),
        ("--workers 4", {"workers": "4"}),
        ("--workers=4", {"workers": "4"}),
        ("-w 4", {"workers": "4"}),
        ("-w4", {"workers": "4"}),
        ("-w=4", {"workers": "4"}),
        ("-t 2 -b :80 -c x.toml", {"threads": "2", "bind": ":80", "config": "x.toml"}),
        ("--worker_connections 5", {"worker_connections": "5"}),
        ("--workers 4 shop.wsgi --threads 2", {"workers": "4", "app": "shop.wsgi", "threads": "2"}),
        ("--workers 1 --workers 2", {"workers": "2"}),
        ("-b :80 --bind unix:a -b:81", {"bind": ":80,unix:a,:81"}),
        ("--access-log -", {"access_log": "-"}),
        ("--access-log=-", {"access_log": "-"}),
        ("--pidfile=", {"pidfile": ""}),  # empty as it was written; the kind refuses it
        ("--no-access-log", {"access_log": "off"}),
        ("--no_pidfile", {"pidfile": "none"}),
        ("--access-log - --no-access-log", {"access_log": "off"}),
        ("--access-log-format='a=b %(h)s'", {"access_log_format": "a=b %(h)s"}),
        ("--workers 4 -- shop.wsgi", {"workers": "4", "app": "shop.wsgi"}),
        ("-- -strange.py", {"app": "-strange.py"}),
        ("-- --help", {"app": "--help"}),
        ("--", {}),
    ],
)
def test_forms(line: str, expected: dict[str, object]) -> None:
    assert values(line) == expected


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        ("--help", "help"),
        ("-h", "help"),
        ("--version", "version"),
        ("-V", "version"),
        ("shop.wsgi -w 2 --help", "help"),
        ("--help --nonsense", "help"),
    ],
)
def test_requests_come_before_everything_that_follows(line: str, request_: str) -> None:
    assert from_arguments(shlex.split(line)).request == request_


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("--worker 2", 'unknown option "--worker" - did you mean "--workers"?'),
        ("--worker=2", 'unknown option "--worker" - did you mean "--workers"?'),
        ("--timeout-keep-alive 5", 'unknown option "--timeout-keep-alive" - did you mean "--keepalive"?'),
        ("--hlep", 'unknown option "--hlep" - did you mean "--help"?'),
        ("--colour red", 'unknown option "--colour"'),
        ("--no-colour", 'unknown option "--no-colour"'),
        ("---workers 1", 'unknown option "---workers" - did you mean "--workers"?'),
        ("-x 1", 'unknown option "-x"'),
        ("-workers 2", 'unknown option "-workers" - did you mean "--workers"?'),
        ("--no-workers", "--no-workers: --workers cannot be switched off"),
        ("--no-access-log=1", "--no-access-log takes no value"),
        ("--threads", '--threads needs a value: a whole number from 1 to 256, or "auto"'),
        ("-t", '--threads needs a value: a whole number from 1 to 256, or "auto"'),
        ("--threads --workers 2", '--threads needs a value: a whole number from 1 to 256, or "auto"'),
        ("--pidfile -w 2", '--pidfile needs a value: a file, or "none"'),
        ("one two", 'unexpected "two": the application is "one" already'),
        ("one -- two", 'unexpected "two": the application is "one" already'),
    ],
)
def test_complaints(line: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_arguments(shlex.split(line))
    assert caught.value.message == complaint
    assert caught.value.exit_code == 2


def test_source_is_the_flag() -> None:
    assignments = from_arguments(["-w", "2", "shop.wsgi"]).assignments
    assert [(each.name, each.where, each.label) for each in assignments] == [
        ("workers", "--workers", "--workers"),
        ("app", "command line", "APP"),
    ]


@pytest.mark.parametrize(
    ("line", "bind"),
    [
        ("--host 0.0.0.0 --port 80", "0.0.0.0:80"),
        ("--host=::1 --port=80", "[::1]:80"),
        ("-p 80", "127.0.0.1:80"),
        ("-p80", "127.0.0.1:80"),
        ("-p=0", "127.0.0.1:0"),
        ("--port 80 --port 81", "127.0.0.1:81"),
        ("--host 0.0.0.0", "0.0.0.0:8000"),
        ("--host unix:/run/x", "unix:/run/x"),
    ],
)
def test_host_and_port_are_one_address(line: str, bind: str) -> None:
    [assignment] = from_arguments(line.split()).assignments
    assert (assignment.name, assignment.value) == ("bind", bind)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("-b :80 --port 81", "give either --bind or --host and --port"),
        ("--host x -b :80", "give either --bind or --host and --port"),
        ("--port http", "--port: 'http' is not a whole number from 0 to 65535"),
        ("--host", "--host needs a value"),
        ("-p --reload", "--port needs a value"),
        ("-pidfile x", "did you mean"),
    ],
)
def test_wrong_host_and_port(line: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        from_arguments(line.split())
