"""Configuration files for gunicorn as they are in use (tests/vectors/gunicorn): each is served, and converted.

The first lines of each say what becomes of it; tests/vectors/README.md lists the words. A file may change the process
that runs it, so each runs in processes of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from select import select

import pytest

from tests.integration.helpers import Serve, Server
from tests.integration.helpers.commands import GUNICORN

SHAPES = Path(__file__).parents[2] / "vectors" / "gunicorn"
# Prints hostler's options as a JSON object, behind whatever a configuration file prints.
VALUES = """
import json, os, sys
from hostler.cli.gunicorn.reading import read
from hostler.cli.gunicorn.translation import translate
from hostler.config import load
given = translate(read(sys.argv[1:], os.environ))
config = load(given.assignments, defaults=given.defaults)
print()
print(json.dumps({name: value for name, value, _ in config.lines()}))
"""


class Shape:
    """A file, and what its first lines say."""

    def __init__(self, path: Path, directory: Path) -> None:
        self.words: dict[str, list[str]] = defaultdict(list)
        for line in path.read_text().splitlines():
            if not line.startswith("# "):
                break
            name, _, value = line.removeprefix("# ").partition(":")
            self.words[name].append(value.strip())
        shutil.copytree(SHAPES / "site", directory, dirs_exist_ok=True)
        shutil.copy(path, directory)
        binds = [] if "binds" in self.words else ["-b", "127.0.0.1:0"]
        self.command = ["-c", path.name, *binds, *filter(None, self.words.get("app", ["garden"]))]
        self.env = dict(pair.split("=", 1) for pair in self.one("env").split())
        self.binds = 2 if self.one("binds") == "2" else 1

    def one(self, name: str, default: str = "") -> str:
        """The only value of a word."""
        [value] = self.words.get(name, [default])
        return value

    def ask(self, server: Server, path: str = "") -> None:
        """One request, which the application answers."""
        request = f"GET {path or self.one('ask', '/healthz')} HTTP/1.1\r\nHost: garden.example\r\n\r\n".encode()
        with server.connect() as connection:
            response = connection.request(request)
        assert response.status == 200
        assert self.one("answer", "garden") in response.body.decode()


def every() -> list[Path]:
    return sorted(SHAPES.glob("*.py"))


NAMING = [path for path in every() if "\n# is: " in f"\n{path.read_text()}"]


@pytest.fixture(params=every(), ids=lambda path: path.stem)
def shape(request: pytest.FixtureRequest, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Shape:
    monkeypatch.chdir(serve.directory)  # where the names of unix sockets begin
    return Shape(request.param, serve.directory)


def run(shape: Shape, serve: Serve, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words, *shape.command],
        cwd=serve.directory, env={**os.environ, **shape.env}, capture_output=True, text=True, timeout=40, check=False,
    )  # fmt: skip


def test_shape_is_served_by_hostler_gunicorn_or_refused_with_the_reason(shape: Shape, serve: Serve) -> None:
    server = serve(None, *shape.command, bind=[], python=GUNICORN, ready=False, env=shape.env)
    if reason := shape.one("refused"):
        assert server.wait() == 2
        assert reason in server.log
        return
    if pidfile := shape.one("daemon"):
        assert server.wait() == 0
        ask_daemon(serve.directory, pidfile)
        return
    server.wait_ready(shape.binds)
    shape.ask(server)
    for pattern in shape.words["says"]:
        server.wait_log(pattern)
    for line in shape.words["unseen"]:
        shape.ask(server, "/seen")
        server.wait_log("GET /seen")
        assert line not in server.log
    for name in shape.words["makes"]:
        server.wait_for((serve.directory / name).exists, name)
    assert server.stop() == 0
    for pattern in shape.words["ends"]:
        assert re.search(pattern, server.log)


def ask_daemon(directory: Path, pidfile: str) -> None:
    """One request to a server that is no child of ours, and its end."""
    pid = int((directory / pidfile).read_text())
    end = os.pidfd_open(pid)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(directory / "garden.sock"))
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert b"garden" in connection.makefile("rb").read()
    finally:
        signal.pidfd_send_signal(end, signal.SIGTERM)
        ended, _, _ = select([end], [], [], 20)
        if not ended:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(end, signal.SIGKILL)
        os.close(end)
    assert ended


@pytest.mark.parametrize("path", NAMING, ids=lambda path: path.stem)
def test_shape_becomes_the_options_that_it_names(path: Path, serve: Serve) -> None:
    shape = Shape(path, serve.directory)
    done = run(shape, serve, "-c", VALUES)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout.splitlines()[-1])
    for said in re.findall(r"\w+[>=]+.*?(?= \w+[>=]|$)", shape.one("is")):
        name, _, wanted = said.partition("=")
        if name.endswith(">"):
            assert int(values[name[:-1]]) >= int(wanted)
        else:
            assert values[name] == wanted, name


def test_what_convert_writes_of_a_shape_is_served_by_hostler_serve(shape: Shape, serve: Serve) -> None:
    done = run(shape, serve, "-m", "hostler", "convert", "-o", "hostler.toml", "gunicorn")
    written = serve.directory / "hostler.toml"
    if reason := shape.one("refused") or shape.one("unconverted"):
        assert done.returncode == 2
        assert reason in done.stderr
        assert not written.exists()
        return
    assert done.returncode == 0, done.stderr
    assert shape.one("comment") in written.read_text()
    if shape.one("daemon"):
        command = [sys.executable, "-m", "hostler", "check", "--config", "hostler.toml"]
        subprocess.run(command, cwd=serve.directory, timeout=40, check=True, capture_output=True)
        return
    server = serve(None, "--config", "hostler.toml", bind=[], env=shape.env, ready=False)
    server.wait_ready(shape.binds)
    shape.ask(server)
    assert server.stop() == 0


def test_there_are_shapes_of_each_fate() -> None:
    text = [path.read_text() for path in every()]
    assert len(text) >= 30
    assert sum("\n# refused: " in f"\n{each}" for each in text) >= 6
