"""`serve` and `run`: what they pass on to the launcher."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import hostler
from hostler.config import Config, TcpAddress, UnixAddress
from hostler.errors import ConfigError


def app(environ: object, start_response: object) -> list[bytes]:
    return []


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Config, Any]]:
    """What the launcher is asked to run."""
    calls: list[tuple[Config, Any]] = []

    def run(config: Config, app: Any = None, **rest: object) -> int:
        calls.append((config, app))
        return 7

    module = ModuleType("hostler.launcher")
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hostler.launcher", module)
    monkeypatch.chdir(tmp_path)  # no configuration file is found here
    return calls


def test_serve_takes_the_options_of_the_command_line(launched: list[tuple[Config, Any]]) -> None:
    assert hostler.serve(app, bind=["127.0.0.1:5000", "unix:x"], workers=2, keepalive="5s") == 7
    [(config, given)] = launched
    assert given is app
    assert config.bind == (TcpAddress("127.0.0.1", 5000), UnixAddress("x"))
    assert (config.workers, config.keepalive) == (2, 5.0)


def test_serve_takes_text_too(launched: list[tuple[Config, Any]]) -> None:
    hostler.serve("shop.wsgi")
    [(config, given)] = launched
    assert (*map(str, config.app), given) == ("shop.wsgi", None)


@pytest.mark.parametrize("call", [hostler.serve, hostler.run])
@pytest.mark.parametrize(
    ("args", "bind"),
    [
        (("0.0.0.0", 8080), TcpAddress("0.0.0.0", 8080)),
        (("::1", 8080), TcpAddress("::1", 8080)),
        (("localhost", 0), TcpAddress("localhost", 0)),
        (("unix:/run/app.sock",), UnixAddress("/run/app.sock")),
        (("unix:@name",), UnixAddress("\0name")),
    ],
)
def test_bjoerns_call_shape(
    launched: list[tuple[Config, Any]], monkeypatch: pytest.MonkeyPatch, call: Any, args: Any, bind: Any
) -> None:
    monkeypatch.setattr("hostler.config.loading.check_directories", lambda config: None)
    call(app, *args)
    assert launched[0][0].bind == (bind,)


def test_bjoerns_reuse_port_is_accepted(launched: list[tuple[Config, Any]]) -> None:
    hostler.run(app, "127.0.0.1", 8080, reuse_port=True)
    assert len(launched) == 1


def test_host_and_bind_contradict_each_other(launched: list[tuple[Config, Any]]) -> None:
    with pytest.raises(ConfigError, match="host"):
        hostler.serve(app, "127.0.0.1", 8080, bind="127.0.0.1:8081")


def test_unknown_option(launched: list[tuple[Config, Any]]) -> None:
    with pytest.raises(ConfigError, match="worker"):
        hostler.serve(app, worker=2)


@pytest.mark.parametrize(
    ("words", "bind"),
    [
        ({"port": 5000}, "127.0.0.1:5000"),
        ({"port": 0}, "127.0.0.1:0"),
        ({"port": "5000"}, "127.0.0.1:5000"),
        ({"host": "0.0.0.0"}, "0.0.0.0:8000"),
        ({"host": ""}, "0.0.0.0:8000"),
        ({"host": "::"}, "[::]:8000"),
        ({"host": "0.0.0.0", "port": 80}, "0.0.0.0:80"),
        ({"host": "[::1]", "port": 80}, "[::1]:80"),
        ({"host": "unix:/run/x"}, "unix:/run/x"),
        ({"bind": "1.2.3.4:5"}, "1.2.3.4:5"),
        ({}, "127.0.0.1:8000"),
    ],
)
def test_serve_listens_as_host_port_and_bind_say(
    launched: list[tuple[Config, Any]], words: dict[str, Any], bind: str
) -> None:
    hostler.serve(app, **words)
    assert [str(each) for each in launched[0][0].bind] == [bind]


def test_host_alone_keeps_the_port_of_the_platform(
    launched: list[tuple[Config, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for hint, port in (("5000", 5000), ("tcp://10.0.0.7:80", 8000)):
        monkeypatch.setenv("PORT", hint)
        hostler.serve(app, host="0.0.0.0")
        assert launched.pop()[0].bind == (TcpAddress("0.0.0.0", port),)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"host": "x", "bind": "1.2.3.4:5"}, "give either host and port or bind"),
        ({"port": 5, "bind": "1.2.3.4:5"}, "give either host and port or bind"),
        ({"port": 65536}, "'65536' is not a whole number from 0 to 65535"),
        ({"port": True}, "'True' is not a whole number"),
        ({"port": "http"}, "'http' is not a whole number"),
        ({"host": "unix:/run/x", "port": 80}, "which has no port"),
        ({"host": "a b", "port": 80}, "is not a host"),
    ],
)
def test_serve_refuses_contradictions(
    launched: list[tuple[Config, Any]], words: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        hostler.serve(app, **words)
    assert launched == []


def test_run_passes_reuse_port_on(launched: list[tuple[Config, Any]]) -> None:
    hostler.run(app, "127.0.0.1", 0, reuse_port=True)
    assert launched[0][0].reuse_port == "on"
