"""workers = "auto": one more while all compute and requests wait, one fewer when they are idle."""

from __future__ import annotations

import threading

import pytest

from hostler.proc.machine import processors
from tests.integration.helpers import Serve, Server
from tests.integration.helpers.load import GET, Load
from tests.integration.helpers.versions import answer, reload

COMPUTES = """
    import os

    def application(environ, start_response):
        for _ in range(200_000):
            pass
        body = f"v {os.getpid()}".encode()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
"""
WAITS = COMPUTES.replace("for _ in range(200_000):\n            pass", '__import__("time").sleep(0.05)')


def start(serve: Serve, app: str, *options: str) -> Server:
    return serve(serve.source(app), "--workers", "auto", *options)


@pytest.mark.alone
@pytest.mark.skipif(processors() < 2, reason="one processor is kept busy by one worker")
def test_grows_while_it_computes(serve: Serve) -> None:
    server = start(serve, COMPUTES)
    load = Load(server, 8)
    server.wait_log(r"workers scaled reason=\"all workers compute and requests wait, cpu=\d+%\" workers=2 before=1")
    server.wait_children(2)
    load.stop()
    assert load.failed == []
    assert reload(server).returncode == 0  # it keeps the number that it has found
    server.wait_children(2)


ASGI = """
    import os

    async def application(scope, receive, send):
        for _ in range(200_000):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})
"""


@pytest.mark.alone
@pytest.mark.skipif(processors() < 2, reason="more workers do not help on one processor")
@pytest.mark.parametrize("app", [COMPUTES, ASGI], ids=["wsgi", "asgi"])
def test_one_worker_by_default_advises_more_once_where_they_would_help(serve: Serve, app: str) -> None:
    server = serve(serve.source(app), "--lifespan", "off")
    server.wait_log(r"\(1 worker, ")
    load = Load(server, 8)
    server.wait_log(
        r"\[WARNING\] .*more workers would help; .* workers=1 cpu=\d+% during=10s processors=\d+ "
        r"remedy=\"workers = auto or \d+, if the application keeps no state in the process\"",
        within=60,
    )
    load.stop()
    assert load.failed == []
    assert len(server.children()) == 1


def test_bounds_without_auto_are_warned_of(serve: Serve) -> None:
    server = serve(serve.source(COMPUTES), "--max-workers", "3")
    server.wait_log(r"max_workers: no effect, .* workers=1 \(default\) remedy=workers = auto")


def test_stays_while_it_waits(serve: Serve) -> None:
    server = start(serve, WAITS, "--max-workers", "4")
    load = Load(server, 16)
    for _ in range(40):
        answer(server)
    threading.Event().wait(4)  # longer than growing takes
    load.stop()
    assert len(server.children()) == 1


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_shrinks_when_it_is_idle(serve: Serve) -> None:
    server = start(serve, COMPUTES, "--max-workers", "2")
    server.kill_resize(1)
    server.wait_children(2)
    server.wait_log(r"workers scaled reason=\"one worker fewer will do, cpu=\d+%\" workers=1 before=2", within=60)
    server.wait_children(1)
    assert answer(server).startswith("v ")


@pytest.mark.alone
def test_memory_that_does_not_suffice_is_told_once(serve: Serve) -> None:
    server = start(serve, COMPUTES, "--max-workers", "4", "--memory-budget", "10M")
    load = Load(server, 8)
    server.wait_log(r"another worker would help, but there is no memory for it with_it=\d+M allowed=10M")
    threading.Event().wait(4)
    load.stop()
    assert server.log.count("another worker would help") == 1
    assert "2 workers, 1 before" not in server.log


def test_bounds(serve: Serve) -> None:
    server = start(serve, COMPUTES, "--min-workers", "2", "--max-workers", "3")
    server.wait_log(r"\(2 to 3 workers, up to 256 threads\)")
    server.wait_children(2)
    with server.connect() as connection:
        assert connection.request(GET).status == 200


def test_bounds_that_contradict_each_other(serve: Serve) -> None:
    server = serve(serve.source(COMPUTES), "--min-workers", "3", "--max-workers", "2", ready=False)
    assert server.wait() == 2
    assert "hostler: --min-workers: 3 is more than max_workers (2, --max-workers)" in server.log
