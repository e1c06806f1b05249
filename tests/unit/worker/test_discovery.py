"""The application of a directory, found without running any of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hostler.errors import AppLoadError
from hostler.worker.discovery import Found, find

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
ENTRY = "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "")  # so that it is taken away again, whatever sets it
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    return tmp_path


def write(folder: Path, *names: str, text: str = ENTRY) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_manage_names_the_settings(folder: Path) -> None:
    (folder / "manage.py").write_text(MANAGE)
    assert find() == Found(None, "shop.settings")


def test_assignment_is_understood(folder: Path) -> None:
    (folder / "manage.py").write_text('import os\nos.environ["DJANGO_SETTINGS_MODULE"] = "a.b"\n')
    assert find() == Found(None, "a.b")


def test_environment_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "manage.py").write_text(MANAGE)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "shop.production")
    assert find() == Found(None, "shop.production")


@pytest.mark.parametrize(
    ("settings", "files", "interface", "target"),
    [
        ("shop.settings", ["shop/wsgi.py", "shop/asgi.py"], "auto", "shop.wsgi:application"),
        ("shop.settings", ["shop/wsgi.py", "shop/asgi.py"], "asgi", "shop.asgi:application"),
        ("shop.settings", ["shop/asgi.py"], "auto", "shop.asgi:application"),
        ("config.settings.local", ["config/wsgi.py", "other/wsgi.py"], "auto", "config.wsgi:application"),
        ("settings", ["wsgi.py"], "auto", "wsgi:application"),
        ("shop.settings", ["wsgi.py"], "auto", "wsgi:application"),
        ("settings.dev", ["site/wsgi.py"], "auto", "site.wsgi:application"),
        ("settings.dev", ["site/wsgi.py", "old/wsgi.py"], "auto", None),  # it cannot be known which
    ],
)
def test_entry_point_of_a_project_is_found_from_its_settings(
    folder: Path, settings: str, files: list[str], interface: str, target: str | None
) -> None:
    (folder / "manage.py").write_text(MANAGE.replace("shop.settings", settings))
    write(folder, *files)
    assert find(interface) == Found(target, settings)


def test_entry_point_below_the_python_path_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "manage.py").write_text(MANAGE)
    write(folder, "src/shop/wsgi.py")
    monkeypatch.setattr(sys, "path", [str(folder / "src")])
    assert find() == Found("shop.wsgi:application", "shop.settings")


def test_broken_neighbour_of_a_project_is_passed_over(folder: Path) -> None:
    (folder / "manage.py").write_text(MANAGE)
    write(folder, "backup/wsgi.py", text="def (\n")
    write(folder, "site/wsgi.py")
    assert find() == Found("site.wsgi:application", "shop.settings")


@pytest.mark.parametrize(
    ("text", "attribute"),
    [
        ("app = Flask(__name__)", "app"),
        ("from shop import application", "application"),
        ("from shop import make as app", "app"),
        ("app: object = 1", "app"),
        ("app = application = 1", "application"),
        ("async def app(scope, receive, send): ...", "app"),
        ("try:\n    app = 1\nexcept ImportError:\n    pass", "app"),
        ("if True:\n    pass\nelse:\n    with x: app = 1", "app"),
    ],
)
def test_file_that_sets_an_application_is_found(folder: Path, text: str, attribute: str) -> None:
    write(folder, "main.py", text=text)
    assert find() == Found(f"main:{attribute}")


def test_files_made_for_servers_come_first(folder: Path) -> None:
    for name in ("main", "app", "asgi", "wsgi"):
        write(folder, f"{name}.py", text="app = 1")
        assert find() == Found(f"{name}:app")
    assert find("asgi") == Found("asgi:app")


def test_file_without_an_application_is_passed_over(folder: Path) -> None:
    write(folder, "wsgi.py", text="def main():\n    app = 1\napp: object\n")
    write(folder, "main.py", text="app = 1")
    assert find() == Found("main:app")


@pytest.mark.parametrize(
    "manage", [None, "", "import os\n", 'setdefault("OTHER", "x")\n', 'setdefault("DJANGO_SETTINGS_MODULE", name)\n']
)
def test_no_project(folder: Path, manage: str | None) -> None:
    if manage is not None:
        (folder / "manage.py").write_text(manage)
    with pytest.raises(
        AppLoadError, match=r"no app was named, and .* has neither a Django project nor .*hostler serve"
    ):
        find()


@pytest.mark.parametrize("name", ["manage.py", "app.py"])
def test_broken_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_text("def (\n")
    with pytest.raises(AppLoadError, match=rf"cannot read {name}: .*line 1"):
        find()
