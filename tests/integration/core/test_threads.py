"""A blocked thread never blocks others: not their requests, and not accepting, reading, timeouts and refusals."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.integration.helpers import Connection, Serve, Server, crowd

# /hold?NAME waits for the file NAME; /burn?SECONDS computes; /meet?N returns when N are there at once.
APP = """
    import http.client
    import os
    import threading
    import time

    lock = threading.Lock()
    inside = most = 0
    barriers = {n: threading.Barrier(n, timeout=10) for n in (2, 3, 8)}
    order = []

    def hold(query):
        open(query + ".held", "w").close()
        while not os.path.exists(query):
            time.sleep(0.002)
        return query

    def burn(query):
        open("burning", "w").close()
        end = time.monotonic() + float(query)
        while time.monotonic() < end:
            sum(range(1000))
        return "burnt"

    def meet(query):
        barriers[int(query)].wait()
        return "met"

    def call(query, environ):
        if query == "0":
            return "bottom"
        connection = http.client.HTTPConnection("127.0.0.1", int(environ["SERVER_PORT"]), timeout=10)
        try:
            connection.request("GET", "/call?%d" % (int(query) - 1))
            return connection.getresponse().read().decode() + " and up"
        finally:
            connection.close()

    def answer(path, query, environ):
        if path == "/hold":
            return hold(query)
        if path == "/burn":
            return burn(query)
        if path == "/meet":
            return meet(query)
        if path == "/call":
            return call(query, environ)
        if path == "/read":
            return environ["wsgi.input"].read().decode()
        if path == "/order":
            return " ".join(order)
        if path == "/most":
            return str(most)
        if path == "/nap":
            time.sleep(0.01)
        return "ok"

    def application(environ, start_response):
        global inside, most
        query = environ["QUERY_STRING"]
        with lock:
            inside += 1
            most = max(most, inside)
            order.append(query)
        try:
            body = answer(environ["PATH_INFO"], query, environ).encode()
        finally:
            with lock:
                inside -= 1
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
"""


def get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def ask(server: Server, target: str) -> bytes:
    with server.connect() as connection:
        return connection.request(get(target)).body


def meet(server: Server, threads: int) -> bool:
    """Whether that many requests ran at the same time."""
    with crowd(server, threads) as connections:
        for connection in connections:
            connection.send(get(f"/meet?{threads}"))
        return [connection.response().body for connection in connections] == [b"met"] * threads


class Held:
    """Requests that keep their threads until they are let go."""

    def __init__(self, server: Server, directory: Path) -> None:
        self._server = server
        self._directory = directory
        self._connections: list[tuple[str, Connection]] = []

    def hold(self, name: str) -> None:
        connection = self._server.connect()
        connection.send(get(f"/hold?{name}"))
        self._server.wait_for((self._directory / f"{name}.held").exists, f"{name} to be held")
        self._connections.append((name, connection))

    def let_go(self) -> None:
        for name, connection in self._connections:
            (self._directory / name).touch()
            assert connection.response().body == name.encode()
            connection.close()


@pytest.fixture
def start(serve: Serve) -> Serve:
    serve.source(APP)
    return serve


def test_a_waiting_request_leaves_the_other_thread_to_others(start: Serve) -> None:
    server = start("app:application", "--threads", "2")
    held = Held(server, start.directory)
    held.hold("one")
    with server.connect() as connection:
        for _ in range(200):
            assert connection.request(get("/")).body == b"ok"
    assert ask(server, "/") == b"ok"
    held.let_go()


def test_a_computing_request_leaves_the_other_thread_to_others(start: Serve) -> None:
    server = start("app:application", "--threads", "2")
    with server.connect() as burning, server.connect() as connection:
        burning.send(get("/burn?1"))
        server.wait_for((start.directory / "burning").exists, "the computing request")
        began = time.monotonic()
        assert connection.request(get("/")).body == b"ok"
        assert time.monotonic() - began < 0.5
        assert burning.response().body == b"burnt"


def test_with_every_thread_held_all_but_the_app_goes_on(start: Serve) -> None:
    """The four answers below come while the only thread sleeps: it is let go afterwards."""
    options = ("--threads", "1", "--header-timeout", "0.5", "--body-timeout", "0.5", "--min-rate", "1M")
    server = start("app:application", *options, "--limit-request-body", "10K", "--keepalive", "0.5")
    with server.connect() as idle:
        assert idle.request(get("/")).body == b"ok"
        held = Held(server, start.directory)
        held.hold("one")
        with server.connect() as head, server.connect() as body, server.connect() as large, server.connect() as wrong:
            head.send(b"GET / HTTP/1.1\r\nHo")
            body.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc")
            large.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10241\r\n\r\n")
            wrong.send(b"nonsense\r\n\r\n")
            found = [connection.response().status for connection in (head, body, large, wrong)]
        assert found == [408, 408, 413, 400]
        assert idle.is_closed(), "its keep-alive has passed"
    assert not (start.directory / "one").exists()
    held.let_go()


def test_a_full_queue_refuses_while_the_threads_are_held_and_the_queue_is_served(start: Serve) -> None:
    server = start("app:application", "--threads", "2", "--queue-size", "3", "--retry-after", "9")
    held = Held(server, start.directory)
    held.hold("one")
    held.hold("two")
    statuses = []

    def is_refused() -> bool:
        with server.connect(timeout=0.2) as connection:
            try:
                response = connection.request(get("/?late"))
            except TimeoutError:
                return False  # one of the three was not read yet, and this one has its place until it leaves
            statuses.append((response.status, response.header("Retry-After"), response.header("Connection")))
            return True

    with crowd(server, 3) as waiting:
        for connection in waiting:
            connection.send(get("/?waiting"))
        server.wait_for(is_refused, "a refusal")
        assert statuses == [(503, "9", "close")]
        held.let_go()
        assert [connection.response().status for connection in waiting] == [200, 200, 200]
    assert ask(server, "/") == b"ok"


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_as_many_run_at_once_as_there_are_threads(start: Serve, threads: int) -> None:
    server = start("app:application", "--threads", str(threads))
    for _ in range(5):
        assert meet(server, threads)


@pytest.mark.parametrize("threads", [1, 3])
def test_never_more_run_at_once_than_there_are_threads(start: Serve, threads: int) -> None:
    server = start("app:application", "--threads", str(threads))
    with crowd(server, 20) as connections:
        for _ in range(3):
            for connection in connections:
                connection.send(get("/nap"))
            assert all(connection.response().body == b"ok" for connection in connections)
    assert ask(server, "/most") == str(threads).encode()


def test_a_connections_requests_run_one_after_the_other(start: Serve) -> None:
    server = start("app:application", "--threads", "8")
    with server.connect() as connection:
        connection.send(get("/hold?one") + get("/?two") + get("/?three"))
        server.wait_for((start.directory / "one.held").exists, "the first to be held")
        assert ask(server, "/order") == b"one "
        (start.directory / "one").touch()
        assert [connection.response().body for _ in range(3)] == [b"one", b"ok", b"ok"]
    assert ask(server, "/order").split() == [b"one", b"two", b"three"]


def test_waiting_requests_are_taken_in_their_order(start: Serve) -> None:
    server = start("app:application", "--threads", "1")
    held = Held(server, start.directory)
    held.hold("first")
    with crowd(server, 10) as waiting:
        for number, connection in enumerate(waiting):
            connection.send(get(f"/?{number}"))
            with server.connect() as wrong:  # Its refusal tells that what came before it was read.
                assert wrong.request(b"nonsense\r\n\r\n").status == 400
        held.let_go()
        assert all(connection.response().status == 200 for connection in waiting)
    assert ask(server, "/order").split()[1:] == [str(number).encode() for number in range(10)]


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_awaited_bodies_keep_half_of_the_threads_at_most(start: Serve, threads: int) -> None:
    """Twice as many clients as there are threads expect "100 Continue", get it, and send nothing."""
    server = start("app:application", "--threads", str(threads))
    head = b"POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    with crowd(server, 2 * threads) as waiting:
        for connection in waiting:
            assert connection.request(head % b"read").status == 100
        assert ask(server, "/") == b"ok"
        for connection in waiting:
            connection.send(b"abcde")
            assert connection.response().body == b"abcde"
    with server.connect() as connection:
        response = connection.request(head % b"unread")
        assert response.status == (100 if threads == 1 else 200)


def test_an_app_may_call_its_own_server(start: Serve) -> None:
    """One worker, default threads: the story of issue trackers everywhere."""
    server = start("app:application")
    assert ask(server, "/call?1") == b"bottom and up"
    assert ask(server, "/call?5") == b"bottom" + b" and up" * 5


def test_every_thread_is_there_again_afterwards(start: Serve) -> None:
    server = start("app:application", "--threads", "3")
    for turn in range(3):
        held = Held(server, start.directory)
        for name in "abc":
            held.hold(f"{name}{turn}")
        held.let_go()
    assert meet(server, 3)
    assert not re.search("ERROR|WARNING", server.log)
