"""The app runs code that the arbiter does not trust: what it can do through what it has of hostler."""

from __future__ import annotations

import os
import signal
import socket
import time
from typing import Any

from hostler.control import client
from tests.integration.helpers import Serve, Server, processes
from tests.integration.helpers.commands import status
from tests.integration.helpers.load import GET

# /do runs the code of the query's name in the worker; `LINE` is the worker's end of the channel.
APP = """
    import gc, os, socket, struct, threading
    from hostler.worker.worker import Worker
    from hostler.proc.channel import Channel
    from hostler.stats.scoreboard import Scoreboard

    def line():
        gc.unfreeze()  # what was made before the fork is listed too
        return next(each for each in gc.get_objects() if isinstance(each, Channel) and each.is_open)

    def flood():
        LINE = line()
        words = [b"nonsense" + b"x" * 50_000, b"ready", b"closed", b"failed app\\nno", b"no end\\033[2J" * 99]
        def send():
            while True:
                for word in words:
                    LINE._sock.sendall(word + b"\\0")
        threading.Thread(target=send, daemon=True).start()

    def board():
        gc.unfreeze()  # what was made before the fork is listed too
        return max((each for each in gc.get_objects() if isinstance(each, Scoreboard)), key=lambda each: each.slots)

    def scribble():
        BOARD = board()
        slot = next(slot for slot in range(BOARD.slots) if BOARD.read(slot).pid == os.getpid())
        start = BOARD._start(slot) + 24  # behind state, pid and times
        end = BOARD._start(slot + 1)
        BOARD.mapping[start:end] = b"\\xfe" * (end - start)

    def loud():
        BOARD = board()
        BOARD.log_level = 3000

    def linger():
        # A connection whose close waits for a minute, in the inbox of a slot that has no worker.
        lingering = socket.create_connection(("127.0.0.1", int(os.environ["LISTENER"])))
        lingering.setblocking(False)
        try:
            while True:
                lingering.send(b"x" * 65536)
        except BlockingIOError:
            pass
        lingering.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
        gc.unfreeze()  # what was made before the fork is listed too
        worker = next(each for each in gc.get_objects() if isinstance(each, Worker))
        inbox = socket.socket(fileno=worker._inboxes[-1][1])
        socket.send_fds(inbox, [b"x"], [lingering.detach()])  # not closed here: this process would wait too
        inbox.detach()

    def application(environ, start_response):
        name = environ["QUERY_STRING"]
        body = b"%d" % os.getpid()
        if name:
            body = repr(globals()[name]()).encode()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
"""


def ask(server: Server, name: str) -> bytes:
    with server.connect() as connection:
        response = connection.request(f"GET /do?{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert response.status == 200
    return response.body


def live(server: Server) -> dict[str, Any]:
    """What `hostler top` asks for."""
    found: dict[str, Any] = client.ask(client.find(None, server.pid), "top")
    return found


def test_flood_on_the_channel_is_bounded_and_the_arbiter_does_all_else(serve: Serve) -> None:
    server = serve(serve.source(APP), "--workers", "2", "--graceful-timeout", "1s")
    server.wait_children(2)
    flooder = int(ask(server, ""))
    victim = next(pid for pid in server.children() if pid != flooder)
    while int(ask(server, "")) != flooder:
        pass
    ask(server, "flood")
    server.wait_log("flood of messages on hostler's channel")
    started = time.monotonic()
    assert len(status(server)["workers"]) >= 2
    os.kill(victim, signal.SIGKILL)
    server.wait_log(rf"worker died.* worker=\d pid={victim} signal=SIGKILL", within=3.0)
    server.wait_log(r"worker ready worker=\d pid=\d+", within=5.0)
    with server.connect() as connection:
        assert connection.request(GET).status == 200
    cpu = processes.cpu(server.pid)
    assert server.stop() == 0
    seconds = time.monotonic() - started
    assert cpu < 0.5 + seconds / 2
    assert len(server.log) < 20_000
    assert "\x1b" not in server.log
    assert "please report" not in server.log
    assert "no worker would send it now" in server.log


def test_absurd_numbers_on_the_scoreboard_disturb_neither_questions_nor_metrics(serve: Serve) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(5)
        address = f"127.0.0.1:{statsd.getsockname()[1]}"
        server = serve(serve.source(APP), "--workers", "2", "--statsd", address)
        ask(server, "scribble")
        found = status(server)
        assert max(worker["requests"] for worker in found["workers"]) > 2**63
        for _ in range(3):
            for line in statsd.recv(65536).decode().splitlines():
                value = float(line.partition(":")[2].partition("|")[0])
                assert 0 <= value < 1000, line
    assert [worker["worker"] for worker in live(server)["workers"]] == [0, 1]
    assert server.stop() == 0


def test_log_level_that_a_worker_has_made_up_is_ignored_by_the_others(serve: Serve) -> None:
    server = serve(serve.source(APP), "--workers", "2")
    before = server.wait_children(2)
    ask(server, "loud")
    server.kill(signal.SIGUSR1)
    for _ in range(20):
        assert ask(server, "") != b""
    assert server.children() == before
    assert server.stop() == 0


def test_socket_in_an_inbox_whose_close_takes_long_does_not_keep_the_arbiter(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = serve(serve.source(APP), "--workers", "1", env={"LISTENER": str(listener.getsockname()[1])})
        ask(server, "linger")
        started = time.monotonic()
        assert server.stop() == 0
        server.wait_gone()
        assert time.monotonic() - started < 10.0
