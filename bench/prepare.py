"""Everything the benchmark needs before it can start: environment, peers, raw server, hostler, files for the apps."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.adapters import Place
from bench.scenarios import FILE_SIZE

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
VENV = HERE / ".venv"
BUILD = HERE / ".build"
REQUIREMENTS = HERE / "requirements.txt"
SOURCES = ("rust", "src", "Cargo.toml", "Cargo.lock", "pyproject.toml")
TOOLS = {"wrk": "wrk", "cc": "gcc"}
"""Programs that are not Python's, with the Debian package that has them."""


class NotReady(Exception):
    """Something is missing that the harness cannot make itself."""


def say(text: str) -> None:
    """Progress, beside the tables."""
    print(text, file=sys.stderr, flush=True)


def prepare(*, build: bool, hostler: tuple[str, ...]) -> Place:
    """Make everything ready, each part only when it is older than its sources."""
    for tool, package in TOOLS.items():
        if not shutil.which(tool):
            raise NotReady(f"{tool} is missing (Debian: apt-get install {package})")
    BUILD.mkdir(exist_ok=True)
    _environment()
    _raw_server()
    _files()
    if build and not hostler:
        _hostler()
    return Place(VENV / "bin", HERE / "apps", BUILD, hostler or (str(VENV / "bin" / "hostler"),))


def environment(place: Place) -> dict[str, str]:
    """The environment of every server: the same for all, without the caller's own settings."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "LC_ALL", "TZ") if name in os.environ}
    return kept | {
        "PATH": f"{place.bin}:{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(place.apps),
        "BENCH_FILE": str(place.build / "download.bin"),
        "BENCH_DATABASE": str(place.build / "horses.sqlite3"),
    }


def versions(place: Place) -> dict[str, str]:
    """Installed distributions of the environment, by lower-case name."""
    script = "import importlib.metadata as m\nfor d in m.distributions(): print(d.name.lower(), d.version)"
    done = subprocess.run([str(place.bin / "python"), "-c", script], capture_output=True, text=True, check=True)
    found = dict(line.split() for line in done.stdout.splitlines())
    if place.hostler != (str(place.bin / "hostler"),):
        found["hostler"] = "as given"
    return found


def _environment() -> None:
    """The virtual environment; a peer that cannot be built here is named and left out."""
    stamp = VENV / "installed.txt"
    wanted = REQUIREMENTS.read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if not (VENV / "bin" / "python").exists():
        say(f"creating {VENV.relative_to(ROOT)}")
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    say("installing the peers")
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=False).returncode == 0:
        stamp.write_text(wanted)  # otherwise the next run tries again
        return
    for line in wanted.splitlines():
        if line and not line.startswith("#") and subprocess.run([*pip, line], check=False).returncode:
            say(f"not installed, and so not measured: {line}")


def fill(place: Place, variables: Mapping[str, str]) -> None:
    """Make the table of the Django project in the database that these variables name."""
    environ = environment(place) | dict(variables)
    subprocess.run([str(place.bin / "python"), "-m", "pages.fill"], env=environ, check=True)


def _raw_server() -> None:
    for name in ("epoll", "wsload"):
        source, program = HERE / "raw" / f"{name}.c", BUILD / name
        if program.exists() and program.stat().st_mtime >= source.stat().st_mtime:
            continue
        subprocess.run(["cc", "-O2", "-Wall", "-o", str(program), str(source)], check=True)


def _files() -> None:
    """What the apps serve."""
    place = Place(VENV / "bin", HERE / "apps", BUILD, ())
    file, database, recipe = BUILD / "download.bin", BUILD / "horses.sqlite3", place.apps / "pages" / "fill.py"
    if not file.exists() or file.stat().st_size != FILE_SIZE:
        file.write_bytes(bytes(range(256)) * (FILE_SIZE // 256))
    if not database.exists() or database.stat().st_mtime < recipe.stat().st_mtime:
        for old in database.parent.glob(f"{database.name}*"):  # its journal too
            old.unlink()
        fill(place, {})


def _hostler() -> None:
    """Build hostler in release mode into the environment."""
    stamp = VENV / "hostler.stamp"
    if stamp.exists() and _newest() <= stamp.stat().st_mtime:
        return
    if not (ROOT / "pyproject.toml").exists():
        say("hostler cannot be built yet: there is no pyproject.toml")
        return
    say("building hostler")
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, "--force-reinstall", "--no-deps", str(ROOT)], check=False).returncode:
        raise NotReady("hostler could not be built; --no-build measures what is installed")
    stamp.touch()


def _newest() -> float:
    """When the last of hostler's sources changed."""
    files = [file for name in SOURCES for file in (ROOT / name, *(ROOT / name).rglob("*")) if file.is_file()]
    return max((file.stat().st_mtime for file in files if "__pycache__" not in file.parts), default=0.0)
