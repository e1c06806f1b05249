"""What happens, and what the operator reads, when requests take long: in the queue, in the app, or for ever."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.helpers import Serve, Server, crowd
from tests.integration.helpers.commands import states

APP = """
    import ctypes
    import http.client
    import json
    import os
    import socket
    import time

    def patient_view(seconds):
        time.sleep(seconds)

    def endless_view():
        while True:
            pass

    def asks_a_dead_database(port):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.recv(1)

    def streams():
        yield b"x" * 1000
        time.sleep(30)
        yield b"y"

    def application(environ, start_response):
        path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
        body = b"ok"
        if path == "/sleep":
            patient_view(float(query))
        elif path == "/loop":
            endless_view()
        elif path == "/native":
            ctypes.PyDLL(None).sleep(int(query))
        elif path == "/database":
            asks_a_dead_database(int(query))
        elif path == "/pid":
            body = str(os.getpid()).encode()
        elif path == "/queue":
            body = json.dumps(environ["hostler.queue_time"]).encode()
        elif path == "/stream":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return streams()
        elif path == "/self":
            connection = http.client.HTTPConnection("127.0.0.1", int(environ["SERVER_PORT"]), timeout=20)
            connection.request("GET", "/inner")
            inner = connection.getresponse()
            body = b"the inner request got %d" % inner.status
            connection.close()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
"""


def get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def ask(server: Server, target: str) -> str:
    with server.connect(timeout=20) as connection:
        return connection.request(get(target)).body.decode()


@pytest.fixture
def start(serve: Serve) -> Callable[..., Server]:
    target = serve.source(APP)
    return lambda *options: serve(target, *options)


# --- The queue ---


def test_a_request_that_waits_too_long_for_a_thread_is_refused(start: Callable[..., Server]) -> None:
    server = start("--threads", "1", "--queue-timeout", "0.3", "--retry-after", "7", "--access-log", "-")
    with server.connect() as busy, server.connect() as waiting:
        busy.send(get("/sleep?1.5"))
        waiting.send(get("/?waiting"))
        response = waiting.response()
        assert (response.status, response.header("Retry-After"), response.header("Connection")) == (503, "7", "close")
        assert busy.response().body == b"ok"
    server.wait_log(r"503 to 127\.0\.0\.1:\d+: queue_timeout passed while every app thread was busy \(1 thread\)")
    server.wait_log(r'"GET /\?waiting HTTP/1.1" 503')


def test_the_app_and_the_log_know_how_long_a_request_waited(start: Callable[..., Server]) -> None:
    server = start("--threads", "1", "--access-log", "-", "--access-log-format", "%(U)s waited %(Q)s")
    with server.connect() as busy, server.connect() as waiting:
        busy.send(get("/sleep?0.5"))
        waiting.send(get("/queue"))
        waited = json.loads(waiting.response().body)
        assert busy.response().body == b"ok"
    assert 0.3 < waited < 5
    assert json.loads(ask(server, "/queue")) < 0.2
    lines = server.wait_log(r"^/queue waited [\d.]+", count=2)
    assert float(lines[0].split()[-1]) == pytest.approx(waited, rel=0.01)


@pytest.mark.parametrize("options", [("--threads", "1"), ("--max-threads", "1")])
def test_a_call_to_oneself_that_cannot_be_answered_is_named(start: Callable[..., Server], options: list[str]) -> None:
    server = start(*options, "--queue-timeout", "2")
    began = time.monotonic()
    assert ask(server, "/self") == "the inner request got 503"
    assert 1.5 < time.monotonic() - began < 10
    (line,) = server.wait_log("standstill; a request of this server to itself waits for its own thread .*")
    assert 'request="GET /inner" sent_by="this very worker" waiting_for=1.' in line
    assert 'threads=1 running="GET /self"' in line
    advice = "set threads = auto (it is 1)" if "--threads" in options else "raise max_threads (it is 1)"
    assert advice in line
    assert "they get 503 after queue_timeout (2s)" in line


def test_a_standstill_without_a_call_to_oneself_names_what_runs(start: Callable[..., Server]) -> None:
    server = start("--threads", "2")
    with crowd(server, 3) as connections:
        for connection in connections:
            connection.send(get("/sleep?3"))
        (line,) = server.wait_log("standstill; requests wait for a thread .*")
        assert 'request="GET /sleep?3" waiting_for=' in line
        assert 'threads=2 running="GET /sleep?3 (2 times)"' in line
        assert "set threads = auto (it is 2)" in line
        assert all(connection.response().status == 200 for connection in connections)


# --- Slow requests ---

BEGUN = """
    import asyncio
    import time

    def parts(first):
        yield first
        time.sleep(1.0)
        yield b"end"

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return parts(environ["PATH_INFO"].encode())

    async def asgi(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] != "/poll":
            await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await asyncio.sleep(1.0)
        await send({"type": "http.response.body", "body": b"end"})
"""


@pytest.mark.parametrize(("app", "path"), [("application", "/stream"), ("asgi", "/stream"), ("asgi", "/poll")])
def test_a_response_that_has_begun_is_not_slow(serve: Serve, app: str, path: str) -> None:
    serve.source(BEGUN)
    server = serve(f"app:{app}", "--lifespan", "off", "--slow-request", "0.3")
    assert ask(server, path).endswith("end")
    assert server.stop() == 0
    assert "request slow" not in server.log


def test_a_slow_request_is_logged_once_with_its_stack(start: Callable[..., Server]) -> None:
    server = start("--slow-request", "0.3")
    assert ask(server, "/sleep?1.2") == "ok"
    assert ask(server, "/") == "ok"
    (line,) = re.findall("request slow .*", server.log)
    assert re.fullmatch(
        r"request slow request=\"GET /sleep\?1.2\" client=127.0.0.1:\d+ running_for=0.[34]\d*s slow_request=300ms", line
    )
    assert "in patient_view\n    time.sleep(seconds)" in server.log
    assert "run_thread" not in server.log, "what is ours is left out"


def test_a_dead_database_shows_where_the_app_waits(start: Callable[..., Server]) -> None:
    server = start("--slow-request", "0.3", "--request-timeout", "1s")
    with socket.create_server(("127.0.0.1", 0)) as dead, server.connect() as connection:
        response = connection.request(get(f"/database?{dead.getsockname()[1]}"))
        assert response.status == 504
        server.wait_log("request slow")
        server.wait_log("request timed out; .* running_for=1")
        assert server.log.count("in asks_a_dead_database\n    connection.recv(1)") == 2


# --- Requests that do not end ---


def test_an_endless_request_is_answered_and_its_worker_replaced(start: Callable[..., Server]) -> None:
    server = start("--request-timeout", "0.5", "--access-log", "-")
    old = ask(server, "/pid")
    with server.connect(timeout=20) as endless, server.connect() as patient:
        patient.send(get("/sleep?0.4"))
        response = endless.request(get("/loop"))
        assert (response.status, response.header("Connection")) == (504, "close")
        assert endless.is_closed()
        assert patient.response().body == b"ok"
    facts = r"request=\"GET /loop\" client=127.0.0.1:\d+ running_for=0.[5-9]\d*s request_timeout=500ms"
    server.wait_log(f"request timed out; it is given up {facts}")
    assert "in endless_view\n" in server.log
    server.wait_log(r'"GET /loop HTTP/1.1" 504')
    server.wait_for(lambda: ask(server, "/pid") != old, "the replacement to answer")
    server.wait_for(lambda: len(server.children()) == 1, "the old worker to end")
    assert server.log.count('"GET /loop HTTP/1.1" ') == 1


def test_no_request_fails_while_the_worker_is_replaced(start: Callable[..., Server]) -> None:
    server = start("--request-timeout", "0.5")
    old = ask(server, "/pid")
    with server.connect(timeout=20) as endless:
        assert endless.request(get("/loop")).status == 504

    def is_replaced() -> bool:
        with server.connect(timeout=20) as connection:
            response = connection.request(get("/pid"))
            assert response.status == 200
            return response.body.decode() != old

    server.wait_for(is_replaced, "the replacement")
    server.wait_for(lambda: len(server.children()) == 1, "the old worker to end")
    assert is_replaced()


def test_an_answer_that_has_begun_is_cut(start: Callable[..., Server]) -> None:
    server = start("--request-timeout", "0.5", "--access-log", "-")
    with server.connect(timeout=20) as connection:
        connection.send(get("/stream"))
        answer = connection.read_all()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert not answer.endswith(b"0\r\n\r\n"), "it must not look whole"
    server.wait_log(r'"GET /stream HTTP/1.1" 499')


def test_requests_within_the_limit_are_not_touched(start: Callable[..., Server]) -> None:
    server = start("--request-timeout", "5", "--slow-request", "0")
    assert ask(server, "/sleep?0.2") == "ok"
    assert ask(server, "/") == "ok"
    assert not re.search("WARNING|ERROR", server.log)


# --- Probes ---


def probe(address: tuple[str, int], path: str, method: str = "GET") -> tuple[int, bytes]:
    with socket.create_connection(address, timeout=10) as sock:
        sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = b""
        while part := sock.recv(4096):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def admin(server: Server) -> tuple[str, int]:
    (line,) = server.wait_log(r"probes are answered url=http://\S+")
    host, _, port = line.rpartition("/")[2].rpartition(":")
    return host, int(port)


@pytest.mark.parametrize("threads", ["auto", "1"])
def test_probes_are_answered_while_native_code_keeps_the_lock(start: Callable[..., Server], threads: str) -> None:
    server = start("--threads", threads, "--admin-bind", "127.0.0.1:0", "--health-path", "/-")
    address = admin(server)
    assert probe(address, "/livez") == (200, b"live\n")
    with server.connect(timeout=20) as busy:
        busy.send(get("/native?3"))
        began = time.monotonic()
        answers = [probe(address, "/livez"), probe(address, "/readyz"), probe(("127.0.0.1", server.port), "/-/livez")]
        assert time.monotonic() - began < 2
        assert answers == [(200, b"live\n"), (200, b"ready\n"), (200, b"live\n")]
        assert busy.response().body == b"ok"


def test_the_admin_address_serves_no_app(start: Callable[..., Server]) -> None:
    server = start("--admin-bind", "127.0.0.1:0")
    address = admin(server)
    assert probe(address, "/pid")[0] == 404
    assert probe(address, "/livez", "POST")[0] == 404
    assert probe(address, "/livez", "HEAD") == (200, b"")
    assert ask(server, "/livez") == "ok", "off on the public address: the app's"


def test_ready_turns_false_when_the_queue_is_half_full(start: Callable[..., Server]) -> None:
    server = start("--threads", "1", "--queue-size", "4", "--admin-bind", "127.0.0.1:0")
    address = admin(server)
    with crowd(server, 3) as connections:
        for connection in connections:
            connection.send(get("/sleep?1"))
        server.wait_for(lambda: probe(address, "/readyz")[0] == 503, "not ready")
        assert probe(address, "/readyz") == (503, b"the queue is half full\n")
        assert probe(address, "/livez")[0] == 200
        assert all(connection.response().status == 200 for connection in connections)
    assert probe(address, "/readyz") == (200, b"ready\n")


def test_ready_turns_false_while_draining(start: Callable[..., Server]) -> None:
    server = start("--health-path", "/")
    with server.connect() as busy, server.connect() as waiting:
        waiting.send(b"GET /readyz HTTP/1.1\r\n")
        busy.send(get("/sleep?1.5"))
        server.wait_for(lambda: ask(server, "/readyz") == "ready\n", "ready")
        server.process.terminate()
        server.wait_log("stopping")
        server.wait_for(lambda: "draining" in states(server), "a worker that drains")
        response = waiting.request(b"Host: x\r\n\r\n")
        assert (response.status, response.body) == (503, b"draining\n")
        assert busy.response().status == 200


def test_a_wrong_health_path_stops_the_start(serve: Serve, tmp_path: Path) -> None:
    server = serve("app:application", "--health-path", "health", ready=False)
    server.wait_for(lambda: server.process.poll() == 2, "exit code 2")
    assert '--health-path: "health" is not a path such as /health, or "off"' in server.log
