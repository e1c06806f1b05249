"""What an app may do to the process that runs it, while it is imported: streams, signal handlers, children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from contextlib import ExitStack

import pytest

from tests.integration.helpers import HELLO, Serve, Server
from tests.integration.helpers.load import GET
from tests.integration.helpers.processes import wait_gone
from tests.integration.helpers.versions import reload

PRELOAD = pytest.mark.parametrize("options", [[], ["--preload"]], ids=["worker", "preload"])


def start(serve: Serve, text: str, options: Sequence[str] = (), app: str = HELLO) -> Server:
    """A server whose app does something before it is an app."""
    source = textwrap.dedent(text) + textwrap.dedent(app)
    return serve(serve.source(source), *options, env={"PYTHONWARNINGS": "ignore"})


def hello(server: Server) -> None:
    with server.connect() as connection:
        assert connection.request(GET).body == b"hello"


STREAMS = {
    "none": "import sys; sys.stdout = sys.stderr = None",
    "no flush": "import sys; sys.stdout = sys.stderr = object()",
    "raises": """
        import sys
        class Stream:
            def write(self, text): return len(text)
            def flush(self): raise RuntimeError("no")
        sys.stdout = sys.stderr = Stream()
    """,
    "exits": """
        import sys
        class Stream:
            def flush(self): sys.exit("no")
        sys.stdout = sys.stderr = Stream()
    """,
    "waits": """
        import sys, time
        class Stream:
            def flush(self): time.sleep(60)
        sys.stdout = Stream()
    """,
    "closed": "import sys; sys.stdout.close()",
    "deleted": "import sys; del sys.stdout",
}


@PRELOAD
@pytest.mark.parametrize("kind", STREAMS)
def test_streams_of_the_app_keep_no_worker_from_its_start_or_end(
    serve: Serve, options: Sequence[str], kind: str
) -> None:
    server = start(serve, STREAMS[kind], options)
    hello(server)
    [*_, worker] = sorted(server.children())
    os.kill(worker, signal.SIGKILL)
    server.wait_log(r"worker ready worker=0 pid=\d+")
    hello(server)
    assert reload(server).returncode == 0
    assert server.stop() == 0
    assert "cannot be forked" not in server.log
    assert "exit code" not in server.log


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_server_without_standard_streams_ends_with_0(serve: Serve, closed: str) -> None:
    serve.source(HELLO)
    log = serve.directory / "error.log"
    launch = f"exec {sys.executable} -m hostler serve app --bind 127.0.0.1:0 --workers 1 --error-log {log} {closed}"
    process = subprocess.Popen(["sh", "-c", launch], cwd=serve.directory)
    try:
        server = Server.__new__(Server)
        server.process, server.log_path = process, log
        server.wait_for(log.exists, "the log")
        server.wait_ready()
        hello(server)
        assert server.stop() == 0
    finally:
        process.kill()
        process.wait()


HANDLERS = """
    import faulthandler, os, signal

    def note(number, frame):
        with open("handled", "a") as file:
            print(signal.Signals(number).name, file=file)
        if number == signal.SIGWINCH:
            raise SystemExit("the app wants to end")

    for each in (signal.SIGINT, signal.SIGUSR1, signal.SIGHUP, signal.SIGWINCH, signal.SIGTERM, signal.SIGTTIN):
        signal.signal(each, note)
    file = open("traceback", "w")
    faulthandler.register(signal.SIGUSR2, file=file)
"""


@PRELOAD
def test_handlers_of_the_app_stay_unless_hostler_needs_the_signal_and_then_it_says_so(
    serve: Serve, options: Sequence[str]
) -> None:
    server = start(serve, HANDLERS, options)
    [*_, worker] = sorted(server.children())
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGHUP, signal.SIGWINCH, signal.SIGUSR2, signal.SIGTTIN):
        os.kill(worker, number)
    handled = serve.directory / "handled"
    server.wait_for(lambda: handled.exists() and handled.read_text().count("\n") == 3, "the app's handlers")
    assert sorted(handled.read_text().split()) == ["SIGHUP", "SIGTTIN", "SIGWINCH"]
    server.wait_for(lambda: "most recent call first" in (serve.directory / "traceback").read_text(), "faulthandler")
    server.wait_log("signal handler of the application failed signal=SIGWINCH error=.*SystemExit")
    hello(server)
    assert worker in server.children()
    assert server.stop() == 0
    said = [line for line in server.log.splitlines() if "signal handler of the application replaced" in line]
    assert [line.partition("signal=")[2].partition(" ")[0] for line in said] == ["SIGINT", "SIGUSR1", "SIGTERM"]
    assert 'signal=SIGUSR1 hostler_uses_it="to open the log files again" remedy="another signal"' in server.log


@PRELOAD
@pytest.mark.parametrize("text", ["", HANDLERS], ids=["plain", "handlers"])
def test_signals_that_come_all_at_once_end_no_process(serve: Serve, options: Sequence[str], text: str) -> None:
    """Their handlers interrupt each other, on a stack that is not the thread's own."""
    server = start(serve, text, options)
    before = server.children()
    ignored = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)
    for pid in before:
        os.kill(pid, signal.SIGSTOP)  # so that all of them are there when it goes on
        for number in (*ignored, signal.SIGWINCH):
            os.kill(pid, number)
        os.kill(pid, signal.SIGCONT)
    for _ in range(5):
        hello(server)
    assert server.children() == before
    assert "SIGSEGV" not in server.log
    assert server.stop() == 0


@PRELOAD
def test_native_handler_for_a_signal_that_hostler_needs_is_replaced_and_named(
    serve: Serve, options: Sequence[str]
) -> None:
    server = start(serve, "import faulthandler, signal\nfaulthandler.register(signal.SIGUSR1)\n", options)
    server.wait_log("signal handler of the application replaced signal=SIGUSR1", count=1)
    [*_, worker] = sorted(server.children())
    os.kill(worker, signal.SIGUSR1)
    hello(server)
    assert server.stop() == 0
    assert "most recent call first" not in server.log


def test_app_that_sets_no_handlers_is_told_nothing(serve: Serve) -> None:
    server = start(serve, "")
    assert server.stop() == 0
    assert "handler" not in server.log


CHILDREN = """
    import multiprocessing, os, time
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context("fork")
    manager = context.Manager()
    pool = ProcessPoolExecutor(1, mp_context=context)
    daemon = context.Process(target=time.sleep, args=(600,), daemon=True)
    daemon.start()
    with open("children", "w") as file:
        print(manager._process.pid, pool.submit(os.getpid).result(), daemon.pid, file=file)

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/hold":
            open("held", "w").close()
            time.sleep(600)
        start_response("200 OK", [("Content-Length", "5")])
        return [b"hello"]
"""


@pytest.mark.parametrize("kind", ["stopped", "quit", "cut", "stuck in atexit"])
def test_children_that_multiprocessing_has_for_a_worker_end_with_it(serve: Serve, kind: str) -> None:
    text = "import atexit, time\natexit.register(time.sleep, 600)\n" if kind == "stuck in atexit" else ""
    server = start(serve, text, ["--graceful-timeout", "500ms"], app=CHILDREN)
    children = [int(pid) for pid in (serve.directory / "children").read_text().split()]
    if kind == "cut":
        with server.connect() as connection:
            connection.send(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n")
            server.wait_for((serve.directory / "held").exists, "the request")
            assert server.stop() == 0
    assert server.stop(signal.SIGQUIT if kind == "quit" else signal.SIGTERM) == 0
    wait_gone(children, within=1.0)
    assert ("clean-up" in server.log) == (kind == "stuck in atexit")
    assert "did not end in time" not in server.log


def test_process_that_is_not_daemonic_is_joined(serve: Serve) -> None:
    text = """
        import multiprocessing, time
        def work():
            time.sleep(0.5)
            open("done", "w").close()
        multiprocessing.get_context("fork").Process(target=work).start()
    """
    server = start(serve, text)
    assert server.stop() == 0
    assert (serve.directory / "done").exists()


CLOSES = """
    import os

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/close":
            for number in (0, 1, 2):
                try:
                    os.close(number)
                except OSError:
                    pass
        for number in (0, 1, 2):
            try:
                os.write(number, b"meant for the log")
            except OSError:
                pass
        start_response("200 OK", [("Content-Length", "5")])
        return [b"hello"]
"""


@PRELOAD
@pytest.mark.parametrize("when", ["import", "request"])
def test_connection_never_becomes_a_standard_stream(serve: Serve, options: Sequence[str], when: str) -> None:
    log = serve.directory / "error.log"
    text = "import os\nfor number in (0, 1, 2):\n    os.close(number)\n" if when == "import" else ""
    app = textwrap.dedent(text) + textwrap.dedent(CLOSES)
    server = serve(serve.source(app), *options, "--error-log", str(log), ready=False)
    server.log_path = log
    server.wait_for(log.exists, "the log")
    server.wait_ready()
    path = b"/close" if when == "request" else b"/"
    with ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(6)]
        for connection in connections:  # each closes them again, and the next connection finds them closed
            connection.send(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path)
            assert connection.response().body == b"hello"
            with server.connect() as other:
                assert other.request(GET).body == b"hello"
                assert not [link for link in standard_streams(max(server.children())) if "socket" in link]
    assert server.stop() == 0


def standard_streams(pid: int) -> list[str]:
    """What is open as 0, 1 and 2."""
    paths = [f"/proc/{pid}/fd/{number}" for number in (0, 1, 2)]
    return [os.readlink(path) for path in paths if os.path.lexists(path)]
