"""Which command runs, and how each ending becomes an exit code and a line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hostler.cli import command, main
from hostler.cli.command import COMMANDS
from hostler.errors import AppLoadError, BootError, HostlerError

POINTERS = {
    "-k": "the kind of application is found out: leave it out, or write --driver gevent for monkey-patched WSGI",
    "certfile": "hostler speaks no TLS: let a proxy in front do it (docs/deploying.md has recipes)",
}


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("serv app", 'unknown command "serv" - did you mean "serve"?'),
        (
            "launch",
            'unknown command "launch" - there are ' + ", ".join(COMMANDS),
        ),
        ("shop.wsgi -w 2", "the command is missing - did you mean: hostler serve shop.wsgi -w 2"),
        ("shop:app", "the command is missing - did you mean: hostler serve shop:app"),
        ("./site.py", "the command is missing - did you mean: hostler serve ./site.py"),
        ("shop:make('x')", "the command is missing - did you mean: hostler serve 'shop:make('\"'\"'x'\"'\"')'"),
        ("--bind :80 shop", "the command is missing - did you mean: hostler serve --bind :80 shop"),
        ("serve --worker 2", 'unknown option "--worker" - did you mean "--workers"?'),
        ("check --worker 2", 'unknown option "--worker" - did you mean "--workers"?'),
        (
            "run shop:app --port 80",
            'unknown command "run" - hostler starts a server with: hostler serve shop:app --port 80',
        ),
        ("start", 'unknown command "start" - hostler starts a server with: hostler serve'),
        ("serve -k gevent", f'unknown option "-k": {POINTERS["-k"]}'),
        ("serve --certfile x", f'unknown option "--certfile": {POINTERS["certfile"]}'),
        ("serve --ssl-keyfile=x", f'unknown option "--ssl-keyfile": {POINTERS["certfile"]}'),
        ("serve --factory", "unknown option \"--factory\": write the call: hostler serve 'module:create_app()'"),
        ("help serv", 'unknown command or option "serv" - did you mean "serve"?'),
        ("help x", 'unknown command or option "x"'),
    ],
)
def test_wrong_command_lines(arguments: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments.split()) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == f"hostler: {complaint}\n"


def test_no_command_shows_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Usage: hostler COMMAND" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (HostlerError("it broke"), 1, "hostler: it broke\n"),
        (BootError("no worker boots"), 3, "hostler: no worker boots\n"),
        (AppLoadError("no app", "Traceback:\n  a line\n"), 4, "Traceback:\n  a line\nhostler: no app\n"),
    ],
)
def test_errors_end_with_their_code(
    error: HostlerError, code: int, lines: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: list[str]) -> int:
        raise error

    monkeypatch.setattr(command, "_run", fail)
    assert main([]) == code
    assert capsys.readouterr().err == lines


def test_interrupt_is_not_a_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(_: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_run", interrupt)
    assert main([]) == 130
    assert capsys.readouterr().err == ""


def test_a_reader_that_leaves_is_no_error() -> None:
    """`hostler help serve | head -1`."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "hostler", "help", "serve"], stdout=writer, stderr=subprocess.PIPE, text=True
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "hostler", "serve", "--nope"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", 'hostler: unknown option "--nope"\n')
