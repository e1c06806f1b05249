"""The command line of `hostler top`, and what keeps it from starting."""

from __future__ import annotations

import subprocess
import sys
from typing import ClassVar

import pytest

from hostler.cli import main
from hostler.cli.top import command
from hostler.cli.top.command import USAGE
from hostler.errors import HostlerError


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_is_terminal", lambda: True)


@pytest.mark.parametrize("line", ["top --help", "top -h", "help top", "top --interval 2 --help"])
def test_help(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 0
    assert capsys.readouterr().out == USAGE
    assert max(map(len, USAGE.splitlines())) <= 120


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("top now", 'unexpected "now": see hostler top --help'),
        ("top --colour", 'unexpected "--colour": see hostler top --help'),
        ("top --pid x", '--pid: "x" is not a process id'),
        ("top --interval", "--interval needs a value"),
        ("top --interval=soon", '--interval: "soon" is not a time from 200ms to 60s'),
        ("top --interval 0.1", '--interval: "0.1" is not a time from 200ms to 60s'),
        ("top --interval 2m", '--interval: "2m" is not a time from 200ms to 60s'),
    ],
)
def test_wrong_command_lines(line: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    assert capsys.readouterr().err == f"hostler: {complaint}\n"


def test_without_a_terminal_there_is_something_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top"]) == 1
    assert capsys.readouterr().err == "hostler: top needs a terminal; for programs there is: hostler status --json\n"


def test_without_textual() -> None:
    code = """if True:
        import sys
        sys.modules["textual"] = None
        from hostler.cli import main
        from hostler.cli.top import command
        command._is_terminal = lambda: True
        sys.exit(main(["top"]))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'hostler: top needs textual: pip install "hostler[top]"\n'


class NoServer:
    """None is there."""

    def __init__(self, wanted: object) -> None:
        pass

    def look(self) -> None:
        raise HostlerError("no running server was found")


@pytest.mark.usefixtures("terminal")
def test_without_a_server(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "Server", NoServer)
    assert main(["top"]) == 1
    assert capsys.readouterr().err == "hostler: no running server was found\n"


class SomeServer(NoServer):
    """One is there."""

    def look(self) -> None:
        pass


class Shown:
    """Stands for the view."""

    seen: ClassVar[list[float]] = []
    return_code = 0

    def __init__(self, server: object, interval: float) -> None:
        self.seen.append(interval)

    def run(self) -> None:
        pass


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(("words", "interval"), [([], 1.0), (["--interval", "500ms"], 0.5), (["--interval=2"], 2.0)])
def test_interval(words: list[str], interval: float, monkeypatch: pytest.MonkeyPatch) -> None:
    from hostler.cli.top import app

    monkeypatch.setattr(command, "Server", SomeServer)
    monkeypatch.setattr(app, "Top", Shown)
    assert main(["top", *words]) == 0
    assert Shown.seen.pop() == interval
