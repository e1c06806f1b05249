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
