"""Workers that have run enough, grown too large or too old are replaced, the replacement first."""

from __future__ import annotations

import os
import signal
import socket
import time

import pytest

from tests.integration.helpers import Serve, Server
from tests.integration.helpers.apps import HOLD
from tests.integration.helpers.commands import states
from tests.integration.helpers.load import GET, HELD, KeepAlive, Load, wait_held
from tests.integration.helpers.versions import answer, reload, version

ASGI = """
    import os

    async def application(scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"v %d" % os.getpid()})
"""
LEAK = """
    import os
    leak = []

    def application(environ, start_response):
        leak.append(os.urandom(1 << 20))
        start_response("200 OK", [])
        return [b"v %d" % os.getpid()]
"""


def pid(server: Server) -> int:
    return int(answer(server).split()[1])


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_max_requests(serve: Serve, kind: str) -> None:
    app = version(serve, "v") if kind == "wsgi" else serve.source(ASGI)
    server = serve(app, "--max-requests", "10", "--max-requests-jitter", "5")
    first = pid(server)
    for _ in range(15):
        pid(server)
    server.wait_log(rf"INFO\] worker replaced worker=0 pid={first} reason=\"max_requests=10\"")
    server.wait_children(1, without=[first])
    assert pid(server) != first


def test_max_requests_under_load_fails_nobody(serve: Serve) -> None:
    server = serve(version(serve, "v"), "--max-requests", "2500", "--workers", "2")
    loads = [Load(server, 2), KeepAlive(server, 4)]
    server.wait_for(lambda: server.log.count("worker replaced") >= 4, "four replacements")
    for load in loads:
        load.stop()
    assert [load.failed for load in loads] == [[], []]


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--max-rss", "--max-pss"])
def test_memory(serve: Serve, option: str) -> None:
    server = serve(serve.source(LEAK), option, "80M")
    first = pid(server)
    for _ in range(90):
        pid(server)
    server.wait_log(
        rf"worker replaced worker=0 pid={first} reason=\"it has \d+M of memory.* \(max_[rp]ss 80M\)\"", within=15
    )
    server.wait_children(1, without=[first])


def test_lifetime(serve: Serve) -> None:
    server = serve(version(serve, "v"), "--max-lifetime", "1s")
    [first] = server.children()
    server.wait_log(r"worker replaced .* reason=\"it has served for 1s \(max_lifetime\)\"")
    server.wait_children(1, without=[first])


def test_limit_below_the_need_does_not_spin(serve: Serve) -> None:
    server = serve(version(serve, "v"), "--max-rss", "1M")
    started = time.monotonic()
    server.wait_for(lambda: server.log.count("worker replaced") >= 5, "five replacements")
    assert time.monotonic() - started > 0.5
    assert answer(server).startswith("v ")


# --- Stopping behind a balancer ---


def readiness(server: Server) -> int:
    with server.connect() as connection:
        return connection.request(b"GET /-/readyz HTTP/1.1\r\nHost: x\r\n\r\n").status


def test_drain_delay_serves_on_and_says_so_to_probes(serve: Serve) -> None:
    server = serve(version(serve, "v"), "--drain-delay", "1s", "--health-path", "/-", "--workers", "2")
    assert readiness(server) == 200
    load = Load(server, 2)
    server.kill(signal.SIGTERM)
    server.wait_log("stopping after drain_delay; .* reason=SIGTERM drain_delay=1s")
    told = time.monotonic()
    assert [readiness(server) for _ in range(10)] == [503] * 10
    answered = load.answered
    os.kill(server.children()[0], signal.SIGKILL)  # who comes meanwhile knows it too
    server.wait_log(r"worker ready worker=\d pid=\d+")
    assert [readiness(server) for _ in range(10)] == [503] * 10
    server.wait_for(lambda: load.answered > answered or time.monotonic() - told > 0.9, "answers")
    load.stop()
    assert load.answered > answered
    assert server.wait() == 0
    assert time.monotonic() - told >= 0.9


def test_a_server_that_leaves_is_not_reloaded(serve: Serve) -> None:
    server = serve(version(serve, "v"), "--drain-delay", "1m")
    server.kill(signal.SIGTERM)
    server.wait_log("stopping after drain_delay; .* drain_delay=60s")
    done = reload(server)
    assert done.returncode == 1
    assert done.stderr.endswith("\nhostler: not reloaded, nothing has changed: the server is stopping\n")
    server.kill(signal.SIGQUIT)
    assert server.wait() == 0


def test_second_stop_ends_the_delay_and_a_third_one_the_requests(serve: Serve) -> None:
    server = serve(serve.source(HOLD), "--drain-delay", "1m")
    with server.connect() as running:
        running.send(HELD)
        wait_held(server, serve)
        server.kill(signal.SIGTERM)
        server.wait_log("stopping after drain_delay; .* drain_delay=60s")
        time.sleep(0.6)  # sooner, it would be taken for the same one
        server.kill(signal.SIGTERM)
        server.wait_log('stopping; requests that run may end reason="SIGTERM again" graceful_timeout=30s')
        time.sleep(0.6)
        server.kill(signal.SIGTERM)
        assert server.wait() == 0
    assert 'request cut request="GET /hold"' in server.log


def test_kept_connections_get_a_last_answer(serve: Serve) -> None:
    """One that was used just now may have its next request on the way: RFC 9112 9.6."""
    server = serve(version(serve, "v"))
    with server.connect() as connection:
        assert connection.request(GET).header("Connection") is None
        server.kill(signal.SIGTERM)
        for _ in range(100):
            response = connection.request(GET)
            assert response.status == 200
            if response.header("Connection") == "close":
                break
            time.sleep(0.02)
        assert response.header("Connection") == "close"
    assert server.wait() == 0


def test_kept_connections_of_a_replaced_worker_have_longer(serve: Serve) -> None:
    """Where they do not go to other workers: test_balance.py."""
    server = serve(version(serve, "old"), "--balance", "kernel")
    for _ in range(20):
        with server.connect() as used, server.connect() as unused:
            before = used.request(GET)
            assert (before.status, before.header("Connection")) == (200, None)
            unused.request(GET)
            began = time.monotonic()
            assert reload(server).returncode == 0
            time.sleep(0.3)  # longer than a stop would give it
            used.send(GET)
            took = time.monotonic() - began
            if took < 1.8:  # else the machine is so busy that its 2 s may be over
                response = used.response()
                assert (response.body[:3], response.header("Connection")) == (before.body[:3], "close")
            server.wait_for(unused.is_closed, "the end of the idle connection")
            if took < 1.8:
                return
    raise AssertionError(f"too busy to tell: a reload took {took:.1f} s")


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_idle_connections_do_not_keep_a_server(serve: Serve, kind: str) -> None:
    server = serve(version(serve, "v") if kind == "wsgi" else serve.source(ASGI))
    with server.connect() as connection:
        connection.request(GET)
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 0.9
        assert connection.is_closed()


def test_an_answer_that_promised_to_go_on_does_not_keep_a_server(serve: Serve) -> None:
    """Its head said nothing of a close; nobody polls with the deadline in mind that it gets."""
    app = """
        import os
        import time

        def application(environ, start_response):
            start_response("200 OK", [])
            yield b"first"
            while not os.path.exists("go"):
                time.sleep(0.005)
            yield b"last"
    """
    server = serve(serve.source(app))
    with server.connect() as connection:
        connection.send(GET)
        connection.sock.settimeout(10)
        assert connection.sock.recv(1, socket.MSG_PEEK)
        server.kill(signal.SIGTERM)
        server.wait_log("stopping")
        server.wait_for(lambda: "draining" in states(server), "a worker that drains")
        (serve.directory / "go").touch()
        response = connection.response()
        assert (response.header("Connection"), response.body) == (None, b"firstlast")
        started = time.monotonic()
        assert server.wait() == 0
        assert time.monotonic() - started < 0.9


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_memory_budget_of_the_whole(serve: Serve) -> None:
    """Looked at every ten seconds; the largest goes, when its replacement is ready."""
    server = serve(serve.source(LEAK), "--workers", "2", "--memory-budget", "60M")
    for _ in range(80):
        answer(server)
    before = server.wait_children(2)
    found = server.wait_log(
        r"worker replaced worker=\d pid=(\d+) reason=\"all processes have \d+M of memory \(memory_budget 60M\)"
    )
    gone = int(found[0].partition("pid=")[2].split()[0])
    assert gone in before
    server.wait_children(2, without=[gone])
    assert answer(server).startswith("v ")
