"""`hostler serve`: the configuration reaches the launcher, and the launcher's exit code the shell."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from hostler.cli import main
from hostler.config import Config, TcpAddress
from hostler.errors import BindError


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., int]], None]:
    """Put a function in the launcher's place."""
    monkeypatch.chdir(tmp_path)

    def put(run: Callable[..., int]) -> None:
        module = ModuleType("hostler.launcher")
        module.__dict__["run"] = run
        monkeypatch.setitem(sys.modules, "hostler.launcher", module)

    return put


def test_config_goes_to_the_launcher(launch: Callable[[Callable[..., int]], None]) -> None:
    configs = []

    def run(config: Config, **rest: object) -> int:
        configs.append(config)
        return 7

    launch(run)
    assert main(["serve", "shop.wsgi", "-w", "2", "-b", ":5000"]) == 7
    (config,) = configs
    assert (*map(str, config.app), config.workers, config.bind) == ("shop.wsgi", 2, (TcpAddress("0.0.0.0", 5000),))


def test_without_app_the_launcher_decides(launch: Callable[[Callable[..., int]], None]) -> None:
    launch(lambda config, **rest: 0 if config.app == () else 1)
    assert main(["serve"]) == 0


def test_launcher_errors_are_one_line(
    launch: Callable[[Callable[..., int]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def run(config: Config, **rest: object) -> int:
        raise BindError(f"bind {config.bind[0]}: taken")

    launch(run)
    assert main(["serve"]) == 1
    assert capsys.readouterr().err == "hostler: bind 127.0.0.1:8000: taken\n"


@pytest.mark.parametrize(
    ("file", "arguments", "complaint"),
    [
        ("workers = 1\nworker = 2\n", [], 'hostler.toml:2: unknown option "worker" - did you mean "workers"?'),
        ("workers = 'two'\n", [], 'hostler.toml:1: workers: "two" is not a whole number from 1 to 1000, or "auto"'),
        ("", ["--threads", "257"], '--threads: "257" is not a whole number from 1 to 256, or "auto"'),
    ],
)
def test_wrong_configuration_stops_the_start(
    file: str,
    arguments: list[str],
    complaint: str,
    launch: Callable[[Callable[..., int]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    launch(lambda config, **rest: pytest.fail("it must not start"))
    Path("hostler.toml").write_text(file)
    assert main(["serve", *arguments]) == 2
    assert capsys.readouterr().err == f"hostler: {complaint}\n"
