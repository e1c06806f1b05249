"""Stopping: who is served to the end, what is cut and named, and who gets the port."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.helpers import Serve, Server
from tests.integration.helpers.apps import HOLD
from tests.integration.helpers.commands import ctl, states, status
from tests.integration.helpers.load import GET, HELD, wait_held
from tests.integration.helpers.raw import Connection

QUEUED = 40


def go(serve: Serve) -> None:
    (serve.directory / "go").touch()


def queue_up(server: Server, serve: Serve, index: int = 0) -> tuple[Connection, list[Connection]]:
    """A request that runs, and many in the kernel's queue: the worker is stopped, so it cannot accept."""
    running = server.connect(index)
    running.send(HELD)
    wait_held(server, serve)
    [worker] = server.children()
    os.kill(worker, signal.SIGSTOP)
    queued = [server.connect(index) for _ in range(QUEUED)]
    for connection in queued:
        connection.send(GET)
    return running, queued


def all_answered(connections: Sequence[Connection]) -> None:
    for connection in connections:
        assert connection.response().status == 200
        connection.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the door is a socket filter")
@pytest.mark.parametrize("threads", ["1", "8"])
def test_what_the_kernel_has_accepted_is_served(serve: Serve, threads: str) -> None:
    server = serve(serve.source(HOLD), "-t", threads)
    [worker] = server.children()
    running, queued = queue_up(server, serve)
    server.kill(signal.SIGTERM)
    server.wait_log("stopping")
    with pytest.raises(TimeoutError):  # neither refused nor accepted to be dropped
        server.connect(timeout=0.2)
    os.kill(worker, signal.SIGCONT)
    go(serve)
    all_answered([running, *queued])
    answered = time.monotonic()
    assert server.wait() == 0
    assert time.monotonic() - answered < 5  # nothing is left to wait for
    with pytest.raises(ConnectionRefusedError):
        server.connect()


def test_queue_of_a_unix_socket_is_served_too(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    server = serve(serve.source(HOLD), bind=f"unix:{path}")
    [worker] = server.children()
    running, queued = queue_up(server, serve)
    server.kill(signal.SIGTERM)
    server.wait_log("stopping")
    server.wait_for(lambda: not path.exists(), "removal of the path")
    os.kill(worker, signal.SIGCONT)
    go(serve)
    all_answered([running, *queued])
    assert server.wait() == 0


def test_queue_of_an_inherited_socket_is_served_and_the_socket_lives_on(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        fd = listener.fileno()
        server = serve(serve.source(HOLD), bind=f"fd://{fd}", pass_fds=[fd])
        [worker] = server.children()
        running, queued = queue_up(server, serve)
        server.kill(signal.SIGTERM)
        os.kill(worker, signal.SIGCONT)
        go(serve)
        all_answered([running, *queued])
        assert server.wait() == 0
        with server.connect() as late:  # nobody accepts now, but the next one will
            late.send(GET)
            accepted, _ = listener.accept()
            assert accepted.recv(100) == GET
            accepted.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_stop_under_load_fails_nobody(serve: Serve, workers: str) -> None:
    """Each connection that was made gets its response; one that comes later is not made."""
    server = serve(serve.source(HOLD), "--workers", workers)
    answered = 0
    failed: list[BaseException] = []

    def client() -> None:
        nonlocal answered
        while True:
            try:
                connection = server.connect(timeout=0.5)
            except (TimeoutError, ConnectionRefusedError):
                return
            with connection:
                connection.sock.settimeout(10)
                try:
                    assert connection.request(GET).status == 200
                    answered += 1
                except (OSError, EOFError, AssertionError) as error:
                    failed.append(error)

    threads = [threading.Thread(target=client, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    server.wait_for(lambda: answered > 100, "some load")
    server.kill(signal.SIGTERM)
    for thread in threads:
        thread.join()
    assert failed == []
    assert server.wait() == 0


def test_the_next_server_has_the_port_while_the_last_one_ends(serve: Serve) -> None:
    old = serve(serve.source(HOLD))
    running = old.connect()
    running.send(HELD)
    wait_held(old, serve)
    old.kill(signal.SIGTERM)
    new = serve("app", bind=f"127.0.0.1:{old.port}")
    with new.connect() as connection:
        assert connection.request(GET).body == str(new.children()[0]).encode()
    go(serve)
    all_answered([running])
    assert old.wait() == 0


def test_what_does_not_end_in_time_is_named_and_cut(serve: Serve) -> None:
    server = serve(serve.source(HOLD), "--graceful-timeout", "200ms")
    with server.connect() as connection:
        connection.send(HELD)
        wait_held(server, serve)
        started = time.monotonic()
        assert server.stop() == 0
        assert 0.2 <= time.monotonic() - started < 2.0
        assert connection.is_closed()
    assert server.wait_log(r"request cut request=\"GET /hold\" client=127.0.0.1:\d+ after=0\.\ds", within=0)


def test_worker_that_cannot_even_say_so_is_named_by_the_arbiter_and_killed(serve: Serve) -> None:
    """Stopped here; a C function that keeps the GIL looks the same."""
    server = serve(serve.source(HOLD), "--graceful-timeout", "100ms")
    with server.connect() as connection:
        connection.send(HELD)
        wait_held(server, serve)
        os.kill(server.children()[0], signal.SIGSTOP)
        assert server.stop() == 0
    assert "worker killed; it did not end in time" in server.log
    assert server.wait_log(r"request cut request=\"GET /hold\" worker=0 after=\d\.\ds", within=0)


def test_server_that_stops_can_be_asked_for_its_status(serve: Serve) -> None:
    """Its own sockets are closed then, and have no address."""
    server = serve(serve.source(HOLD))
    with server.connect() as connection:
        connection.send(HELD)
        wait_held(server, serve)
        server.kill(signal.SIGTERM)
        server.wait_for(lambda: states(server) == ["draining"], "the drain")
        assert status(server)["listening"] == []
        shown = ctl(server, "status")
        assert (shown.returncode, "listening on no address any more" in shown.stdout) == (0, True)
        go(serve)
        all_answered([connection])
    assert server.wait() == 0
    assert "ERROR" not in server.log


def test_second_stop_is_quick(serve: Serve) -> None:
    server = serve(serve.source(HOLD))
    with server.connect() as connection:
        connection.send(HELD)
        wait_held(server, serve)
        server.kill(signal.SIGTERM)
        server.wait_log("stopping; requests that run may end reason=SIGTERM graceful_timeout=30s")
        time.sleep(0.5)  # sooner, it would be taken for the same one
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 2.0
    assert 'stopping at once reason="SIGTERM again"' in server.log
    assert 'request cut request="GET /hold"' in server.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_to_the_whole_group_is_graceful(serve: Serve, number: signal.Signals) -> None:
    """Ctrl-C in a terminal reaches the workers too, and systemd's default kills the control group."""
    server = serve(serve.source(HOLD), "--workers", "2")
    with server.connect() as connection:
        connection.send(HELD)
        wait_held(server, serve)
        os.killpg(server.pid, number)
        server.wait_log("stopping")
        go(serve)
        all_answered([connection])
    assert server.wait() == 0
    assert "WARNING" not in server.log


def test_quit_is_at_once(serve: Serve) -> None:
    server = serve(serve.source(HOLD))
    with server.connect() as connection:
        connection.send(HELD)
        wait_held(server, serve)
        started = time.monotonic()
        assert server.stop(signal.SIGQUIT) == 0
        assert time.monotonic() - started < 1.0
        assert connection.is_closed()
    assert 'request cut request="GET /hold"' in server.log


def test_normal_end_runs_the_apps_cleanup(serve: Serve) -> None:
    app = """
        import atexit, threading, time
        def late():
            time.sleep(0.2)
            print("thread ended", flush=True)
        def application(environ, start_response):
            threading.Thread(target=late).start()
            start_response("200 OK", [("Content-Length", "0")])
            return []
        atexit.register(print, "atexit ran", flush=True)
    """
    server = serve(serve.source(app))
    with server.connect() as connection:
        assert connection.request(GET).status == 200
    assert server.stop() == 0
    assert server.wait_log("thread ended\natexit ran", within=0)
