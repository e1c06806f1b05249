"""Requests that are held, and clients that go on asking."""

from __future__ import annotations

import threading

from tests.integration.helpers import Serve, Server

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HELD = b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n"


def serve_all(serve: Serve, app: str, workers: int) -> Server:
    """A server whose workers are all ready; it announces itself when the first one is."""
    server = serve(app, "--workers", str(workers), "--log-level", "debug")
    server.wait_log(r"worker ready worker=\d pid=\d+", count=workers)
    return server


def wait_held(server: Server, serve: Serve, count: int = 1) -> None:
    held = serve.directory / "held"
    server.wait_for(lambda: held.exists() and held.stat().st_size >= count, f"{count} held requests")


# Failures after which nobody is there any more: a test has failed, or will.
MANY = 10_000


class Load:
    """Clients that ask one request a connection, one after the other, and remember what failed."""

    def __init__(self, server: Server, clients: int) -> None:
        self.answered = 0
        self.failed: list[Exception] = []
        self._server = server
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._is_over.is_set() and len(self.failed) < MANY:
            try:
                with self._server.connect() as connection:
                    assert connection.request(GET).status == 200
                self.answered += 1
            except (OSError, EOFError) as error:
                self.failed.append(error)


class KeepAlive(Load):
    """Clients that use their connection until they are told to close it."""

    def _ask(self) -> None:
        while not self._is_over.is_set() and len(self.failed) < MANY:
            try:
                with self._server.connect() as connection:
                    while not self._is_over.is_set():
                        response = connection.request(GET)
                        assert response.status == 200
                        self.answered += 1
                        if response.header("Connection") == "close":
                            break
            except (OSError, EOFError) as error:
                self.failed.append(error)
