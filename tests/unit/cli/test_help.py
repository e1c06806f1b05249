"""Help: every option is there, within the width of a terminal."""

from __future__ import annotations

import platform

import pytest

from hostler import __version__
from hostler.cli import main
from hostler.cli.command import COMMANDS
from hostler.cli.help import options, overview, screen
from hostler.config.settings import GROUPS, OPTIONS


@pytest.mark.parametrize("arguments", [["help"], ["--help"], ["-h"], ["help", "help"], ["help", "version"]])
def test_overview(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out == overview() + "\n"
    for command, summary in COMMANDS.items():
        assert f"  {command:<10}" in overview()
        assert summary in " ".join(overview().split())


@pytest.mark.parametrize("command", ["serve", "check"])
@pytest.mark.parametrize("form", ["{} --help", "{} -h shop.wsgi", "{} shop.wsgi -w 2 --help", "help {}"])
def test_help_of_a_command_is_one_screen(command: str, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(form.format(command).split()) == 0
    shown = capsys.readouterr().out
    assert shown == screen(command) + "\n"
    assert len(shown.splitlines()) <= (24 if command == "serve" else 26)
    assert "--help-all" in shown


@pytest.mark.parametrize("command", ["serve", "check"])
def test_help_all_shows_every_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help-all"]) == 0
    assert capsys.readouterr().out == options(command) + "\n"


@pytest.mark.parametrize("command", ["gunicorn", "daphne"])
def test_help_of_another_servers_command_is_that_commands(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"usage: hostler {command} " in shown
    assert main(["help", command]) == 0
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize("topic", ["workers", "--workers", "-w", "request-timeout", "request_timeout"])
def test_help_of_an_option_is_its_page(topic: str, capsys: pytest.CaptureFixture[str]) -> None:
    option = OPTIONS["workers" if "w" in topic else "request_timeout"]
    assert main(["help", topic]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert option.about in words
    assert f"environment: {option.variable}" in words


@pytest.mark.parametrize(("topic", "meant"), [("timeout", "request_timeout"), ("serv", "serve"), ("wrkers", "workers")])
def test_help_of_an_unknown_word_names_the_nearest(topic: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", topic]) == 2
    assert f'unknown command or option "{topic}" - did you mean "{meant}"?' in capsys.readouterr().err


def test_every_option_is_explained() -> None:
    words = " ".join(options("serve").split())
    for option in OPTIONS.values():
        assert (option.kind.usage(option.flag) if option.name != "app" else " APP ") in words
        assert " ".join(f"{option.about} [".split()) in words
        assert f"default: {option.default_text}" in words
    for group in GROUPS:
        assert f" {group.heading}: " in words


@pytest.mark.parametrize(
    "note",
    [
        "Usage: hostler serve [APP] [options]",
        "-w, --workers N",
        " --reload Start the workers",
        " --interface auto|wsgi|asgi|asgi2 ",
        " --proxy-protocol[=on|v1|v2] ",
        "[default: 1, also $WEB_CONCURRENCY]",
        "[default: 256, in bytes per second]",
        "[default: 127.0.0.1:8000, repeatable, also $PORT]",
    ],
)
def test_notes(note: str) -> None:
    assert note in " ".join(options("serve").split())


@pytest.mark.parametrize("command", [*COMMANDS, "serve --help-all", "check --help-all", *OPTIONS])
def test_help_fits_the_smallest_terminal(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split() if " " in command else ["help", command]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.parametrize("line", ["version", "--version", "-V", "serve --version", "check shop -V"])
def test_version(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 0
    python = f"{platform.python_implementation()} {platform.python_version()}"
    assert capsys.readouterr().out == f"hostler {__version__} ({python}, {platform.system()} {platform.machine()})\n"
