"""`hostler check`: the table, and whether the application loads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hostler.cli import main
from hostler.config.settings import OPTIONS

APP = """
import threading, time
threading.Thread(target=time.sleep, args=(60,)).start()  # what apps start must not keep the check alive
def application(environ, start_response): ...
"""
MANAGE = 'import os; os.environ.setdefault("DJANGO_SETTINGS_MODULE", "checked_site")\n'
SETTINGS = 'WSGI_APPLICATION = "checked_site.wsgi"\ndef wsgi(environ, start_response): ...\n'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    (tmp_path / "checked_shop.py").write_text(APP)
    return tmp_path


def test_table_shows_value_and_source(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    Path("hostler.toml").write_text('app = "checked_shop"\nkeepalive = "2m"\n')
    monkeypatch.setenv("HOSTLER_THREADS", "4")
    monkeypatch.setenv("PORT", "5000")
    assert main(["check", "--all", "-w", "2", "--no-server-header"]) == 0
    output = capfd.readouterr()
    assert output.err == ""
    table, _, verdict = output.out.partition("\n\n")
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in table.splitlines()}
    assert list(rows) == list(OPTIONS)
    assert rows["app"] == ["checked_shop", "hostler.toml:1"]
    assert rows["keepalive"] == ["2m", "hostler.toml:2"]
    assert rows["threads"] == ["4", "HOSTLER_THREADS"]
    assert rows["bind"] == ["0.0.0.0:5000", "PORT"]
    assert rows["workers"] == ["2", "--workers"]
    assert rows["server_header"] == ["off", "--server-header"]
    assert rows["config"] == ["hostler.toml", "found here"]
    assert rows["backlog"] == ["2048", "default"]
    assert verdict == "The application loads: checked_shop (function, WSGI)\n"


def test_variable_that_is_no_option_is_shown_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOSTLER_WORKER", "2")
    monkeypatch.setenv("HOSTLER_PORT", "tcp://10.0.0.7:80")
    assert main(["check", "checked_shop"]) == 0
    [said] = capfd.readouterr().err.splitlines()
    assert said.startswith("hostler: warning: the environment variable HOSTLER_WORKER is no option and is ignored")


def test_only_what_is_set_is_shown_without_all(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOSTLER_THREADS", "4")
    assert main(["check", "checked_shop", "-w", "1"]) == 0
    *rows, rest = capfd.readouterr().out.partition("\n\n")[0].splitlines()
    assert [row.split()[0] for row in rows] == ["app", "workers", "threads"]
    assert rest == f"{len(OPTIONS) - 3} options have their defaults: hostler check --all shows them"


def test_columns_are_aligned(capfd: pytest.CaptureFixture[str]) -> None:
    main(["check", "checked_shop", "--all"])
    table = capfd.readouterr().out.partition("\n\n")[0]
    starts = {line.rindex("default") for line in table.splitlines() if line.endswith("default") and len(line) < 60}
    assert len(starts) == 1


def test_application_is_found_as_serve_finds_it(capfd: pytest.CaptureFixture[str]) -> None:
    """Below `chdir`, and on `pythonpath`."""
    for directory in ("site", "site/lib"):
        Path(directory).mkdir()
    Path("site/lib/checked_lib.py").write_text("class App:\n    def __call__(self, e, s): ...\napp = App()\n")
    assert main(["check", "--chdir", "site", "--pythonpath", "lib", "checked_lib:app"]) == 0
    assert capfd.readouterr().out.endswith("\nThe application loads: checked_lib:app (App, WSGI)\n")
    assert not os.path.samefile(".", "site")  # only the child went there


def test_django_project_is_discovered(capfd: pytest.CaptureFixture[str]) -> None:
    Path("manage.py").write_text(MANAGE)
    Path("checked_site.py").write_text(SETTINGS)
    assert main(["check"]) == 0
    verdict = "\nThe application loads: checked_site:wsgi (function, WSGI)\n"
    assert capfd.readouterr().out.endswith(verdict)


def test_no_application(capfd: pytest.CaptureFixture[str]) -> None:
    """The line says what to type."""
    assert main(["check"]) == 4
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith("hostler: ")
    assert "hostler serve " in last


def test_application_that_does_not_load(capfd: pytest.CaptureFixture[str]) -> None:
    Path("checked_bad.py").write_text("import no_such_module\n")
    assert main(["check", "checked_bad"]) == 4
    lines = capfd.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1].startswith('hostler: cannot load "checked_bad"')


def test_application_that_crashes(capfd: pytest.CaptureFixture[str]) -> None:
    Path("checked_crash.py").write_text("import os; os.kill(os.getpid(), 9)\n")
    assert main(["check", "checked_crash"]) == 4
    assert capfd.readouterr().err == "hostler: importing the application ended its process by SIGKILL\n"


def test_wrong_configuration_prints_no_table(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "checked_shop", "-w", "0"]) == 2
    output = capfd.readouterr()
    assert output.out == ""
    assert output.err == 'hostler: --workers: "0" is not a whole number from 1 to 1000, or "auto"\n'
