"""`hostler shim`: a gunicorn command that runs ours."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hostler.cli import main


def run(path: Path, *arguments: str) -> str:
    env = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}"}
    done = subprocess.run(["gunicorn", *arguments], cwd=path, env=env, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_shim_runs_hostler_gunicorn_with_its_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shim", str(tmp_path)]) == 0
    assert f"PATH={tmp_path}:$PATH" in capsys.readouterr().out
    (tmp_path / "shop.py").write_text("def application(environ, start_response): ...\n")
    assert "workers = 3" in run(tmp_path, "-w", "3", "--print-config", "shop")
    assert "usage: hostler gunicorn" in run(tmp_path, "--help")


def test_shim_that_is_there_is_written_again(tmp_path: Path) -> None:
    assert main(["shim", str(tmp_path)]) == 0
    assert main(["shim", str(tmp_path)]) == 0
    assert os.listdir(tmp_path) == ["gunicorn"]


@pytest.mark.parametrize("is_link", [False, True])
def test_gunicorn_of_another_origin_is_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], is_link: bool
) -> None:
    path = tmp_path / "gunicorn"
    if is_link:
        (tmp_path / "real").write_text("real")
        path.symlink_to("real")
    else:
        path.write_text("real")
    assert main(["shim", str(tmp_path)]) == 2
    assert "was not written by hostler: it is left as it is" in capsys.readouterr().err
    assert path.read_text() == "real"


def test_shim_needs_a_directory_that_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shim"]) == 2
    assert main(["shim", "a", "b"]) == 2
    assert main(["shim", "--help"]) == 0
    assert main(["shim", str(tmp_path / "gone")]) == 1
    assert "No such file or directory" in capsys.readouterr().err
