"""A native core in a hundred lines of Python, for tests of the processes around it.

Same interface as `ostler._native.Core`, one request a connection, no limits. It shows what the worker
relies on: drain() takes all that the kernel has queued before it returns, and drained_fd() tells its end.
"""

from __future__ import annotations

import io
import mmap
import os
import queue
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TextIO

_IN_FLIGHT = struct.Struct("<IIQ16s96s")


class _Running(NamedTuple):
    method: str
    path: str
    since: float


class Core:
    """Accepts in a thread of its own, runs the app in the worker's app threads."""

    def __init__(
        self,
        app: Callable[..., Any],
        settings: dict[str, object],
        listeners: list[tuple[int, str, str, bool]],
        scoreboard: mmap.mmap,
        slot: int,
        errors: TextIO,
        app_error: Callable[[str, str, BaseException], None],
    ) -> None:
        if settings["server_header"] == "no-boot":  # for tests of a core that does not start
            raise ValueError("no-boot")
        self._app, self._settings, self._errors, self._app_error = app, settings, errors, app_error
        self._listeners = {fd: (socket.socket(fileno=os.dup(fd)), name, port) for fd, name, port, _ in listeners}
        self._board, self._slot_at = scoreboard, 64 + slot * 17088
        self._queue: queue.SimpleQueue[tuple[socket.socket, str, str] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._open = 0  # connections accepted and not yet closed
        self._running: dict[int, _Running] = {}
        self._draining = False
        self._drained, self._drained_writer = os.pipe()

    def start(self) -> None:
        threading.Thread(target=self._accept_for_ever, daemon=True).start()

    def run_thread(self, index: int) -> None:
        while (item := self._queue.get()) is not None:
            sock, name, port = item
            try:
                with sock:
                    self._handle(index, sock, name, port)
            finally:
                self._running.pop(index, None)
                with self._lock:
                    self._open -= 1
                self._tell_drained()

    def drain(self) -> None:
        with self._lock:
            self._draining = True
            for sock, name, port in self._listeners.values():
                self._accept_all(sock, name, port)
                sock.close()
        self._tell_drained()

    def drained_fd(self) -> int:
        return self._drained

    def is_drained(self) -> bool:
        return self._draining and self._open == 0

    def in_flight(self) -> list[tuple[str, str, str, float]]:
        now = time.monotonic()
        return [(run.method, run.path, "client", now - run.since) for run in self._running.values()]

    def stop(self) -> None:
        for _ in range(int(str(self._settings["threads"]))):
            self._queue.put(None)

    def flush_logs(self) -> None:
        pass

    def close(self) -> None:
        os.close(self._drained)
        os.close(self._drained_writer)

    def _tell_drained(self) -> None:
        if self.is_drained():
            os.write(self._drained_writer, b"x")

    def _accept_for_ever(self) -> None:
        while True:
            with self._lock:
                fds = [] if self._draining else [s.fileno() for s, _, _ in self._listeners.values()]
            if not fds:
                return
            select.select(fds, [], [], 0.02)
            with self._lock:
                if not self._draining:
                    for sock, name, port in self._listeners.values():
                        self._accept_all(sock, name, port)

    def _accept_all(self, listener: socket.socket, name: str, port: str) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                return
            sock.settimeout(5)
            self._open += 1
            self._queue.put((sock, name, port))

    def _handle(self, index: int, sock: socket.socket, name: str, port: str) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (chunk := sock.recv(65536)):
                return
            head += chunk
        method, target, _ = head.decode("latin-1").split("\r\n")[0].split(" ")
        self._running[index] = _Running(method, target, time.monotonic())
        self._record(index, method, target)
        path, _, query = target.partition("?")
        environ = {
            "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "SCRIPT_NAME": "",
            "SERVER_NAME": name, "SERVER_PORT": port, "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(), "wsgi.errors": self._errors,
            "wsgi.multithread": True, "wsgi.multiprocess": self._settings["workers"] != 1, "wsgi.run_once": False,
        }  # fmt: skip
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
            started.append((status, headers))

        try:
            body = b"".join(self._app(environ, start_response))
        except Exception as error:
            self._app_error(f"{method} {target}", "client", error)
            started, body = [("500 Internal Server Error", [])], b""
        status, headers = started[-1]
        lines = [f"{key}: {value}" for key, value in headers if key.lower() != "content-length"]
        lines = [f"HTTP/1.1 {status}", *lines, f"Content-Length: {len(body)}", "Connection: close"]
        sock.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        self._record(index, "", "")

    def _record(self, index: int, method: str, path: str) -> None:
        at = self._slot_at + 704 + index * _IN_FLIGHT.size
        start = time.monotonic_ns() if method else 0
        _IN_FLIGHT.pack_into(self._board, at, 0, 0, start, method.encode(), path.encode()[:96])


def scoreboard_layout() -> dict[str, tuple[int, int]]:
    """Python's own, so nothing is compared when the fake stands in."""
    from ostler.stats.scoreboard import LAYOUT

    return {**LAYOUT, "slot_size": (0, 17088)}


if os.environ.get("FAKE_CORE_LOADED"):  # a file that collects who loads the core
    with open(os.environ["FAKE_CORE_LOADED"], "a") as loaded:
        print(os.getpid(), file=loaded)
_ = sys
