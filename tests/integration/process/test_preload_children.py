"""What an app does to its processes while it is imported for all workers (preload): children, SIGCHLD, false pids."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.helpers import Connection, Serve, Server, processes
from tests.integration.helpers.commands import status, template
from tests.integration.helpers.load import GET
from tests.integration.helpers.processes import wait_gone
from tests.integration.helpers.users import PREPARED, needs_root
from tests.integration.helpers.versions import answer, reload

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="preload needs PR_SET_CHILD_SUBREAPER")

APP = """
    import os

    def application(environ, start_response):
        body = str(os.getpid()).encode()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
"""
# Notes each process that the import has started: a manager, a pool's, a daemonic one, programs.
CHILDREN = """
    import multiprocessing, os, subprocess, sys, time
    from concurrent.futures import ProcessPoolExecutor

    def note(*pids):
        with open("children", "a") as file:
            print(*pids, file=file)

    context = multiprocessing.get_context("fork")
    manager = context.Manager()
    shared = manager.dict(hits=0)
    pool = ProcessPoolExecutor(1, mp_context=context)
    daemon = context.Process(target=time.sleep, args=(600,), daemon=True)
    daemon.start()
    program = subprocess.Popen(["sleep", "600"])
    own_session = subprocess.Popen(["sh", "-c", "sleep 600 & echo $!; wait"], start_new_session=True, stdout=-1)
    grandchild = int(own_session.stdout.readline())
    note(manager._process.pid, pool.submit(os.getpid).result(), daemon.pid, program.pid, own_session.pid, grandchild)

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/hold":
            open("held", "w").close()
            while not os.path.exists("go"):
                time.sleep(0.005)
        shared["hits"] += 1
        body = str(shared["hits"]).encode()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
"""


def children(serve: Serve, generation: int) -> list[int]:
    """The processes that an import has started."""
    return [int(pid) for pid in (serve.directory / "children").read_text().splitlines()[generation].split()]


def holders(port: int) -> set[int]:
    """The processes that have a listener on the port open."""
    found = set()
    inodes = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and int(line.split()[1].rpartition(":")[2], 16) == port
    }
    for row in processes.table():
        try:
            links = [os.readlink(fd) for fd in Path(f"/proc/{row.pid}/fd").iterdir()]
        except OSError:
            continue
        if {f"socket:[{inode}]" for inode in inodes}.intersection(links):
            found.add(row.pid)
    return found


def test_children_of_the_import_never_hold_the_port_and_end_with_their_version(serve: Serve) -> None:
    server = serve(serve.source(CHILDREN), "--preload", "--workers", "2", env={"PYTHONWARNINGS": "ignore"})
    server.wait_children(3)
    first = children(serve, 0)
    workers = [pid for pid in server.children() if pid != template(server)]
    assert holders(server.port) == {server.pid, *workers}
    assert answer(server) == "1"
    assert reload(server).returncode == 0
    wait_gone(first, within=5.0)
    second = children(serve, 1)
    assert answer(server) == "1", "of the new version's manager"
    assert server.stop() == 0
    wait_gone(second, within=1.0)


def test_old_workers_have_what_the_import_has_started_until_they_end(serve: Serve) -> None:
    server = serve(serve.source(CHILDREN), "--preload", env={"PYTHONWARNINGS": "ignore"})
    with server.connect() as connection:
        connection.send(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_for((serve.directory / "held").exists, "the request")
        server.kill(signal.SIGHUP)
        server.wait_log("reloaded workers=")
        time.sleep(0.3)  # nothing may happen then
        (serve.directory / "go").touch()
        assert connection.response().body == b"1", "from its own manager"
    wait_gone(children(serve, 0), within=5.0)


def test_children_of_an_import_that_hangs_end_with_it(serve: Serve) -> None:
    text = textwrap.dedent(CHILDREN) + "\nopen('held', 'w').close()\ntime.sleep(600)\n"
    server = serve(serve.source(text), "--preload", ready=False, env={"PYTHONWARNINGS": "ignore"})
    server.wait_for((serve.directory / "held").exists, "the import")
    assert server.stop() == 0
    wait_gone(children(serve, 0), within=1.0)


SIGCHLD = {
    "ignored": "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "reaped": """
import os, signal
def reap(number, frame):
    while True:
        os.waitpid(-1, os.WNOHANG)  # raises when there is no child left, as careless handlers do
signal.signal(signal.SIGCHLD, reap)
""",
    "reaped by a thread": """
import os, threading, time
def reap():
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            time.sleep(0.001)
threading.Thread(target=reap, daemon=True).start()
""",
}


@pytest.mark.parametrize("preload", [["--preload"], []], ids=["preload", "workers"])
@pytest.mark.parametrize("kind", SIGCHLD)
def test_workers_start_whatever_the_app_does_with_sigchld(serve: Serve, preload: list[str], kind: str) -> None:
    server = serve(serve.source(SIGCHLD[kind] + textwrap.dedent(APP)), *preload, "--workers", "3")
    others = server.wait_children(3 + len(preload))
    for _ in range(3):
        victim = max(server.children())
        os.kill(victim, signal.SIGKILL)
        server.wait_log(rf"worker died.* worker=\d pid={victim} signal=SIGKILL")
        server.wait_children(len(others), without=[victim])
    assert answer(server).isdigit()
    assert "cannot be forked" not in server.log
    assert server.stop() == 0


# While the file "lie" is there, the template names the process VICTIM as the worker that it has forked.
LIAR = """
    import os
    from hostler.worker.template import Template

    fork = Template._fork

    def lie(self, slot, age, fds):
        if not os.path.exists("lie"):
            return fork(self, slot, age, fds)
        for fd in fds:
            os.close(fd)
        with open("lie") as file:
            return file.read() or str(os.getpid())

    Template._fork = lie
""" + APP  # fmt: skip


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with the server."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def lies(server: Server, directory: Path, pid: str) -> None:
    """Have the template name a process, and wait until it has."""
    (directory / "lie").write_text(pid)
    worker = max(server.children())
    os.kill(worker, signal.SIGKILL)
    server.wait_log(r"named process \S+ as a worker that it has forked \(it is [^)]+\): killed")
    (directory / "lie").unlink()


@pytest.mark.parametrize("kind", ["another process", "a worker", "the template", "nonsense"])
def test_template_that_names_another_process_is_killed_and_nothing_else(
    serve: Serve, victim: subprocess.Popen[bytes], kind: str
) -> None:
    server = serve(serve.source(LIAR), "--preload", "--workers", "2")
    first, worker, _ = sorted(server.wait_children(3))
    named = {"another process": victim.pid, "a worker": worker, "the template": "", "nonsense": "9" * 5000}[kind]
    lies(server, serve.directory, str(named))
    server.wait_log("application imported again for all workers")
    server.wait_children(3, without=[first])
    assert worker in server.children()
    assert answer(server).isdigit()
    assert server.stop() == 0
    assert victim.poll() is None


@needs_root
def test_template_of_another_user_cannot_have_a_process_of_root_killed(
    public: Serve, victim: subprocess.Popen[bytes]
) -> None:
    directory = public.directory
    target = public.source(LIAR)
    options = ("--user", "nobody", "--preload", "--workers", "2")
    server = public(target, *options, python=("-c", PREPARED), bind=f"unix:{directory}/app.sock")
    assert os.stat(f"/proc/{server.pid}").st_uid == 0
    first = template(server)
    lies(server, directory, str(victim.pid))
    server.wait_log("application imported again for all workers")
    server.wait_children(3, without=[first])
    with server.connect() as connection:
        assert connection.request(GET).status == 200
    assert server.stop() == 0
    assert victim.poll() is None


@pytest.mark.slow
def test_template_that_does_not_answer_keeps_nothing_else_waiting(serve: Serve) -> None:
    server = serve(serve.source(APP), "--preload", "--workers", "2")
    first, victim, worker = sorted(server.wait_children(3))
    os.kill(first, signal.SIGSTOP)
    os.kill(victim, signal.SIGKILL)
    server.wait_log(rf"worker died.* worker=\d pid={victim} signal=SIGKILL", within=3.0)
    started = time.monotonic()
    assert [each["pid"] for each in status(server)["workers"]] == [worker]
    assert answer(server) == str(worker)
    assert time.monotonic() - started < 3.0
    server.wait_log("did not fork a worker in time: killed", within=15.0)
    server.wait_children(3, without=[first, victim])
    assert server.stop() == 0


def test_template_that_is_stopped_does_not_outlive_the_server(serve: Serve) -> None:
    server = serve(serve.source(APP), "--preload")
    os.kill(template(server), signal.SIGSTOP)
    assert server.stop() == 0
    server.wait_gone()


FLOOD = """
    import gc, threading
    from hostler.proc.channel import Channel

    gc.unfreeze()  # what was made before the fork is listed too
    line = next(each for each in gc.get_objects() if isinstance(each, Channel) and each.is_open)

    def flood():
        while True:
            for word in (b"ready\\0", b"failed app\\nno\\0", b"forked 1 1\\0", b"unforked 2 no\\0", b"x" * 50000):
                line._sock.sendall(word)

    def later():
        import os, time
        while not os.path.exists("flood"):
            time.sleep(0.005)
        flood()

    threading.Thread(target=later, daemon=True).start()
""" + APP  # fmt: skip


def test_flood_of_a_template_is_bounded(serve: Serve) -> None:
    server = serve(serve.source(FLOOD), "--preload", "--workers", "2", env={"PYTHONWARNINGS": "ignore"})
    server.wait_children(3)
    (serve.directory / "flood").touch()
    server.wait_log("no worker would send it now")
    cpu, started = processes.cpu(server.pid), time.monotonic()
    for _ in range(10):
        assert len(status(server)["workers"]) == 2
    assert answer(server).isdigit()
    assert processes.cpu(server.pid) - cpu < 0.3 + (time.monotonic() - started) / 2
    assert len(server.children()) == 3, "no template beside it"
    assert server.stop() == 0
    assert len(server.log) < 20_000


def test_more_workers_than_are_asked_for_at_a_time(serve: Serve) -> None:
    server = serve(serve.source(APP), "--preload", "--workers", "30", "--threads", "1")
    server.wait_children(31)
    assert "cannot be forked" not in server.log
    assert server.stop() == 0


def test_several_listeners_reach_the_workers_in_their_order(serve: Serve, tmp_path: Path) -> None:
    binds = ["127.0.0.1:0", f"unix:{tmp_path}/app.sock", "127.0.0.1:0"]
    server = serve(serve.source(APP), "--preload", "--admin-bind", "127.0.0.1:0", bind=binds)
    for index in range(3):
        with server.connect(index) as connection:
            assert connection.request(GET).status == 200
    [line] = server.wait_log(r"probes are answered url=http://127.0.0.1:\d+")
    with Connection(socket.create_connection(("127.0.0.1", int(line.rpartition(":")[2])), timeout=10)) as probe:
        assert probe.request(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").status == 200
