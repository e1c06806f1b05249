"""What an app makes at import is of the thread that its requests run in: of an event loop, and with `threads = 1`."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.integration.helpers import Connection, Serve, Server

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
PRELOAD = pytest.mark.parametrize("options", [(), ("--preload",)])

ASGI = """
    import asyncio, contextvars, decimal, json, os, signal, sqlite3, sys, threading, time

    database = sqlite3.connect(":memory:")
    decimal.getcontext().prec = 5
    variable = contextvars.ContextVar("variable")
    variable.set("import")
    local = threading.local()
    local.value = "import"
    imported = threading.get_ident()

    def say(*words):
        os.write(2, f"app: {' '.join(map(str, words))}\\n".encode())

    def facts():
        return {
            "same": threading.get_ident() == imported,
            "main": threading.current_thread() is threading.main_thread(),
            "database": database.execute("select 1").fetchone()[0],
            "decimal": str(decimal.Decimal(1) / 3),
            "variable": variable.get(None),
            "local": getattr(local, "value", None),
        }

    def on_start():
        pass

    async def application(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            on_start()
            say("lifespan", json.dumps(facts()))
            await send({"type": "lifespan.startup.complete"})
            await receive()
            say("lifespan.shutdown")
            await send({"type": "lifespan.shutdown.complete"})
            return
        path = scope["path"]
        if path == "/slow":
            say("slow begins")
            await asyncio.sleep(1)
        elif path == "/block":
            say("block begins")
            time.sleep(60)
        elif path == "/stop":
            asyncio.get_running_loop().stop()
        elif path == "/cancel":
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
        body = json.dumps({**facts(), "pid": os.getpid()}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})
"""

WSGI = """
    import asyncio, json, os, signal, sqlite3, sys, threading, time

    database = sqlite3.connect(":memory:")
    imported = threading.get_ident()

    def say(*words):
        os.write(2, f"app: {' '.join(map(str, words))}\\n".encode())

    class Late(Exception):
        pass

    def ring(number, frame):
        raise Late

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        facts = {
            "same": threading.get_ident() == imported,
            "main": threading.current_thread() is threading.main_thread(),
            "database": database.execute("select 1").fetchone()[0],
            "pid": os.getpid(),
        }
        if path == "/alarm":
            signal.signal(signal.SIGALRM, ring)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            try:
                time.sleep(60)
            except Late:
                facts["late"] = True
        elif path == "/handle":
            signal.signal(signal.SIGUSR2, lambda number, frame: say("heard", number))
            signal.signal(signal.SIGWINCH, lambda number, frame: sys.exit("not now"))
        elif path == "/slow":
            say("slow begins")
            time.sleep(1)
        elif path == "/run":
            async def main():
                say("run begins")
                await asyncio.sleep(1)
                return "ran"
            facts["run"] = asyncio.run(main())
        elif path == "/uvloop":
            import uvloop
            async def main():
                say("run begins")
                await asyncio.sleep(1)
                return "ran"
            loop = uvloop.new_event_loop()
            facts["run"] = loop.run_until_complete(main())
            loop.close()
        elif path == "/block":
            say("block begins")
            time.sleep(60)
        elif path == "/fork":
            pid = os.fork()
            if pid == 0:
                return []
            facts["child"] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        body = json.dumps(facts).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
"""


def ask(server: Server, path: str = "/") -> dict[str, object]:
    with server.connect() as connection:
        return answer(connection, path)


def answer(connection: Connection, path: str) -> dict[str, object]:
    response = connection.request(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert response.status == 200, response
    found = json.loads(response.body)
    assert isinstance(found, dict)
    return found


def worker_of(server: Server) -> int:
    pid = ask(server)["pid"]
    assert isinstance(pid, int)
    return pid


def asgi(serve: Serve, loop: str, *options: str, on_start: str = "pass") -> Server:
    text = ASGI.replace("    def on_start():\n        pass", f"    def on_start():\n        {on_start}")
    return serve(serve.source(text), "--loop", loop, *options)


@LOOPS
@PRELOAD
def test_import_lifespan_and_requests_of_an_asgi_app_share_a_thread(
    serve: Serve, loop: str, options: tuple[str, ...]
) -> None:
    server = asgi(serve, loop, *options)
    facts = ask(server)
    facts.pop("pid")
    same = {"same": True, "main": True, "database": 1, "decimal": "0.33333", "variable": "import", "local": "import"}
    assert facts == same
    [line] = server.wait_log("^app: lifespan .*")
    assert json.loads(line.removeprefix("app: lifespan ")) == same


@LOOPS
def test_handlers_that_a_lifespan_sets_run_beside_the_servers(serve: Serve, loop: str) -> None:
    """TERM drains, whatever the app wants of it, and the app hears of it too."""
    on_start = (
        "signal.signal(signal.SIGUSR2, lambda number, frame: say('usr2')); "
        "loop = asyncio.get_running_loop(); "
        "loop.add_signal_handler(signal.SIGWINCH, say, 'winch'); loop.add_signal_handler(signal.SIGTERM, say, 'term'); "
        "signal.signal(signal.SIGINT, lambda number, frame: sys.exit('not now'))"
    )
    server = asgi(serve, loop, on_start=on_start)
    worker = worker_of(server)
    for number, said in ((signal.SIGUSR2, "usr2"), (signal.SIGWINCH, "winch")):
        os.kill(worker, number)
        server.wait_log(f"^app: {said}$")
    os.kill(worker, signal.SIGINT)
    server.wait_log(r"signal handler of the application failed signal=SIGINT error=.*SystemExit\('not now'\)")
    with server.connect() as connection:
        connection.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_log("^app: slow begins$")
        server.kill(signal.SIGTERM)
        server.wait_log("^app: term$")
        assert connection.response().status == 200
    assert server.wait() == 0
    server.wait_log("^app: lifespan.shutdown$")


@LOOPS
def test_handler_for_term_that_a_lifespan_sets_by_signal_runs_beside_the_servers(serve: Serve, loop: str) -> None:
    on_start = "signal.signal(signal.SIGTERM, lambda number, frame: (say('term'), sys.exit(3)))"
    server = asgi(serve, loop, on_start=on_start)
    with server.connect() as connection:
        connection.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_log("^app: slow begins$")
        server.kill(signal.SIGTERM)
        server.wait_log("^app: term$")
        assert connection.response().status == 200
    assert server.wait() == 0
    server.wait_log(r"signal handler of the application failed signal=SIGTERM error=SystemExit\(3\)")


@LOOPS
@pytest.mark.parametrize("action", ["SIG_DFL", "SIG_IGN"])
def test_term_that_a_lifespan_resets_is_the_servers_again(serve: Serve, loop: str, action: str) -> None:
    server = asgi(serve, loop, on_start=f"signal.signal(signal.SIGTERM, signal.{action})")
    server.wait_log("signal handler set again; the application had removed it signal=SIGTERM")
    with server.connect() as connection:
        connection.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_log("^app: slow begins$")
        server.kill(signal.SIGTERM)
        assert connection.response().status == 200
    assert server.wait() == 0


@LOOPS
def test_signal_handler_of_the_loop_can_be_removed(serve: Serve, loop: str) -> None:
    on_start = (
        "loop = asyncio.get_running_loop(); loop.add_signal_handler(signal.SIGTERM, say, 'term'); "
        "loop.add_signal_handler(signal.SIGUSR2, say, 'usr2'); "
        "say('removed', loop.remove_signal_handler(signal.SIGTERM), loop.remove_signal_handler(signal.SIGUSR2), "
        "loop.remove_signal_handler(signal.SIGUSR2))"
    )
    server = asgi(serve, loop, on_start=on_start)
    server.wait_log("^app: removed True True False$")
    os.kill(worker_of(server), signal.SIGUSR2)
    assert ask(server)["main"] is True
    assert server.stop() == 0
    assert "app: term" not in server.log
    assert "app: usr2" not in server.log


@LOOPS
def test_bad_signal_handlers_of_the_loop_are_refused_as_by_asyncio(serve: Serve, loop: str) -> None:
    (serve.directory / "probe.py").write_text("""
def probe(loop):
    async def coroutine():
        pass
    for number, callback in ((15, coroutine), (9, print), (4444, print), ("15", print)):
        try:
            loop.add_signal_handler(number, callback)
        except (TypeError, ValueError, RuntimeError) as error:
            yield type(error).__name__
""")
    on_start = "import probe; say(*probe.probe(asyncio.get_running_loop()))"
    server = asgi(serve, loop, on_start=on_start)
    server.wait_log("^app: TypeError RuntimeError ValueError TypeError$")


@LOOPS
def test_blocked_loop_does_not_keep_the_worker_from_hearing_term(serve: Serve, loop: str) -> None:
    server = asgi(serve, loop, "--graceful-timeout", "0.5s")
    with server.connect() as connection:
        connection.send(b"GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_log("^app: block begins$")
        assert server.stop() == 0
    server.wait_log(r"\[WARNING\] request cut request=\"GET /block\" ")


@LOOPS
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/stop", "stopped its event loop"),
        ("/cancel", "cancelled all tasks of the event loop, the server's among them"),
    ],
)
def test_app_that_breaks_its_loop_gets_a_new_worker_and_loses_no_request(
    serve: Serve, loop: str, path: str, said: str
) -> None:
    server = asgi(serve, loop)
    worker = worker_of(server)
    with server.connect() as other:
        assert ask(server, path)["pid"] == worker
        server.wait_log(f"the application {said} app=app:application")
        server.wait_children(1, without=[worker])
        assert answer(other, "/")["main"] is True
    assert worker_of(server) != worker
    assert "please report" not in server.log
    assert server.stop() == 0
    # A lifespan whose task was cancelled has ended by that.
    assert server.log.count("app: lifespan.shutdown") == {"/stop": 2, "/cancel": 1}[path]


@LOOPS
def test_loop_that_is_made_at_import_is_the_one_that_serves(serve: Serve, loop: str) -> None:
    head = "import uvloop; asyncio.set_event_loop(uvloop.new_event_loop())" if loop == "uvloop" else ""
    text = f"""
    import asyncio
    {head or "asyncio.set_event_loop(asyncio.new_event_loop())"}
    made = asyncio.get_event_loop()
    future = made.create_future()
    made.call_soon(future.set_result, "ran")
    """
    server = serve(
        serve.source(text + ASGI.replace('"main":', '"loop": asyncio.get_running_loop() is made, "main":')),
        "--loop",
        loop,
    )
    assert ask(server)["loop"] is True


@PRELOAD
def test_requests_of_one_thread_run_in_the_main_thread(serve: Serve, options: tuple[str, ...]) -> None:
    server = serve(serve.source(WSGI), "--threads", "1", *options)
    facts = ask(server, "/alarm")
    facts.pop("pid")
    assert facts == {"same": True, "main": True, "database": 1, "late": True}
    name = Path(f"/proc/{worker_of(server)}/comm").read_text()
    assert "hostler-app" not in name
    assert server.stop() == 0


def test_handler_that_a_view_sets_runs_while_the_worker_waits_for_requests(serve: Serve) -> None:
    server = serve(serve.source(WSGI), "--threads", "1")
    worker = ask(server, "/handle")["pid"]
    assert isinstance(worker, int)
    for _ in range(2):  # in the wait of the thread, and after it
        os.kill(worker, signal.SIGUSR2)
    server.wait_log(f"^app: heard {signal.SIGUSR2:d}$")
    os.kill(worker, signal.SIGWINCH)
    server.wait_log("SystemExit: not now")
    assert ask(server)["pid"] == worker
    assert server.stop() == 0


@pytest.mark.parametrize("path", ["/slow", "/run", "/uvloop"])
def test_term_is_heard_while_the_one_thread_runs_a_request(serve: Serve, path: str) -> None:
    server = serve(serve.source(WSGI), "--threads", "1")
    with server.connect() as connection:
        connection.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        server.wait_log(" begins$")
        server.kill(signal.SIGTERM)
        server.wait_log("stopping; .* reason=SIGTERM")
        response = connection.response()
        assert response.status == 200
        assert response.header("connection") == "close"
    assert server.wait() == 0


def test_one_thread_that_is_stuck_is_cut_at_the_deadline(serve: Serve) -> None:
    server = serve(serve.source(WSGI), "--threads", "1", "--graceful-timeout", "0.5s")
    with server.connect() as connection:
        connection.send(b"GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_log("^app: block begins$")
        before = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - before < 10
    server.wait_log(r"\[WARNING\] request cut request=\"GET /block\" ")


def test_child_that_the_one_thread_forks_ends_when_its_view_returns(serve: Serve) -> None:
    server = serve(serve.source(WSGI), "--threads", "1")
    assert ask(server, "/fork")["child"] == 0
    assert ask(server)["main"] is True
    assert server.stop() == 0


def test_slow_request_of_the_one_thread_is_named_with_its_stack_alone(serve: Serve) -> None:
    server = serve(serve.source(WSGI), "--threads", "1", "--slow-request", "0.2s")
    with server.connect() as connection:
        connection.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_log('request slow request="GET /slow" client=127.0.0.1')
        assert connection.response().status == 200
    stack = server.log.partition("request slow")[2].partition("[INFO]")[0]
    assert "in application" in stack
    assert "launcher.py" not in stack
