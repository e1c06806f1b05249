"""What a user does on the first day: a wheel, an environment without a compiler, a new Django project.

`make wheels` tests each wheel that it has built with this; WHEELS names them. Else one is built here, quickly.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.integration.helpers import Serve

ROOT = Path(__file__).parents[2]
EXEC = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"


def run(*command: str | Path, cwd: Path, path: Path | None = None) -> str:
    env = {**os.environ, "PATH": f"{path}:/usr/bin:/bin"} if path else None
    done = subprocess.run([*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def wheel_of(directory: Path) -> Path:
    """The wheel to test: of this interpreter, and given, or built with the profile that is built already."""
    tag = f"-cp{sys.version_info.major}{sys.version_info.minor}-"
    if given := os.environ.get("WHEELS"):
        return next(path for path in Path(given).resolve().glob("*.whl") if tag in path.name)
    command = [sys.executable, "-m", "maturin", "build", "--quiet", "--profile", "dev", "--interpreter", sys.executable]
    run(*command, "--compatibility", "linux", "--out", directory, cwd=ROOT)
    [wheel] = directory.glob("*.whl")
    return wheel


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_wheel_alone_serves_a_new_django_project(serve: Serve, tmp_path: Path) -> None:
    wheel = wheel_of(tmp_path / "dist")
    venv.create(tmp_path / "env", with_pip=True)
    binaries = tmp_path / "env" / "bin"
    pip = (binaries / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--only-binary", ":all:", wheel, "django>=5.2,<6", cwd=tmp_path, path=binaries)
    run(binaries / "django-admin", "startproject", "shop", cwd=tmp_path, path=binaries)
    checked = run(binaries / "hostler", "check", cwd=tmp_path / "shop", path=binaries)
    assert "The application loads" in checked
    server = serve(cwd=tmp_path / "shop", python=("-c", EXEC, str(binaries / "hostler"), "serve"))
    with server.connect() as connection:
        response = connection.request(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (response.status, b"The install worked successfully!" in response.body) == (200, True)
    assert server.stop() == 0
