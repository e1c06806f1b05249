"""Precedence: command line, environment, platform, file, default."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hostler.config import Config, from_arguments, load
from hostler.errors import ConfigError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(line: str = "", environ: dict[str, str] | None = None, toml: str | None = None) -> Config:
    if toml is not None:
        Path("hostler.toml").write_text(toml)
    return load(from_arguments(line.split()).assignments, environ or {})


@pytest.mark.parametrize(
    ("line", "environ", "toml", "workers", "source"),
    [
        ("", {}, None, 1, "default"),
        ("", {}, "workers = 2", 2, "hostler.toml:1"),
        ("", {"WEB_CONCURRENCY": "3"}, "workers = 2", 3, "WEB_CONCURRENCY"),
        ("", {"HOSTLER_WORKERS": "4", "WEB_CONCURRENCY": "3"}, "workers = 2", 4, "HOSTLER_WORKERS"),
        ("-w 5", {"HOSTLER_WORKERS": "4", "WEB_CONCURRENCY": "3"}, "workers = 2", 5, "--workers"),
        ("-w 5", {"WEB_CONCURRENCY": "several"}, None, 5, "--workers"),  # a platform's hint nobody asked for
    ],
)
def test_precedence(line: str, environ: dict[str, str], toml: str | None, workers: int | None, source: str) -> None:
    config = loaded(line, environ, toml)
    assert config.workers == workers
    assert config.source("workers") == source


def test_port_opens_the_container() -> None:
    config = loaded(environ={"PORT": "5000"}, toml='bind = "127.0.0.1:1"')
    assert [str(address) for address in config.bind] == ["0.0.0.0:5000"]


def test_bind_of_a_nearer_source_replaces_the_list() -> None:
    config = loaded("-b :1 -b :2", {"HOSTLER_BIND": ":3"}, 'bind = [":4"]')
    assert [str(address) for address in config.bind] == ["0.0.0.0:1", "0.0.0.0:2"]


def test_file_that_is_found_is_named() -> None:
    config = loaded(toml="workers = 2")
    assert config.config == "hostler.toml"
    assert config.source("config") == "found here"


@pytest.mark.parametrize(
    ("line", "environ", "source"),
    [
        ("-c other.toml", {"HOSTLER_CONFIG": "gone.toml"}, "--config"),
        ("", {"HOSTLER_CONFIG": "other.toml"}, "HOSTLER_CONFIG"),
    ],
)
def test_file_that_is_given(line: str, environ: dict[str, str], source: str) -> None:
    Path("other.toml").write_text("workers = 3")
    config = loaded(line, environ, "workers = 2")
    assert config.workers == 3
    assert config.source("workers") == "other.toml:1"
    assert config.source("config") == source


def test_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTLER_WORKERS", "6")
    assert load().workers == 6


@pytest.mark.parametrize(
    ("line", "environ", "toml", "complaint"),
    [
        (
            "",
            {"HOSTLER_WORKERS": "many"},
            None,
            'HOSTLER_WORKERS: "many" is not a whole number from 1 to 1000, or "auto"',
        ),
        ("-w 2", {}, "workers = 0", 'hostler.toml:1: workers: 0 is not a whole number from 1 to 1000, or "auto"'),
        ("-w x", {}, None, '--workers: "x" is not a whole number from 1 to 1000, or "auto"'),
        (
            "",
            {"WEB_CONCURRENCY": "several"},
            None,
            'WEB_CONCURRENCY: "several" is not a whole number from 1 to 1000, or "auto"',
        ),
        ("", {"PORT": "x"}, None, 'PORT: "0.0.0.0:x" is not an address: a port is a whole number from 0 to 65535'),
        (
            "",
            {},
            "[[app]]\ntarge = 'x'",
            'hostler.toml:1: app: unknown key "targe": an app has target, path and protocols',
        ),
        ("", {}, "[[app]]\npath = '/x'", "hostler.toml:1: app: an application needs a target such as"),
        ("", {}, "[[app]]\ntarget = 'x'\npath = 'y'", 'hostler.toml:1: app: "y" is not a path such as /api'),
        ("", {}, "[[app]]\ntarget = 'x'\nprotocols = ['ws']", 'hostler.toml:1: app: "ws" is not a protocol'),
        ("--forwarded-allow-ips 10.0.0.300", {}, None, '--forwarded-allow-ips: "10.0.0.300" is not an address'),
        ("-c gone.toml", {}, None, 'cannot read the configuration file "gone.toml"'),
        ("--config=", {}, None, '--config: "" is not a file, or "none"'),
        ("--limit-request-line 40K", {}, None, "--limit-request-line: 40K is more than limit_request_head"),
        ("--temp-dir gone", {}, None, '--temp-dir: the directory "gone" does not exist'),
    ],
)
def test_complaints(line: str, environ: dict[str, str], toml: str | None, complaint: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(complaint)}"):
        loaded(line, environ, toml)


def test_variable_that_is_no_option_is_a_warning_of_the_configuration() -> None:
    config = loaded(environ={"HOSTLER_WORKER": "2", "HOSTLER_PORT": "tcp://10.0.0.7:80", "HOSTLER_THREADS": "3"})
    assert config.threads == 3
    [said] = config.warnings
    assert (
        said == 'the environment variable HOSTLER_WORKER is no option and is ignored - did you mean "HOSTLER_WORKERS"?'
    )


def test_default_of_the_request_line_follows_a_smaller_head() -> None:
    config = load(from_arguments(["--limit-request-head", "4K"]).assignments, {})
    assert (config.limit_request_line, config.source("limit_request_line")) == (4096, "limit_request_head")
