"""Threads that come while requests wait, stay few while they compute, and leave when idle."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.helpers import Serve, Server, crowd

APP = """
    import http.client
    import threading
    import time

    local = threading.local()
    lock = threading.Lock()
    inside = most = 0

    class Witness:
        # goes with its thread's locals, in that thread
        def __init__(self):
            self.thread = threading.get_ident()

        def __del__(self):
            with open("ended", "a") as file:
                print(self.thread == threading.get_ident(), file=file)

    class Slow:
        # the end of a thread's locals that takes long, as that of a connection over a network
        def __init__(self, seconds):
            self.seconds = seconds

        def __del__(self):
            with open("ending", "a") as file:
                print(file=file)
            time.sleep(self.seconds)

    def call(port, depth):
        if depth == 0:
            return "bottom"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("GET", "/call?%d" % (depth - 1))
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def application(environ, start_response):
        global inside, most
        path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
        with lock:
            inside += 1
            most = max(most, inside)
        body = "ok"
        if path == "/sleep":
            time.sleep(float(query))
        elif path == "/burn":
            end = time.thread_time() + float(query)
            while time.thread_time() < end:
                sum(range(100))
        elif path == "/call":
            body = call(int(environ["SERVER_PORT"]), int(query))
        elif path == "/witness":
            local.witness = Witness()
            time.sleep(float(query))
        elif path == "/slow-end":
            local.slow = Slow(float(query))
            time.sleep(0.2)
        elif path == "/threads":
            names = (thread.name for thread in threading.enumerate())
            body = " ".join(sorted(name for name in names if name.startswith("hostler-app-")))
        elif path == "/most":
            body = str(most)
        elif path == "/kept":
            body = str(getattr(local, "count", 0))
            local.count = int(body) + 1
        with lock:
            inside -= 1
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body.encode()]
"""


def get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def ask(server: Server, target: str) -> str:
    with server.connect(timeout=30) as connection:
        return connection.request(get(target)).body.decode()


def threads(server: Server) -> int:
    return len(ask(server, "/threads").split())


def together(server: Server, count: int, target: str) -> float:
    """Asks `count` times at once; returns how long it took until all were answered."""
    with crowd(server, count) as connections:
        began = time.monotonic()
        for connection in connections:
            connection.send(get(target))
        assert all(connection.response().status == 200 for connection in connections)
        return time.monotonic() - began


@pytest.fixture
def start(serve: Serve) -> Callable[..., Server]:
    target = serve.source(APP)
    return lambda *options: serve(target, *options)


@pytest.mark.alone
def test_it_begins_with_one_and_quick_requests_need_no_more(start: Callable[..., Server]) -> None:
    server = start()
    with crowd(server, 16) as connections:
        for _ in range(20):
            for connection in connections:
                connection.send(get("/"))
            assert all(connection.response().body == b"ok" for connection in connections)
    assert threads(server) == 1


def test_requests_that_wait_get_threads_at_once(start: Callable[..., Server]) -> None:
    server = start()
    assert together(server, 60, "/sleep?0.5") < 10.0, "one after the other would take 30 s, two by two 15 s"
    assert 60 <= threads(server) <= 130


def test_there_are_never_more_than_the_cap(start: Callable[..., Server]) -> None:
    server = start("--max-threads", "3")
    together(server, 12, "/sleep?0.05")
    assert ask(server, "/most") == "3"
    assert threads(server) == 3


@pytest.mark.alone
def test_requests_that_compute_get_few(start: Callable[..., Server]) -> None:
    server = start()
    together(server, 30, "/burn?0.03")
    assert int(ask(server, "/most")) <= 12, "of thirty"


@pytest.mark.alone
def test_a_long_computation_does_not_keep_others_waiting(start: Callable[..., Server]) -> None:
    server = start()
    with server.connect() as burning:
        burning.send(get("/burn?2"))
        server.wait_for(lambda: together(server, 1, "/") < 1.0, "a quick answer beside the computation", within=1.5)
        assert burning.response().status == 200


def test_idle_threads_leave_and_their_locals_go_with_them(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start("--thread-idle", "1")
    together(server, 20, "/witness?0.2")
    before = threads(server)
    assert before >= 20
    server.wait_for(lambda: threads(server) == 1, "all threads but one to leave")
    ended = (tmp_path / "ended").read_text().split()
    assert len(ended) >= 19
    assert set(ended) == {"True"}, "each witness went in its own thread"
    assert together(server, 20, "/sleep?0.2") < 2, "they come again"


def test_thread_local_whose_end_takes_long_keeps_neither_new_threads_nor_the_heartbeat(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start("--thread-idle", "1", "--worker-timeout", "2", "--graceful-timeout", "2")
    [worker] = server.children()
    together(server, 4, "/slow-end?10")
    server.wait_for((tmp_path / "ending").exists, "the end of a thread")
    assert together(server, 20, "/sleep?0.2") < 2, "new threads are started meanwhile"
    time.sleep(2.5)  # longer than worker_timeout: nothing may happen then
    assert server.children() == [worker]
    assert "worker unresponsive" not in server.log


def test_a_fixed_number_of_threads_stays(start: Callable[..., Server]) -> None:
    server = start("--threads", "3", "--thread-idle", "1")
    assert threads(server) == 3
    time.sleep(1.5)  # longer than thread_idle: nothing may happen then
    assert threads(server) == 3


def test_threads_are_used_again(start: Callable[..., Server]) -> None:
    server = start()
    assert [ask(server, "/kept") for _ in range(3)] == ["0", "1", "2"]


@pytest.mark.parametrize("depth", [1, 5, 20])
def test_an_app_calls_itself_at_any_depth(start: Callable[..., Server], depth: int) -> None:
    server = start("--workers", "1")
    began = time.monotonic()
    assert ask(server, f"/call?{depth}") == "bottom"
    assert time.monotonic() - began < 2


def test_an_app_calls_itself_beside_a_computation(start: Callable[..., Server]) -> None:
    server = start("--workers", "1")
    with server.connect(timeout=40) as burning:
        burning.send(get("/burn?3"))
        assert ask(server, "/call?5") == "bottom"
        assert select.select([burning.sock], [], [], 0) == ([], [], []), "before the computation ended"
        assert burning.response().status == 200


def test_without_more_threads_in_the_system_it_goes_on_with_those_it_has(serve: Serve) -> None:
    refuse = """
        import threading

        real = threading.Thread.start

        def start(thread):
            if thread.name not in ("hostler-app-0", "hostler-app-1") and thread.name.startswith("hostler-app"):
                raise RuntimeError("can't start new thread")
            real(thread)

        threading.Thread.start = start
    """
    serve.source(APP)
    serve.source(refuse + "\n        from app import application\n", "few")
    server = serve("few:application")
    together(server, 6, "/sleep?0.1")
    assert ask(server, "/most") == "2"
    server.wait_log("no more threads can be started threads=2 reason=\"can't start new thread")
