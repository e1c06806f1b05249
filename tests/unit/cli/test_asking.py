"""Commands that change a running server: they say which one it is, and refuse one of another directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostler.cli import asking, main
from hostler.cli import ctl as ctl_module
from hostler.cli import reload as reload_module
from hostler.control.client import Target
from hostler.errors import HostlerError

CHANGING = ["ctl stop", "ctl reload", "ctl upgrade", "ctl scale 2", "ctl recycle 0", "ctl log-level debug", "reload"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What a server of the directory tmp_path/shop is asked."""
    questions: list[str] = []

    def ask(target: Target, *words: str, **how: object) -> object:
        if words[0] == "status":
            return {"pid": 7, "app": "shop.wsgi", "directory": str(tmp_path / "shop"), "workers": [], "listening": []}
        questions.append(words[0])
        return "done\n"

    for module in (asking, ctl_module, reload_module):
        monkeypatch.setattr(module, "ask", ask)
    monkeypatch.setattr(asking, "find", lambda path, pid: Target("x", 7))
    (tmp_path / "shop" / "src").mkdir(parents=True)
    return questions


@pytest.mark.parametrize("command", CHANGING)
@pytest.mark.parametrize("folder", ["shop", "shop/src"])
def test_server_of_this_directory_is_named_and_changed(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    command: str, folder: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path / folder)
    assert main(command.split()) == 0
    assert len(asked) == 1
    assert f": pid=7 app=shop.wsgi directory={tmp_path}/shop\n" in capsys.readouterr().err


@pytest.mark.parametrize("command", CHANGING)
def test_server_of_another_directory_is_refused_unless_it_is_named(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == HostlerError.exit_code
    said = f"is not of this directory: pid=7 app=shop.wsgi directory={tmp_path}/shop; say --pid 7"
    assert said in capsys.readouterr().err
    assert asked == []
    assert main([*command.split(), "--pid", "7"]) == 0
    assert len(asked) == 1
