"""The numbers of all workers as Prometheus text, read by Prometheus' own parser."""

from __future__ import annotations

import os
import signal

import pytest

from tests.integration.helpers import Serve, Server
from tests.integration.helpers.apps import HOLD
from tests.integration.helpers.load import GET, HELD, wait_held
from tests.integration.helpers.metrics import admin, page
from tests.integration.helpers.versions import reload

APP = """
    def application(environ, start_response):
        if environ["PATH_INFO"] == "/fail":
            raise ValueError
        start_response("404 Not Found" if environ["PATH_INFO"] == "/none" else "200 OK", [("Content-Length", "2")])
        return [b"ok"]
"""


def start(serve: Serve, *options: str, app: str = APP) -> Server:
    return serve(serve.source(app), "--admin-bind", "127.0.0.1:0", *options)


def ask(server: Server, path: str = "/") -> int:
    with server.connect() as connection:
        return connection.request(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).status


def test_requests_are_counted_by_class(serve: Serve) -> None:
    server = start(serve, "--workers", "2")
    server.wait_for(lambda: page(server).sum("workers", state="ready") == 2, "both workers")
    for path in ("/", "/", "/none", "/fail"):
        ask(server, path)
    server.wait_for(lambda: page(server).sum("requests_total") >= 4, "the counts")
    found = page(server)
    assert found.sum("requests_total", code="2xx") == 2
    assert found.sum("requests_total", code="4xx") == 1
    assert found.sum("requests_total", code="5xx") == 1
    assert found.sum("app_errors_total") == 1
    assert found.sum("request_duration_seconds_count") == 4
    assert found.sum("request_duration_seconds_bucket", le="+Inf") == 4
    assert 0 < found.sum("request_duration_seconds_sum") < 1
    assert found.sum("workers", state="ready") == 2
    assert found.sum("resident_memory_bytes") > 20 << 20
    assert found.sum("build_info", version="0.1.0") == 1
    assert found.kinds["hostler_request_duration_seconds"] == "histogram"
    assert found.kinds["hostler_requests"] == "counter"


def test_buckets_grow(serve: Serve) -> None:
    server = start(
        serve, app="import time\ndef application(e, s):\n    time.sleep(0.02)\n    s('200 OK', [])\n    return []\n"
    )
    ask(server)
    server.wait_for(lambda: page(server).sum("requests_total") == 1, "the count")
    found = page(server)
    buckets = found.buckets("request_duration_seconds")
    assert buckets == sorted(buckets)
    assert [value for border, value in buckets if border < 0.02] == [0.0] * sum(border < 0.02 for border, _ in buckets)
    assert dict(buckets)[0.032768] == 1 or dict(buckets)[0.065536] == 1
    assert dict(found.buckets("queue_duration_seconds"))[0.004096] == 1


def test_how_long_requests_waited(serve: Serve) -> None:
    slow = "import time\ndef application(e, s):\n    time.sleep(0.1)\n    s('200 OK', [])\n    return []\n"
    server = start(serve, "--threads", "1", app=slow)
    with server.connect() as first, server.connect() as second:
        first.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        second.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert first.response().status == second.response().status == 200
    server.wait_for(lambda: page(server).sum("requests_total") == 2, "the counts")
    waits = dict(page(server).buckets("queue_duration_seconds"))
    assert waits[0.032768] == 1
    assert waits[0.524288] == 2
    assert 0.05 < page(server).sum("queue_duration_seconds_sum") < 0.5


def test_memory_and_capacity(serve: Serve) -> None:
    busy = "import time\ndef application(e, s):\n    time.sleep(8)\n    s('200 OK', [])\n    return []\n"
    server = start(serve, "--threads", "2", app=busy)
    with server.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_for(lambda: page(server).sum("pss_bytes") > 1 << 20, "the memory", within=15)
        assert page(server).sum("capacity_in_use") == 0.5
        assert connection.response().status == 200


def test_what_runs_now(serve: Serve) -> None:
    server = start(serve, app=HOLD)
    with server.connect() as running:
        running.send(HELD)
        wait_held(server, serve)
        found = page(server)
        (serve.directory / "go").touch()
        running.response()
    assert (found.sum("requests_in_flight"), found.sum("threads_busy")) == (1, 1)
    assert found.sum("connections_open") >= 1


def test_restarts_by_reason(serve: Serve) -> None:
    server = start(serve, "--max-requests", "3")
    [worker] = server.children()
    os.kill(worker, signal.SIGKILL)
    server.wait_children(1, without=[worker])
    assert ask(server) == 200
    assert page(server).sum("worker_restarts_total", reason="died") == 1
    assert reload(server).returncode == 0
    assert page(server).sum("worker_restarts_total", reason="reload") == 1
    for _ in range(3):
        ask(server)
    server.wait_log("max_requests=")
    server.wait_for(lambda: page(server).sum("worker_restarts_total", reason="limit") == 1 or None, "the count")


@pytest.mark.parametrize(
    ("options", "path", "status"),
    [
        ((), "/metrics", 200),
        (("--metrics-path", "/numbers"), "/numbers", 200),
        (("--no-metrics-path",), "/metrics", 404),
    ],
)
def test_path(serve: Serve, options: tuple[str, ...], path: str, status: int) -> None:
    server = start(serve, *options)
    assert admin(server, path)[0] == status
    assert ask(server, path) == 200  # the application's own, on the public address


def test_many_workers_fit_into_one_answer(serve: Serve) -> None:
    server = start(serve, "--workers", "24")
    server.wait_children(24)
    server.wait_for(lambda: page(server).sum("workers", state="ready") == 24 or None, "all of them")
    assert len(page(server).samples) > 24 * 30


def test_without_admin_bind_nobody_is_told(serve: Serve) -> None:
    server = serve(serve.source(APP), "--health-path", "/-")
    with server.connect() as connection:
        assert connection.request(GET).status == 200
    assert ask(server, "/-/metrics") == 200  # the application's
