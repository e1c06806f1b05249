"""Checks between options, and between options and the machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hostler.config.checks import check_directories, check_values
from hostler.config.settings import Config
from hostler.config.sources.keywords import from_keywords
from hostler.errors import ConfigError

INCLUDED = ", which holds the request line too"
NO_BODY = ": no body could be that large"


def config(**options: object) -> Config:
    return Config(from_keywords(options))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"limit_request_line": "32K"},  # as large as the head may be
        {"limit_request_body": "1K"},  # below the default of body_memory: all bodies stay in memory
        {"body_memory": "1M", "limit_request_body": "1M"},
        {"bind": ["127.0.0.1:0", "127.0.0.1:0"]},  # two ports, whichever they are
        {"bind": ["127.0.0.1:80", "0.0.0.0:80", "unix:a", "unix:@a"]},
    ],
)
def test_values_that_agree(options: dict[str, object]) -> None:
    check_values(config(**options))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (
            {"limit_request_line": "40K"},
            "serve(limit_request_line=...): 40K is more than limit_request_head (32K, default)" + INCLUDED,
        ),
        (
            {"limit_request_head": "4K"},
            "limit_request_line: 8K is more than limit_request_head (4K, serve(limit_request_head=...))" + INCLUDED,
        ),
        (
            {"body_memory": "2M", "limit_request_body": "1M"},
            "serve(body_memory=...): 2M is more than limit_request_body (1M, serve(limit_request_body=...))" + NO_BODY,
        ),
        ({"bind": [":80", "0.0.0.0:80"]}, "serve(bind=...): 0.0.0.0:80 is listed twice"),
        ({"bind": ["unix:a", "fd://3", "unix:a"]}, "serve(bind=...): unix:a is listed twice"),
    ],
)
def test_values_that_contradict(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(complaint)}$"):
        check_values(config(**options))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with a folder `sub` and a file `file`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "inner").mkdir()
    (tmp_path / "file").touch()
    return tmp_path


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chdir": "sub", "temp_dir": "inner", "pythonpath": ["inner", "."], "pidfile": "inner/x.pid"},
        {"access_log": "-", "error_log": "sub/error.log", "bind": ["unix:sub/a.sock", "unix:@no/such"]},
    ],
)
def test_directories_that_exist(options: dict[str, object]) -> None:
    check_directories(config(**options))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("chdir", "none/here", 'the directory "none/here" does not exist'),
        ("chdir", "file", '"file" is not a directory'),
        ("pythonpath", ["sub", "gone"], 'the directory "gone" does not exist'),
        ("temp_dir", "gone", 'the directory "gone" does not exist'),
        ("access_log", "gone/access.log", 'the directory "gone" does not exist'),
        ("error_log", "file/error.log", '"file" is not a directory'),
        ("pidfile", "/gone/x.pid", 'the directory "/gone" does not exist'),
        ("bind", ["unix:gone/a.sock"], 'the directory "gone" does not exist'),
    ],
)
def test_directories_that_do_not(option: str, value: object, problem: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(f'serve({option}=...): {problem}')}$"):
        check_directories(config(**{option: value}))


@pytest.mark.usefixtures("here")
def test_relative_directories_follow_chdir() -> None:
    with pytest.raises(ConfigError, match='the directory "sub" does not exist'):
        check_directories(config(chdir="sub", temp_dir="sub"))
