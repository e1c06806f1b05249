"""Help: every option is there, within the width of a terminal."""

from __future__ import annotations

import platform

import pytest

from hostler import __version__
from hostler.cli import main
from hostler.cli.command import COMMANDS
from hostler.cli.help import options, overview
from hostler.config.settings import GROUPS, OPTIONS


@pytest.mark.parametrize("arguments", [["help"], ["--help"], ["-h"], ["help", "help"], ["help", "version"]])
def test_overview(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out == overview() + "\n"
    for command, summary in COMMANDS.items():
        assert f"  {command:<10}{summary}\n" in overview()


@pytest.mark.parametrize("command", ["serve", "check"])
@pytest.mark.parametrize("form", ["{} --help", "{} -h shop.wsgi", "{} shop.wsgi -w 2 --help", "help {}"])
def test_options_of_a_command(command: str, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(form.format(command).split()) == 0
    assert capsys.readouterr().out == options(command) + "\n"


def test_every_option_is_explained() -> None:
    words = " ".join(options("serve").split())
    for option in OPTIONS.values():
        assert f"{option.flag} {option.kind.metavar}" in words
        assert " ".join(f"{option.about} [default: {option.default_text}".split()) in words
    for group in GROUPS:
        assert f" {group.heading}: " in words


@pytest.mark.parametrize(
    "note",
    [
        "Usage: hostler serve [APP] [options]",
        "APP, --app APP",
        "-w, --workers N",
        "[default: 1, also $WEB_CONCURRENCY]",
        "[default: 256, in bytes per second]",
        "[default: 127.0.0.1:8000, repeatable, also $PORT]",
    ],
)
def test_notes(note: str) -> None:
    assert note in " ".join(options("serve").split())


def test_width() -> None:
    assert max(map(len, options("serve").splitlines())) <= 96


def test_usages_leave_room_for_their_texts() -> None:
    for line in options("serve").splitlines():
        if line.startswith("  "):
            assert line[36:38] == "  ", line


@pytest.mark.parametrize("line", ["version", "--version", "-V", "serve --version", "check shop -V"])
def test_version(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 0
    python = f"{platform.python_implementation()} {platform.python_version()}"
    assert capsys.readouterr().out == f"hostler {__version__} ({python}, {platform.system()} {platform.machine()})\n"
