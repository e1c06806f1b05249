"""Load that makes workers and threads hand connections over, and checks each response."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.integration.helpers import Connection, Serve, Server, ServerError

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


# /NUMBER?KIND answers with what was asked, and appends its number to a file: one write each, whatever worker runs it.
WSGI = """
    import os
    import time

    runs = os.open("{runs}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def compute(seconds):
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            sum(range(100))

    KINDS = {{"wait": lambda: time.sleep(0.003), "long": lambda: time.sleep(0.02), "compute": lambda: compute(0.002)}}

    def application(environ, start_response):
        number, kind = environ["PATH_INFO"][1:], environ["QUERY_STRING"]
        os.write(runs, number.encode() + b"\\n")
        body = environ["wsgi.input"].read()
        if kind:
            KINDS[kind]()
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-Number", number)])
        return [number.encode() + b" " + body]
"""

ASGI = """
    import asyncio
    import os

    runs = os.open("{runs}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def application(scope, receive, send):
        if scope["type"] != "http":
            return
        number, kind = scope["path"][1:].encode(), scope["query_string"]
        os.write(runs, number + b"\\n")
        body, more = b"", True
        while more:
            event = await receive()
            if event["type"] == "http.disconnect":
                return
            body, more = body + event.get("body", b""), event.get("more_body", False)
        if kind:
            await asyncio.sleep(0.003)
        headers = [(b"x-number", number), (b"content-type", b"text/plain")]
        await send({{"type": "http.response.start", "status": 200, "headers": headers}})
        await send({{"type": "http.response.body", "body": number + b" " + body}})
"""

CLIENTS = 24
WORKERS = 4

# From a kill to the failure of what was the killed worker's, on a busy machine.
AT_ONCE = 2.0


class Killer(threading.Thread):
    """Kills a worker (-9) every now and then."""

    def __init__(self, server: Server, every: float, until: float) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.every = every
        self.until = until
        self.killed: list[float] = []

    def run(self) -> None:
        chance = random.Random(7)
        while time.monotonic() + self.every < self.until:
            time.sleep(self.every)
            ready = [pid for pid in self.server.children() if len(os.listdir(f"/proc/{pid}/task")) > 1]
            if len(ready) > 1:
                self.killed.append(time.monotonic())  # before: a client may see its end before this thread goes on
                os.kill(chance.choice(ready), signal.SIGKILL)


class Mover(Client):
    """Its connections may break right after a kill, and at no other time."""

    def __init__(self, server: Server, name: int, seconds: float, killer: Killer | None = None) -> None:
        super().__init__(server, name)
        self.seconds = seconds
        self.killer = killer
        self.broken = 0
        self.answers: list[str] = []  # the numbers of the requests that were answered

    def run(self) -> None:
        end = time.monotonic() + self.seconds
        try:
            while time.monotonic() < end:
                try:
                    self.visit()
                except (OSError, EOFError, ServerError) as error:
                    now = time.monotonic()
                    kills = self.killer.killed if self.killer else []
                    if not any(now - AT_ONCE < each <= now for each in kills):
                        late = f"{now - kills[-1]:.2f} s after the last kill" if kills else "without any kill"
                        raise AssertionError(f"client {self.number}, {late}: {error!r}") from error
                    self.broken += 1
        except BaseException as error:
            self.failure = error

    def visit(self) -> None:
        acts = [self.ask, self.ask, self.pipeline, self.pipeline, self.drip, self.head, self.on_demand, self.leave]
        with self.server.connect(timeout=30) as connection:
            for _ in range(self.random.randrange(1, 30)):
                act = self.random.choice(acts)
                act(connection)
                if act == self.leave:
                    return

    def message(self) -> tuple[bytes, bytes]:
        """Half of the bodies are chunked, and half of these have no byte in them."""
        message, expected = super().message()
        head, _, body = message.partition(b"\r\n\r\n")
        if self.random.random() < 0.5:
            return message, expected
        if self.random.random() < 0.5:
            body = b""
            expected = expected.split(b" ")[0] + b" "
        lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
        chunks = [
            b"%x\r\n%s\r\n" % (len(part), part) for at in range(0, len(body), 700) if (part := body[at : at + 700])
        ]
        framed = b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", b""]) + b"".join(chunks) + b"0\r\n\r\n"
        return framed, expected

    def head(self, connection: Connection) -> None:
        """A response without a body, before the next request."""
        message, expected = self.message()
        connection.send(message.replace(b"POST", b"HEAD", 1))
        response = connection.response(head=True)
        number = expected.split(b" ")[0].decode()
        assert (response.status, response.header("X-Number")) == (200, number)
        self.answers.append(number)

    def on_demand(self, connection: Connection) -> None:
        """The body waits for 100 Continue, or comes unasked."""
        message, expected = Client.message(self)
        head, _, body = message.partition(b"\r\n\r\n")
        connection.send(head + b"\r\nExpect: 100-continue\r\n\r\n")
        if self.random.random() < 0.5 and body:
            response = connection.response()
            assert response.status == 100
        connection.send(body)
        response = connection.response()
        if response.status == 100:
            response = connection.response()
        assert (response.status, response.body) == (200, expected)
        self.answers.append(expected.split(b" ")[0].decode())

    def take(self, connection: Connection, expected: bytes) -> None:
        super().take(connection, expected)
        self.answers.append(expected.split()[0].decode())


def move(serve: Serve, app: str, runs: Path, *options: str, seconds: float, kill_every: float = 0.0) -> tuple[int, int]:
    """Load while connections move; returns how many requests were answered, and how many connections broke."""
    source = serve.source(app.format(runs=runs))
    server = serve(
        source,
        "--workers",
        str(WORKERS),
        "--balance",
        "random",
        "--queue-size",
        "100000",
        *options,
        "--slow-request",
        "0",
    )
    server.wait_children(WORKERS)
    killer = Killer(server, kill_every, time.monotonic() + seconds) if kill_every else None
    clients = [Mover(server, name, seconds, killer) for name in range(1, CLIENTS + 1)]
    for thread in [*clients, *([killer] if killer else [])]:
        thread.start()
    for thread in [*clients, *([killer] if killer else [])]:
        thread.join(seconds + 60)
        assert not thread.is_alive()
    failures = [client.failure for client in clients if client.failure]
    assert not failures, f"{failures}\n{server.log}"
    answers = Counter(number for client in clients for number in client.answers)
    assert max(answers.values()) == 1
    run = Counter(runs.read_text().split())
    assert [number for number, count in run.items() if count > 1] == [], "these were run twice"
    assert set(answers) <= set(run)
    assert "ERROR" not in "\n".join(line for line in server.log.splitlines() if "SIGKILL" not in line)
    return len(answers), sum(client.broken for client in clients)
