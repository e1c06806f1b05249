"""The Django project of a directory, found without running any of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostler.errors import AppLoadError
from hostler.worker.discovery import find_settings

MANAGE = '''
#!/usr/bin/env python
"""Django's command-line utility for administrative tasks."""
import os
import sys

raise SystemExit("manage.py must not be executed")

def main():
    """Run administrative tasks."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
'''


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "")  # so that it is taken away again, whoever sets it
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    return tmp_path


def test_manage_names_the_settings(folder: Path) -> None:
    (folder / "manage.py").write_text(MANAGE)
    assert find_settings() == "shop.settings"


def test_assignment_is_understood(folder: Path) -> None:
    (folder / "manage.py").write_text('import os\nos.environ["DJANGO_SETTINGS_MODULE"] = "a.b"\n')
    assert find_settings() == "a.b"


def test_environment_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "manage.py").write_text(MANAGE)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "shop.production")
    assert find_settings() == "shop.production"


@pytest.mark.parametrize(
    "manage", [None, "", "import os\n", 'setdefault("OTHER", "x")\n', 'setdefault("DJANGO_SETTINGS_MODULE", name)\n']
)
def test_no_project(folder: Path, manage: str | None) -> None:
    if manage is not None:
        (folder / "manage.py").write_text(manage)
    with pytest.raises(AppLoadError, match="no app was named, and there is no Django project here"):
        find_settings()


def test_broken_manage(folder: Path) -> None:
    (folder / "manage.py").write_text("def (\n")
    with pytest.raises(AppLoadError, match=r"cannot read manage.py: .*line 1"):
        find_settings()
