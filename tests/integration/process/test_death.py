"""Processes that are killed: who goes on, who follows, and what the next start finds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.helpers import HELLO, Serve, Server, processes
from tests.integration.helpers.apps import HOLD, SLOW
from tests.integration.helpers.load import GET, HELD, Load, serve_all, wait_held
from tests.integration.helpers.processes import wait_gone


def wait_refused(server: Server, within: float) -> None:
    """Wait until nothing listens on the port any more."""
    deadline = time.monotonic() + within
    while True:
        try:
            server.connect().close()
        except ConnectionRefusedError:
            return
        assert time.monotonic() < deadline, f"the port is open after {within} s"


def test_killed_worker_costs_only_its_own_requests(serve: Serve) -> None:
    server = serve_all(serve, serve.source(HOLD), 2)
    first, second = server.children()
    clients = 4
    load = Load(server, clients)
    server.wait_for(lambda: load.answered > 50, "some load")
    os.kill(first, signal.SIGKILL)
    new = server.wait_children(2, without=[first])
    server.wait_log(rf"worker ready worker=\d pid={max(set(new) - {second})}")
    answered = load.answered
    server.wait_for(lambda: load.answered > answered + 50, "more load")
    load.stop()
    # Each client had at most one request or connection in the worker that died.
    assert len(load.failed) <= clients
    assert "signal=SIGKILL" in server.log


def test_only_worker_is_replaced_at_once_and_the_queue_waits_for_it(serve: Serve) -> None:
    server = serve(serve.source(HELLO))
    for _ in range(3):
        [worker] = server.children()
        os.kill(worker, signal.SIGKILL)
        server.wait_children(1, without=[worker])
        with server.connect() as connection:  # the kernel keeps it until a worker accepts
            assert connection.request(GET).body == b"hello"


def test_worker_that_was_told_to_end_is_replaced(serve: Serve) -> None:
    server = serve(serve.source(HELLO))
    [worker] = server.children()
    os.kill(worker, signal.SIGTERM)
    server.wait_children(1, without=[worker])
    server.wait_log(r"worker died; a new one starts worker=0 pid=\d+ exit_code=0")


def test_broken_deploy_leaves_the_other_workers_alone(serve: Serve) -> None:
    server = serve_all(serve, serve.source(HELLO), 2)
    first, second = server.children()
    (serve.directory / "app.py").write_text("import of_mars")
    os.kill(first, signal.SIGKILL)
    server.wait_log("cannot load .*of_mars")
    with server.connect() as connection:
        assert connection.request(GET).body == b"hello"
    server.wait_log("worker boot failed as before worker=. next_try=.* reason=.cannot load")
    assert server.log.count("Traceback") == 1
    assert second in server.children()
    serve.source(HELLO)
    server.wait_log(r"worker ready worker=\d pid=\d+", count=3)


def test_broken_deploy_with_nobody_left_ends_with_4(serve: Serve) -> None:
    server = serve(serve.source(HELLO))
    (serve.directory / "app.py").write_text("import of_mars")
    os.kill(server.children()[0], signal.SIGKILL)
    assert server.wait() == 4
    assert "giving up: no worker can boot" in server.log


@pytest.mark.parametrize("is_busy", [False, True], ids=["idle", "busy"])
def test_workers_follow_a_killed_arbiter_within_a_second(serve: Serve, is_busy: bool) -> None:
    server = serve_all(serve, serve.source(HOLD), 2)
    workers = server.children()
    with server.connect() as connection:
        if is_busy:
            connection.send(HELD)
            wait_held(server, serve)
        server.kill(signal.SIGKILL)
        wait_gone(workers, within=1.0)
    assert server.log.count("the arbiter is gone") == 2


def test_booting_worker_follows_a_killed_arbiter(serve: Serve) -> None:
    server = serve(serve.source(SLOW), ready=False)
    server.wait_for((serve.directory / "importing").exists, "the import")
    workers = server.children()
    server.kill(signal.SIGKILL)
    wait_gone(workers, within=1.0)


def test_worker_whose_cleanup_hangs_follows_a_killed_arbiter(serve: Serve) -> None:
    hanging = "import atexit, time\natexit.register(time.sleep, 60)\n"
    serve.source(HELLO)
    path = serve.directory / "app.py"
    path.write_text(hanging + path.read_text())
    server = serve("app")
    workers = server.children()
    server.kill(signal.SIGKILL)
    wait_gone(workers, within=1.0)


# /keep keeps the GIL in native code for a minute; with HOLD_GIL a thread does so some time after the import.
KEEPS_GIL = """
    import ctypes, os, threading, time

    def keep():
        open("kept", "w").close()
        ctypes.PyDLL(None).sleep(60)

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/keep":
            keep()
        start_response("200 OK", [("Content-Length", "0")])
        return []

    def later():
        while not os.path.exists("keep"):
            time.sleep(0.005)
        if os.getpid() == template:
            keep()

    if os.environ.get("HOLD_GIL"):
        template = os.getpid()
        threading.Thread(target=later, daemon=True).start()
"""


def test_worker_whose_gil_is_kept_by_native_code_follows_a_killed_arbiter_within_a_second(serve: Serve) -> None:
    server = serve(serve.source(KEEPS_GIL))
    workers = server.children()
    with server.connect() as connection:
        connection.send(b"GET /keep HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_for((serve.directory / "kept").exists, "the call")
        server.kill(signal.SIGKILL)
        wait_gone(workers, within=1.0)
        wait_refused(server, within=0.5)  # its last thread may need a moment more than its first


def test_template_whose_gil_is_kept_by_native_code_follows_a_killed_arbiter(serve: Serve) -> None:
    server = serve(serve.source(KEEPS_GIL), "--preload", env={"HOLD_GIL": "1"})
    children = server.wait_children(2)
    (serve.directory / "keep").touch()
    server.wait_for((serve.directory / "kept").exists, "the call")
    server.kill(signal.SIGKILL)
    wait_gone(children, within=4.0)


def test_watcher_follows_a_killed_arbiter(serve: Serve) -> None:
    server = serve(serve.source(HELLO), "--reload")
    children = server.wait_children(2)
    server.kill(signal.SIGKILL)
    wait_gone(children, within=1.0)


def test_next_start_takes_the_place_of_a_killed_one(serve: Serve, tmp_path: Path) -> None:
    """At once, while the old workers may still end: same port, same unix socket, same pid file."""
    bind = ["127.0.0.1:0", f"unix:{tmp_path}/app.sock"]
    pidfile = tmp_path / "hostler.pid"
    old = serve(serve.source(HELLO), "--pidfile", str(pidfile), bind=bind)
    bind[0] = f"127.0.0.1:{old.port}"
    old.kill(signal.SIGKILL)
    old.wait()
    assert pidfile.read_text() == f"{old.pid}\n"
    new = serve("app", "--pidfile", str(pidfile), bind=bind)
    assert pidfile.read_text() == f"{new.pid}\n"
    for index in range(2):
        with new.connect(index) as connection:
            assert connection.request(GET).body == b"hello"
    assert new.stop() == 0
    assert not pidfile.exists()
    assert not (tmp_path / "app.sock").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_CHILD_SUBREAPER")
def test_inherited_orphans_are_reaped(serve: Serve) -> None:
    """As process 1 the arbiter gets the children of every process that dies; a subreaper gets them too."""
    app = """
        import os
        def application(environ, start_response):
            if os.fork() == 0:
                if os.fork() == 0:
                    os._exit(0)  # the orphan
                os._exit(0)
            os.wait()
            start_response("200 OK", [("Content-Length", "0")])
            return []
    """
    launch = (
        "import ctypes, os, sys; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0);"
        " os.execv(sys.executable, [sys.executable, '-m', 'hostler', 'serve', *sys.argv[1:]])"
    )
    server = serve(
        serve.source(app), "-t", "1", python=("-W", "default", "-c", launch), env={"PYTHONWARNINGS": "ignore"}
    )
    for _ in range(5):
        with server.connect() as connection:
            assert connection.request(GET).status == 200

    def is_clean() -> bool:
        return len([row for row in processes.table() if row.parent == server.pid]) == 1

    server.wait_for(is_clean, "end of the orphans")
    assert "fault of hostler" not in server.log


@pytest.mark.skipif(sys.platform != "linux", reason="pid namespaces")
def test_as_process_1(serve: Serve) -> None:
    """Signals without a handler do not reach process 1, so every one that ends us must have one."""
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode != 0:
        pytest.skip("not allowed here")
    inner = (
        f"import os, sys; os.execvp('unshare', {unshare!r} + [sys.executable, '-m', 'hostler', 'serve'] + sys.argv[1:])"
    )
    server = serve(serve.source(HELLO), python=("-c", inner))
    [arbiter] = server.children()
    with server.connect() as connection:
        assert connection.request(GET).body == b"hello"
    assert "[1] [INFO] hostler" in server.log
    os.kill(arbiter, signal.SIGTERM)
    assert server.wait() == 0
    assert "stopped" in server.log
