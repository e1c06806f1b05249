"""Random waiting, computing, leaving and pipelining: no answer is lost, doubled, mixed up or out of order.

The long version is `make soak`.
"""

from __future__ import annotations

import json
import os
import random
import socket
import threading
import time
from collections.abc import Callable

import pytest

from tests.integration.helpers import Connection, Serve, Server

# /NUMBER?KIND answers with what was asked, and counts how often each number was run.
APP = """
    import collections
    import json
    import threading
    import time

    runs = collections.Counter()
    lock = threading.Lock()

    def wait():
        time.sleep(0.003)

    def long_wait():
        time.sleep(0.02)

    def compute():
        end = time.perf_counter() + 0.002
        while time.perf_counter() < end:
            sum(range(100))

    KINDS = {"wait": wait, "long": long_wait, "compute": compute, "": lambda: None}

    def application(environ, start_response):
        number, kind = environ["PATH_INFO"][1:], environ["QUERY_STRING"]
        if number == "doubled":
            with lock:
                doubled = [number for number, count in runs.items() if count != 1]
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [json.dumps([len(runs), doubled]).encode()]
        with lock:
            runs[number] += 1
        body = environ["wsgi.input"].read()
        KINDS[kind]()
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-Number", number)])
        if len(body) % 2:
            return iter([number.encode(), b" ", body])
        return [number.encode() + b" " + body]
"""
SECONDS = 2.0
CLIENTS = 24
KINDS = ["", "", "", "", "wait", "compute", "long"]


class Client(threading.Thread):
    """Asks until the time is over; what is wrong ends up in `failure`."""

    def __init__(self, server: Server, name: int) -> None:
        super().__init__(daemon=True)
        self.random = random.Random(name)
        self.server = server
        self.number = name * 1_000_000
        self.answered = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        end = time.monotonic() + SECONDS
        acts: list[Callable[[Connection], None]] = [
            self.ask,
            self.ask,
            self.pipeline,
            self.pipeline,
            self.drip,
            self.leave,
        ]
        try:
            while time.monotonic() < end:
                with self.server.connect(timeout=30) as connection:
                    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    for _ in range(self.random.randrange(1, 12)):
                        act = self.random.choice(acts)
                        act(connection)
                        if act == self.leave:
                            break
        except BaseException as error:
            self.failure = error

    def message(self) -> tuple[bytes, bytes]:
        """A request, and the body of its answer."""
        self.number += 1
        body = os.urandom(self.random.choice([0, 0, 1, 2000, 20_001]))
        target = f"/{self.number}?{self.random.choice(KINDS)}"
        head = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body, str(self.number).encode() + b" " + body

    def take(self, connection: Connection, expected: bytes) -> None:
        response = connection.response()
        assert response.header("X-Number") == expected.split()[0].decode()
        assert response.body == expected
        self.answered += 1

    def ask(self, connection: Connection) -> None:
        message, expected = self.message()
        connection.send(message)
        self.take(connection, expected)

    def pipeline(self, connection: Connection) -> None:
        pairs = [self.message() for _ in range(self.random.randrange(2, 20))]
        connection.send(b"".join(message for message, _ in pairs))
        for _, expected in pairs:
            self.take(connection, expected)

    def drip(self, connection: Connection) -> None:
        message, expected = self.message()
        for _ in range(3):
            cut = self.random.randrange(len(message))
            connection.send(message[:cut])
            message = message[cut:]
        connection.send(message)
        self.take(connection, expected)

    def leave(self, connection: Connection) -> None:
        pairs = [self.message() for _ in range(5)]
        connection.send(b"".join(message for message, _ in pairs)[: self.random.randrange(1, 5000)])
        if self.random.random() < 0.5:
            connection.reset()


@pytest.mark.parametrize("threads", ["1", "2", "8", "auto"])
def test_every_answer_goes_to_its_question(serve: Serve, threads: str) -> None:
    server = serve(serve.source(APP), "--threads", threads, "--thread-idle", "1", "--queue-size", "100000")
    clients = [Client(server, name) for name in range(1, CLIENTS + 1)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(SECONDS + 30)
    assert [client.failure for client in clients if client.failure] == []
    answered = sum(client.answered for client in clients)
    with server.connect() as connection:
        body = connection.request(b"GET /doubled HTTP/1.1\r\nHost: x\r\n\r\n").body
    runs, doubled = json.loads(body)
    assert doubled == []
    assert runs >= answered > 200
    assert "ERROR" not in server.log
