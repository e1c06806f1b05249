"""A worker runs at its end what was registered in it, and nothing of the process that it was forked from."""

from __future__ import annotations

import os
import signal
import textwrap
from pathlib import Path

import pytest

from tests.integration.helpers import Serve
from tests.integration.helpers.load import GET

# What is registered where this runs, and a directory of that process.
REGISTER = """
import atexit, logging, multiprocessing.util, os, tempfile, weakref

class Thing: ...

thing, directory = Thing(), tempfile.TemporaryDirectory(dir=".", prefix="shared-")

def say(what):
    with open("said", "a") as file:
        file.write(f"{what} registered in {registered} ran in {os.getpid()}\\n")

registered = os.getpid()
atexit.register(say, "atexit")
weakref.finalize(thing, say, "weakref")
multiprocessing.util.Finalize(None, say, ["multiprocessing"], exitpriority=1)
"""
APP = """
own = []

def application(environ, start_response):
    global thing
    thing = None  # its finalizer is its process's
    if not own:
        import atexit, os, tempfile, weakref
        own.append(tempfile.TemporaryDirectory(dir=".", prefix=f"own-{os.getpid()}-"))
        me = os.getpid()
        atexit.register(lambda: open(f"end-{me}-atexit", "w").close())
        own.append(Thing())
        weakref.finalize(own[-1], lambda: open(f"end-{me}-weakref", "w").close())
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""
QUIET = {"PYTHONWARNINGS": "ignore"}  # of directories that are cleaned up implicitly
SCRIPT = REGISTER + APP + "import hostler\nhostler.serve(application, bind='127.0.0.1:0')\n"


def said(folder: Path) -> list[list[str]]:
    """What ran, where it was registered, where it ran."""
    path = folder / "said"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [[line.split()[0], line.split()[3], line.split()[6]] for line in lines]


@pytest.mark.parametrize("kind", ["script", "preload", "plain"])
def test_replaced_worker_runs_only_what_was_registered_in_it(serve: Serve, tmp_path: Path, kind: str) -> None:
    if kind == "script":
        (tmp_path / "script.py").write_text(SCRIPT)
        server = serve(python=("script.py",), env=QUIET)
    else:
        (tmp_path / "app.py").write_text(textwrap.dedent(REGISTER + APP))
        server = serve("app", f"--preload={'on' if kind == 'preload' else 'off'}", env=QUIET)
    [worker] = [pid for pid in server.children() if is_worker(pid, server.pid, kind)]
    with server.connect() as connection:
        assert connection.request(GET).status == 200
    os.kill(worker, signal.SIGTERM)
    server.wait_log(rf"worker died; a new one starts worker=\d pid={worker} exit_code=0")
    # Its own ran, its directory is gone; that of the parent is there, if it is not its own.
    assert {path.name for path in tmp_path.glob("end-*")} == {f"end-{worker}-atexit", f"end-{worker}-weakref"}
    assert list(tmp_path.glob(f"own-{worker}-*")) == []
    of_worker = [each for each in said(tmp_path) if each[2] == str(worker)]
    if kind == "plain":
        assert {each[0] for each in of_worker} == {"atexit", "weakref", "multiprocessing"}
    else:
        assert of_worker == []
        assert len(list(tmp_path.glob("shared-*"))) == 1
    assert server.stop() == 0
    assert all(registered == ran for _, registered, ran in said(tmp_path))
    # In the end each handler ran once, where it was registered.
    assert list(tmp_path.glob("shared-*")) == []
    assert {each[0] for each in said(tmp_path)} == {"atexit", "weakref", "multiprocessing"}


def is_worker(pid: int, arbiter: int, kind: str) -> bool:
    """With preload the template is a child as well: it has no listener, so it is the one that was there first."""
    return kind != "preload" or pid != template_of(arbiter)


def template_of(arbiter: int) -> int:
    """The oldest child."""
    return min(map(int, Path(f"/proc/{arbiter}/task/{arbiter}/children").read_text().split()))
