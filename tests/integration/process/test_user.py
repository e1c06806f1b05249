"""Workers that give up root's rights; the arbiter keeps them."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import signal
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.integration.helpers import HELLO, Serve
from tests.integration.helpers.load import GET
from tests.integration.helpers.users import PREPARED, SCRIPT, needs_root


@needs_root
@pytest.mark.parametrize("by", ["name", "number"])
def test_workers_run_as_the_user_with_its_groups(public: Serve, by: str) -> None:
    nobody = pwd.getpwnam("nobody")
    user = '"nobody"' if by == "name" else nobody.pw_uid
    directory = public.directory
    (directory / "script.py").write_text(SCRIPT.format(directory=directory, options=f"user={user}, umask='027'"))
    server = public(None, python=("script.py",), bind=[], ready=False)
    server.log_path = directory / "error.log"
    server.wait_for(server.log_path.exists, "the log")
    server.wait_ready()
    uid, gid = nobody.pw_uid, nobody.pw_gid
    with server.connect() as connection:
        said = connection.request(GET).body
    assert said == f"[[{uid}, {uid}, {uid}], [{gid}, {gid}, {gid}], [{gid}], {0o027}]".encode()
    for name in ("app.sock", "error.log", "access.log"):
        found = os.stat(directory / name)
        assert (name, found.st_uid, found.st_gid) == (name, uid, gid)
    assert os.stat(f"/proc/{server.pid}").st_uid == 0
    (directory / "access.log").rename(directory / "access.log.1")
    server.kill(signal.SIGUSR1)
    server.wait_for((directory / "access.log").exists, "a new access log")

    def is_written() -> bool:
        """By the worker, a moment after the arbiter."""
        with server.connect() as connection:
            connection.request(GET)
        return (directory / "access.log").stat().st_size > 0

    server.wait_for(is_written, "a line in the new access log")
    assert server.stop() == 0


@needs_root
def test_group_alone(public: Serve) -> None:
    gid = grp.getgrnam("daemon").gr_gid
    (public.directory / "script.py").write_text(SCRIPT.format(directory=public.directory, options="group='daemon'"))
    server = public(None, python=("script.py",), bind=[], ready=False)
    server.log_path = public.directory / "error.log"
    server.wait_for(server.log_path.exists, "the log")
    server.wait_ready()
    with server.connect() as connection:
        assert f"[[0, 0, 0], [{gid}, {gid}, {gid}], [{gid}], ".encode() in connection.request(GET).body


@needs_root
def test_user_without_an_entry_has_the_group_that_is_named_and_no_other(public: Serve) -> None:
    options = "user=54321, group=54322"
    (public.directory / "script.py").write_text(SCRIPT.format(directory=public.directory, options=options))
    server = public(None, python=("script.py",), bind=[], ready=False)
    server.log_path = public.directory / "error.log"
    server.wait_for(server.log_path.exists, "the log")
    server.wait_ready()
    with server.connect() as connection:
        said = connection.request(GET).body
    assert said.startswith(b"[[54321, 54321, 54321], [54322, 54322, 54322], [54322], ")
    assert "workers run as another user user=54321 group=54322" in server.log


@needs_root
@pytest.mark.parametrize("command", [["serve"], ["check"], ["gunicorn"]])
def test_user_without_an_entry_and_without_a_group_is_one_line(serve: Serve, command: list[str]) -> None:
    """Its workers would have root's group."""
    serve.source("def application(environ, start_response): ...")
    server = serve("app", "--user", "54321", python=("-m", "hostler", *command), bind=[], ready=False)
    assert server.wait() == 2
    assert server.log.endswith(
        "--user: this system has no entry for user 54321, so its group is not known: set group too\n"
    )


@needs_root
def test_check_imports_the_application_as_the_workers_user(public: Serve) -> None:
    """Root must not run code that this user may have written."""
    modules = "cli.check, hostler.proc.fork, hostler.worker.boot, hostler.worker.discovery, hostler.cli.command"
    script = f"{SCRIPT.partition('def application')[0]}import sys, hostler.{modules}\n"
    script += "sys.exit(hostler.cli.main(['check', 'seen', '--user', 'nobody']))\n"
    app = "import os\nopen('ids', 'w').write(f'{os.getresuid()} {os.getgroups()}')\n"
    app += "def application(environ, start_response): ...\n"
    public.directory.chmod(0o777)
    (public.directory / "script.py").write_text(script)
    (public.directory / "seen.py").write_text(app)
    server = public(None, python=("script.py",), bind=[], ready=False)
    assert server.wait() == 0
    nobody = pwd.getpwnam("nobody")
    uid = nobody.pw_uid
    assert (public.directory / "ids").read_text() == f"({uid}, {uid}, {uid}) [{nobody.pw_gid}]"


@pytest.mark.parametrize(
    ("option", "said"),
    [("--user", 'there is no user "nosuch" on this system'), ("--group", 'there is no group "nosuch" on this system')],
)
def test_unknown_names_are_one_line(serve: Serve, option: str, said: str) -> None:
    server = serve("app", option, "nosuch", ready=False)
    assert server.wait() == 2
    assert server.log == f"hostler: {option}: {said}\n"


@needs_root
def test_watcher_of_a_developers_server_runs_as_the_user_too(public: Serve) -> None:
    bind = f"unix:{public.directory}/app.sock"
    server = public(public.source(HELLO), "--user", "nobody", "--reload", python=("-c", PREPARED), bind=bind)
    nobody = pwd.getpwnam("nobody").pw_uid
    children = server.wait_children(2)
    server.wait_for(lambda: [uids(child) for child in children] == [{nobody}] * 2, "another user for both")


def uids(pid: int) -> set[int]:
    """Real, effective, saved and file system user of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {int(word) for line in lines if line.startswith("Uid:") for word in line.split()[1:]}


@needs_root
def test_library_that_the_workers_user_cannot_read_is_named(public: Serve, tmp_path: Path) -> None:
    """Root has read what the arbiter needs; the worker wants more when it has changed its user already."""
    hidden = tmp_path / "hidden"
    shutil.copytree(ROOT / "src" / "hostler", hidden / "hostler")
    hidden.chmod(0o700)
    server = public(
        public.source(HELLO),
        "--user",
        "nobody",
        env={"PYTHONPATH": str(hidden)},
        python=("-P", "-m", "hostler", "serve"),
        ready=False,
    )
    assert server.wait() in (3, 4)
    closed = next(place for place in [*reversed(hidden.parents), hidden] if not place.stat().st_mode & 0o001)
    named = re.search(r"uid \d+ may not enter (\S+), which it needs for Python's modules or hostler's", server.log)
    assert named, server.log
    assert Path(named[1]) in [closed, *Path(os.__file__).parents]
