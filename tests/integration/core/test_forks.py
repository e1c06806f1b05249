"""An app that forks: its children keep no connection open, never serve, and end as a table says."""

from __future__ import annotations

import functools
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.integration.helpers import Serve, Server, processes

GET = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: %s\r\n\r\n"

# /?WORD forks. The child writes its number to the file "child"; then it sleeps, returns, raises or writes. Or the fork
# is in the iterable or its close(). The parent answers.
WSGI = """
    import os
    import sys
    import time

    def fork():
        pid = os.fork()
        if pid == 0:
            with open("draft", "w") as file:
                file.write(str(os.getpid()))
            os.rename("draft", "child")
        return pid

    class Parts:
        def __init__(self, word):
            self.word = word

        def __iter__(self):
            yield b"one "
            if self.word == "broken":
                raise LookupError("in the iterable")
            if self.word == "iterable" and fork() == 0:
                yield b"never sent"
                time.sleep(60)
            yield b"two"

        def close(self):
            if self.word == "close":
                fork()

    def application(environ, start_response):
        word = environ["QUERY_STRING"]
        if word in ("iterable", "close", "broken"):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return Parts(word)
        if word and fork() == 0:
            if word == "sleep":
                time.sleep(60)
                os._exit(0)
            if word == "exit":
                print("last words")
                raise SystemExit(7)
            if word == "error":
                raise LookupError("in the child")
            if word == "write":
                start_response("200 OK", [("Content-Type", "text/plain")])(b"never sent")
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"%d" % os.getpid()]
"""
ASGI = """
    import asyncio
    import os
    import time

    def fork():
        pid = os.fork()
        if pid == 0:
            with open("draft", "w") as file:
                file.write(str(os.getpid()))
            os.rename("draft", "child")
        return pid

    async def application(scope, receive, send):
        if scope["type"] != "http":
            return
        word = scope["query_string"].decode()
        if word == "late":
            await asyncio.sleep(0.05)
        if word == "broken":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"one ", "more_body": True})
            raise LookupError("in the body")
        if word and fork() == 0:
            if word == "sleep":
                time.sleep(60)
                os._exit(0)
            if word == "exit":
                print("last words")
                raise SystemExit(7)
            if word == "error":
                raise LookupError("in the child")
            if word == "await":
                await asyncio.sleep(60)
            if word in ("return", "late"):
                return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % os.getpid()})
"""
DRIVERS = {
    "threads": (WSGI, ("--threads", "2")),
    "gevent": (WSGI, ("--driver", "gevent")),
    "asyncio": (ASGI, ()),
}


def start(serve: Serve, driver: str) -> Server:
    app, options = DRIVERS[driver]
    # 3.12 and later warn of forks in processes with threads, which is what is tried here.
    return serve(serve.source(app), *options, "--slow-request", "0", env={"PYTHONWARNINGS": "default"})


def child_of(serve: Serve, server: Server) -> int:
    """The number of the child that the app has forked."""
    path = serve.directory / "child"
    server.wait_for(path.exists, "a forked child")
    return int(path.read_text())


def is_running(pid: int) -> bool:
    return any(row.pid == pid and not row.is_zombie for row in processes.table())


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_closed_connection_ends_for_its_client_while_a_child_lives(serve: Serve, driver: str, version: bytes) -> None:
    server = start(serve, driver)
    [worker] = server.children()
    with server.connect(timeout=5) as kept, server.connect(timeout=5) as open_all_the_time:
        open_all_the_time.request(GET % (b"/", b"keep-alive"))
        kept.send((GET % (b"/?sleep", b"close")).replace(b"1.1", version))
        assert kept.response().status == 200
        assert kept.is_closed(), "the child has a copy of the socket, and lives"
        child = child_of(serve, server)
        with server.connect(timeout=5) as another:
            another.send((GET % (b"/", b"close")).replace(b"1.1", version))
            assert another.response().status == 200
            assert another.is_closed()
        # The kernel must not go on telling of connections that only the child has open.
        assert open_all_the_time.request(GET % (b"/", b"keep-alive")).status == 200
        before = processes.cpu(worker)
        time.sleep(1)
        assert processes.cpu(worker) - before < 0.3, "an idle worker"
        held = {str(fd.readlink()) for fd in Path(f"/proc/{child}/fd").iterdir()}
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        of_tcp = {f"socket:[{row[9]}]" for row in rows}  # proc_net_tcp(5): the inode
        assert of_tcp.intersection(str(fd.readlink()) for fd in Path(f"/proc/{worker}/fd").iterdir())
        assert not held.intersection(of_tcp), "neither connections nor listeners"
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("driver", DRIVERS)
def test_broken_chunked_response_ends_while_a_child_lives(serve: Serve, driver: str) -> None:
    server = start(serve, driver)
    with server.connect(timeout=5) as forking, server.connect(timeout=5) as broken:
        assert forking.request(GET % (b"/?sleep", b"keep-alive")).status == 200
        child = child_of(serve, server)
        broken.send(GET % (b"/?broken", b"keep-alive"))
        data = broken.read_all()
        assert data.endswith(b"4\r\none \r\n"), "no last chunk"
        os.kill(child, signal.SIGKILL)


# What the child does, how it ends, and what it says.
ENDS = {
    "return": ("", "LookupError"),
    "exit": ("last words", ""),
    "error": ("LookupError: in the child", ""),
}


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("word", ENDS)
def test_child_that_comes_back_from_the_app_ends(serve: Serve, driver: str, word: str) -> None:
    server = start(serve, driver)
    [worker] = server.children()
    with server.connect(timeout=5) as connection:
        response = connection.request(GET % (b"/?%s" % word.encode(), b"keep-alive"))
        assert (response.status, int(response.body)) == (200, worker), "one answer, the parent's"
        child = child_of(serve, server)
        server.wait_for(lambda: not is_running(child), "the child's end")
        assert int(connection.request(GET % (b"/", b"keep-alive")).body) == worker
        connection.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.sock.recv(1)
    says, never = ENDS[word]
    if says:
        server.wait_log(says)
    assert not never or never not in server.log
    assert server.stop() == 0


@pytest.mark.parametrize("driver", DRIVERS)
def test_child_lives_as_long_as_it_works(serve: Serve, driver: str) -> None:
    """With greenlets, its hub runs the worker's main greenlet too, which must not end it."""
    app, options = DRIVERS[driver]
    server = serve(serve.source(app), *options, "--worker-timeout", "1s", env={"PYTHONWARNINGS": "default"})
    with server.connect() as connection:
        assert connection.request(GET % (b"/?sleep", b"keep-alive")).status == 200
        child = child_of(serve, server)
        for _ in range(20):
            time.sleep(0.1)  # the subject: longer than all that the main thread does now and then
            assert is_running(child)
            assert connection.request(GET % (b"/", b"keep-alive")).status == 200
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("word", ["write", "iterable", "close"])
@pytest.mark.parametrize("driver", ["threads", "gevent"])
def test_child_never_writes_to_a_connection(serve: Serve, driver: str, word: str) -> None:
    server = start(serve, driver)
    with server.connect(timeout=5) as connection:
        response = connection.request(GET % (b"/?%s" % word.encode(), b"keep-alive"))
        assert response.status == 200
        assert b"never sent" not in response.body
        child = child_of(serve, server)
        server.wait_for(lambda: not is_running(child), "the child's end")
        assert connection.request(GET % (b"/", b"keep-alive")).status == 200
    if word == "write":
        server.wait_log("RuntimeError: this process was forked off a worker")


@pytest.mark.parametrize("word", ["await", "late"])
def test_child_of_a_coroutine_never_runs_the_event_loop(serve: Serve, word: str) -> None:
    server = start(serve, "asyncio")
    with server.connect(timeout=5) as connection:
        assert connection.request(GET % (b"/?%s" % word.encode(), b"keep-alive")).status == 200
        child = child_of(serve, server)
        server.wait_for(lambda: not is_running(child), "the child's end")
        assert connection.request(GET % (b"/", b"keep-alive")).status == 200
    if word == "await":
        server.wait_log("RuntimeError")


def test_pool_of_processes_works_and_outlives_no_stop(serve: Serve) -> None:
    app = """
        import atexit
        import os
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        pool = None

        def square(number):
            return number * number

        def application(environ, start_response):
            global pool
            if pool is None:
                pool = ProcessPoolExecutor(2, mp_context=get_context("fork"))
            number = pool.submit(square, 12).result()
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"%d" % number]
    """
    server = serve(serve.source(app), env={"PYTHONWARNINGS": "default"})
    port = server.port
    for _ in range(3):
        with server.connect(timeout=10) as connection:
            connection.send(GET % (b"/", b"close"))
            assert connection.response().body == b"144"
            assert connection.is_closed()
    assert server.stop() == 0
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections are no holders of the port
        probe.bind(("127.0.0.1", port))


def test_worker_of_a_forked_server_serves(serve: Serve) -> None:
    """A child of a worker may start a server of its own: what it must not do concerns its parent's connections only."""
    app = """
        import multiprocessing
        import os

        def inner(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"inner"]

        def run():
            import hostler
            hostler.serve(inner, bind="127.0.0.1:0", workers=1)

        process = None

        def application(environ, start_response):
            global process
            if process is None and environ["PATH_INFO"] == "/start":
                process = multiprocessing.get_context("fork").Process(target=run, daemon=True)
                process.start()
            if environ["PATH_INFO"] == "/end":
                process.terminate()
                process.join()
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"outer"]
    """
    server = serve(serve.source(app), "--threads", "1", env={"PYTHONWARNINGS": "default"})
    with server.connect() as connection:
        assert connection.request(GET % (b"/start", b"keep-alive")).body == b"outer"
        server.wait_ready(2)
        with server.connect(1) as inner:
            assert inner.request(GET % (b"/", b"keep-alive")).body == b"inner"
        assert connection.request(GET % (b"/end", b"keep-alive")).body == b"outer"


TERMINATES = {
    "threads": """
        import multiprocessing
        import os
        import time

        context = multiprocessing.get_context("fork")

        def wait(name):
            open(name, "w").close()
            time.sleep(60)

        def application(environ, start_response):
            process = context.Process(target=wait, args=("child",))
            process.start()
            while not os.path.exists("child"):
                time.sleep(0.005)
            process.terminate()
            process.join(10)
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"%d %s" % (os.getpid(), str(process.exitcode).encode())]
    """,
    "asyncio": """
        import asyncio
        import multiprocessing
        import os
        import time

        context = multiprocessing.get_context("fork")

        def wait(name):
            open(name, "w").close()
            time.sleep(60)

        async def application(scope, receive, send):
            if scope["type"] != "http":
                return
            process = context.Process(target=wait, args=("child",))
            process.start()
            while not os.path.exists("child"):
                await asyncio.sleep(0.005)
            process.terminate()
            await asyncio.to_thread(process.join, 10)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            answer = b"%d %s" % (os.getpid(), str(process.exitcode).encode())
            await send({"type": "http.response.body", "body": answer})
    """,
}


@pytest.mark.parametrize("driver", TERMINATES)
def test_terminate_ends_a_forked_child_and_does_not_reach_the_worker(serve: Serve, driver: str) -> None:
    server = serve(serve.source(TERMINATES[driver]), env={"PYTHONWARNINGS": "default"})
    [worker] = server.children()
    with server.connect() as connection:
        for _ in range(3):
            (serve.directory / "child").unlink(missing_ok=True)
            assert connection.request(GET % (b"/", b"keep-alive")).body == b"%d -15" % worker
    assert server.children() == [worker]
    assert server.stop() == 0


HANDLES = """
    import os
    import signal
    import threading
    import time

    def handle(number, frame):
        if os.fork() == 0:  # and comes back: into whatever the main thread did
            with open("draft", "w") as file:
                file.write(str(os.getpid()))
            os.rename("draft", f"child{len(os.listdir('.'))}")

    signal.signal(signal.SIGUSR2, handle)

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"%d" % os.getpid()]
"""


def test_child_that_comes_back_from_a_signal_handler_ends_and_the_worker_serves_on(serve: Serve) -> None:
    server = serve(serve.source(HANDLES), "--slow-request", "0", env={"PYTHONWARNINGS": "default"})
    [worker] = server.children()

    def children() -> list[int]:
        return [int(path.read_text()) for path in serve.directory.glob("child*")]

    def are_forked(count: int) -> bool:
        return len(children()) == count

    with server.connect() as connection:
        for count in range(1, 6):
            os.kill(worker, signal.SIGUSR2)
            server.wait_for(functools.partial(are_forked, count), "a forked child")
            server.wait_for(lambda: not any(is_running(pid) for pid in children()), "its end")
            assert connection.request(GET % (b"/", b"keep-alive")).body == b"%d" % worker
    assert server.children() == [worker]
    assert server.stop() == 0
