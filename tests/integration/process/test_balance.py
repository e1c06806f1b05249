"""Who gets a connection: evenly spread over the workers, moved to those that are idle, taken over from those that are
stuck, stopped, replaced or dead."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.helpers import Connection, Serve, Server

# The answer is the pid of who gave it. PyDLL calls keep the GIL: nothing runs in that process meanwhile.
APP = """
    import ctypes
    import os
    import time

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/stuck":
            ctypes.PyDLL(None).usleep(3_000_000)
        elif path == "/compute":
            end = time.thread_time() + 0.05
            while time.thread_time() < end:
                pass
        body = str(os.getpid()).encode()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
"""
ASGI = """
    import os

    async def application(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""
WORKERS = 4


def get(path: str = "/") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def start(serve: Serve, *options: str, app: str = APP, workers: int = WORKERS) -> Server:
    server = serve(serve.source(app), "--workers", str(workers), "--admin-bind", "127.0.0.1:0", *options)
    server.wait_for(lambda: number(server, 'workers{state="ready"}') == workers or None, "all workers")
    return server


def number(server: Server, name: str) -> float:
    """A metric, summed over all workers."""
    [said] = server.wait_log(r"probes are answered url=http://127.0.0.1:\d+")
    probes = socket.create_connection(("127.0.0.1", int(said.rpartition(":")[2])), timeout=10)
    with Connection(probes) as connection:
        text = connection.request(get("/metrics")).body.decode()
    return sum(
        float(line.split()[-1]) for line in text.splitlines() if re.match(rf"hostler_{re.escape(name)}[{{ ]", line)
    )


def who(connection: Connection, path: str = "/") -> int:
    response = connection.request(get(path))
    assert response.status == 200
    return int(response.body)


def visit(server: Server, times: int) -> Counter[int]:
    """Who answers, one request after the other, each on a connection of its own."""
    found = Counter[int]()
    for _ in range(times):
        with server.connect(timeout=20) as connection:
            found[who(connection)] += 1
    return found


def wait_stopped(pid: int) -> None:
    """Until all threads of a process that was told to (SIGSTOP) have stopped."""
    deadline = time.monotonic() + 10
    tasks = Path(f"/proc/{pid}/task")
    while any(") T" not in task.joinpath("stat").read_text() for task in tasks.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize(
    ("app", "options"),
    [
        pytest.param(APP, (), id="threads"),
        pytest.param(APP, ("--driver", "gevent"), id="gevent"),
        pytest.param(ASGI, (), id="asyncio"),
    ],
)
def test_single_requests_are_spread(serve: Serve, app: str, options: tuple[str, ...]) -> None:
    found = visit(start(serve, *options, app=app), 200)
    assert len(found) == WORKERS
    assert max(found.values()) <= 1.5 * min(found.values()), found


def test_one_busy_connection_is_shared_by_all(serve: Serve) -> None:
    server = start(serve)
    with server.connect() as connection:
        found = Counter(who(connection) for _ in range(2000))
    assert len(found) == WORKERS
    given, taken = "connections_given_total", "connections_taken_total"
    server.wait_for(lambda: number(server, given) == number(server, taken) or None, "the last hand-over")
    assert number(server, given) > 3


def test_packed_leaves_the_others_idle(serve: Serve) -> None:
    server = start(serve, "--balance", "packed")
    # One may come before the end of the one before is noted, and on a busy machine many do; even would be 25 each.
    assert visit(server, 100).most_common(1)[0][1] >= 33
    with server.connect() as busy, server.connect() as other:
        busy.send(get("/stuck"))
        server.wait_for(lambda: number(server, "requests_in_flight") == 1 or None, "the request")
        first = who(other)
        assert int(busy.response().body) != first


def test_kernel_moves_nothing(serve: Serve) -> None:
    server = start(serve, "--balance", "kernel")
    with server.connect() as connection:
        assert len({who(connection) for _ in range(500)}) == 1
    visit(server, 50)
    assert number(server, "connections_given_total") == 0


def test_a_stuck_worker_hands_its_connections_over(serve: Serve) -> None:
    server = start(serve)
    with ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(16)]
        owners = [who(connection) for connection in connections]
        [(most, count)] = Counter(owners).most_common(1)
        assert count > 1
        busy = connections.pop(owners.index(most))
        busy.send(get("/stuck"))
        server.wait_for(lambda: number(server, "requests_in_flight") == 1 or None, "the request")
        started = time.monotonic()
        answers = [who(connection) for connection in connections]
        assert time.monotonic() - started < 2, "nobody waits for the stuck one"
        assert int(busy.response().body) not in answers


def test_requests_behind_a_computing_one_go_to_idle_workers(serve: Serve) -> None:
    """By chance, one round of eleven would have a request for each worker."""
    server = start(serve)
    with ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(WORKERS)]

        def spread() -> bool:
            for connection in connections:
                connection.send(get("/compute"))
            return len({connection.response().body for connection in connections}) == WORKERS

        assert sum(spread() for _ in range(20)) >= 10


def test_a_stopped_worker_gets_nothing(serve: Serve) -> None:
    """SIGSTOP: it cannot even say so. What was on its way to it is taken back."""
    server = start(serve)
    first = visit(server, 40)
    stopped = min(first)
    os.kill(stopped, signal.SIGSTOP)
    try:
        wait_stopped(stopped)
        assert stopped not in visit(server, 200)
    finally:
        os.kill(stopped, signal.SIGCONT)
    server.wait_for(lambda: stopped in visit(server, 20) or None, "its share again")


def test_what_was_on_its_way_to_a_dead_worker_is_answered(serve: Serve) -> None:
    server = start(serve, workers=2)
    for _ in range(5):
        workers = server.wait_children(2)
        server.wait_for(lambda: number(server, 'workers{state="ready"}') == 2 or None, "both workers")
        visit(server, 20)
        os.kill(workers[0], signal.SIGSTOP)
        wait_stopped(workers[0])
        with ExitStack() as stack:
            connections = [stack.enter_context(server.connect()) for _ in range(6)]
            for connection in connections:
                connection.send(get())
            os.kill(workers[0], signal.SIGKILL)
            assert {int(connection.response().body) for connection in connections} <= {*server.children()}
        server.wait_children(2, without=[workers[0]])


def test_idle_connections_survive_a_reload(serve: Serve) -> None:
    server = start(serve)
    with ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(20)]
        before = {who(connection) for connection in connections}
        command = [sys.executable, "-m", "hostler", "reload", "--pid", str(server.pid)]
        subprocess.run(command, capture_output=True, timeout=60, check=True)
        server.wait_for(lambda: before.isdisjoint(server.children()) or None, "the end of the old workers")
        after = Counter(who(connection) for connection in connections)
        assert before.isdisjoint(after)
        until = time.monotonic() + 3
        while time.monotonic() < until:
            after += Counter(who(connection) for connection in connections)
        assert len(after) == WORKERS
        assert max(after.values()) <= 1.5 * min(after.values()), after


def test_a_new_worker_gets_its_share(serve: Serve) -> None:
    server = start(serve, workers=2)
    with ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(16)]
        for connection in connections * 10:
            who(connection)
        server.kill_resize(+1)
        server.wait_for(lambda: number(server, 'workers{state="ready"}') == 3 or None, "the third worker")
        new = server.wait_children(3)[-1]

        def share() -> bool | None:
            found = Counter(who(connection) for connection in connections * 10)
            return found[new] > 160 / 3 / 1.5 or None

        server.wait_for(share, "its share of connections that stay open")
        kept = Counter(who(connection) for connection in connections * 50)
        assert kept[new] > 800 / 3 / 1.5, "and no lucky round"
