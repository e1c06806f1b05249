"""--reload: requests wait for the new code, and say what is wrong with it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.integration.helpers import Serve, Server
from tests.integration.helpers.load import GET

APP = """
    import time

    time.sleep(0.3)

    def application(environ, start_response):
        body = b"{version}"
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
"""


@pytest.fixture(params=["watchfiles", "polling"])
def env(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """With the library, and without."""
    if request.param == "watchfiles":
        return {}
    folder = tmp_path / "without"
    folder.mkdir()
    (folder / "watchfiles.py").write_text("raise ImportError\n")
    return {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])}


def version(serve: Serve, name: str) -> str:
    return serve.source(APP.format(version=name))


def ask(server: Server) -> tuple[int, str]:
    with server.connect() as connection:
        response = connection.request(GET)
        return response.status, response.body.decode()


def wait_gone(server: Server, old: list[int]) -> None:
    """Until of these only the watcher is left."""
    server.wait_for(lambda: len(set(old) & set(server.children())) == 1, "the old workers' end")


def test_requests_wait_for_the_new_code(serve: Serve, env: dict[str, str]) -> None:
    server = serve(version(serve, "one"), "--reload", "--workers", "2", env=env)
    assert ask(server) == (200, "one")
    for number, name in enumerate(("two", "three"), 1):
        old = server.children()
        version(serve, name)
        server.wait_log("starting anew reason=.* has changed", count=number)
        wait_gone(server, old)
        assert ask(server) == (200, name)  # never the old one, never an error


def test_error_is_shown_and_the_next_save_recovers(serve: Serve) -> None:
    server = serve(version(serve, "one"), "--reload")
    serve.source("def (\n")
    server.wait_log("starting anew reason=.* has changed")
    server.wait_for(lambda: ask(server)[0] == 500, "the error")
    _, text = ask(server)
    assert "SyntaxError" in text
    assert "app.py" in text
    assert "SyntaxError" in server.log
    version(serve, "two")
    server.wait_log("starting anew reason=.* has changed", count=2)
    server.wait_for(lambda: ask(server) == (200, "two"), "the new app")


def test_error_at_the_start_too(serve: Serve) -> None:
    server = serve(serve.source("import nowhere\n"), "--reload")
    assert "No module named 'nowhere'" in ask(server)[1]
    version(serve, "one")
    server.wait_log("starting anew reason=.* has changed")
    server.wait_for(lambda: ask(server) == (200, "one"), "the new app")


def test_other_files(serve: Serve, env: dict[str, str]) -> None:
    (serve.directory / "page.html").write_text("old")
    server = serve(version(serve, "one"), "--reload", "--reload-extra-files", "*.html", env=env)
    (serve.directory / "notes.txt").write_text("nobody minds")
    (serve.directory / "page.html").write_text("new, and longer")
    server.wait_log("starting anew reason=.*page.html has changed")
    assert ask(server) == (200, "one")
    assert "notes.txt" not in server.log


def test_killed_watcher_is_said(serve: Serve) -> None:
    server = serve(version(serve, "one"), "--reload")
    watcher = next(pid for pid in server.children() if f"{sys.executable}" in _command(pid) and _is_watcher(pid))
    os.kill(watcher, 9)
    server.wait_log("files are not watched any more")
    assert ask(server) == (200, "one")


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def _is_watcher(pid: int) -> bool:
    """It has no listening socket of ours: all its sockets are its line to the arbiter."""
    sockets = [os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()]
    return sum(name.startswith("socket:") for name in sockets) == 1


def test_what_is_saved_while_it_starts_counts(serve: Serve, env: dict[str, str]) -> None:
    """Between the import and the moment from which files are watched."""
    serve.source(
        "open('held', 'w').close()\nimport os, time\nwhile not os.path.exists('go'):\n    time.sleep(0.01)\n"
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'one']\n"
    )
    server = serve("app:application", "--reload", ready=False, env=env)
    server.wait_for((serve.directory / "held").exists, "the import")
    version(serve, "two")
    (serve.directory / "go").touch()
    server.wait_log("starting anew reason=.* has changed")
    server.wait_ready()
    server.wait_for(lambda: ask(server) == (200, "two") or None, "the new code")
