"""`hostler gunicorn` as it is typed, and hostler's worker under gunicorn's own arbiter."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.helpers import Serve, Server
from tests.integration.helpers.apps import HOLD
from tests.integration.helpers.commands import GUNICORN, wait_threads
from tests.integration.helpers.load import GET, HELD, wait_held
from tests.integration.helpers.serve import HELLO
from tests.integration.helpers.versions import APP, answer, reload

CONF = """
    import multiprocessing
    import os

    bind = "127.0.0.1:0"
    workers = min(2, multiprocessing.cpu_count() * 2 + 1)
    worker_class = "gthread"
    threads = 3
    timeout = 60
    raw_env = ["GREETING=from the file"]
    worker_tmp_dir = "/dev/shm"

    def when_ready(server):
        server.log.info("ready with %d workers, timeout %s", server.cfg.workers, server.cfg.timeout)

    def post_fork(server, worker):
        server.log.info("Worker spawned (pid: %s)", worker.pid)

    def child_exit(server, worker):
        server.log.info("child %s is gone", worker.pid)
"""
ENV = """
    import os

    def application(environ, start_response):
        body = os.environ.get("GREETING", "none").encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
"""


@pytest.mark.parametrize(
    "line",
    [
        "app:application -b 127.0.0.1:0 -w4 -k gevent",
        "--workers=3 app:application --bind 127.0.0.1:0",
        "--workers=3 --worker-class=meinheld.gmeinheld.MeinheldWorker app:application --bind 127.0.0.1:0",
        "-k gthread --threads 4 -t 30 --keep-alive 5 --preload -b 127.0.0.1:0 app",
    ],
)
def test_commands_as_typed(serve: Serve, line: str) -> None:
    serve.source(HELLO)
    server = serve(None, *line.split(), bind=[], python=GUNICORN, ready=False)
    server.wait_ready()
    with server.connect() as connection:
        assert connection.request(GET).body == b"hello"


def test_uvicorns_worker(serve: Serve) -> None:
    serve.source(
        """
        async def app(scope, receive, send):
            assert scope["type"] == "http"
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})
        """,
        "api",
    )
    line = "api:app -w 2 -k uvicorn.workers.UvicornWorker -b 127.0.0.1:0"
    server = serve(None, *line.split(), bind=[], python=GUNICORN, ready=False)
    server.wait_ready()
    assert answer(server) == "ok"


def test_configuration_file_with_hooks(serve: Serve) -> None:
    serve.source(ENV)
    serve.source(CONF, "gunicorn.conf")
    server = serve(None, "app", bind=[], python=GUNICORN, ready=False)
    server.wait_ready()
    assert answer(server) == "from the file"
    [worker, _] = server.wait_children(2)
    server.wait_log("ready with 2 workers, timeout 60")
    server.wait_log(r"Worker spawned \(pid: \d+\)", count=2)
    server.wait_log("gunicorn.conf.py: worker_tmp_dir changes nothing")
    os.kill(worker, signal.SIGKILL)
    server.wait_log(f"child {worker} is gone")


def test_file_is_run_again_at_a_reload(serve: Serve) -> None:
    serve.source(ENV)
    serve.source(CONF, "gunicorn.conf")
    server = serve(None, "app", bind=[], python=GUNICORN, ready=False)
    server.wait_ready()
    serve.source(CONF.replace("from the file", "anew").replace("min(2,", "min(1,"), "gunicorn.conf")
    assert reload(server).returncode == 0
    assert answer(server) == "anew"
    server.wait_children(1)
    serve.source("workers = many\n", "gunicorn.conf")
    done = reload(server)
    assert done.returncode == 1
    assert "gunicorn.conf.py:1: NameError: name 'many' is not defined" in done.stderr
    assert answer(server) == "anew"


def test_variable_and_platform(serve: Serve) -> None:
    serve.source(ENV)
    env = {"GUNICORN_CMD_ARGS": "--bind 127.0.0.1:0 -e GREETING=variable", "WEB_CONCURRENCY": "2"}
    server = serve(None, "app", bind=[], python=GUNICORN, ready=False, env=env)
    server.wait_ready()
    assert answer(server) == "variable"
    server.wait_children(2)


def test_broken_file_is_one_line(serve: Serve) -> None:
    serve.source(HELLO)
    serve.source("workers = 2\nbind = adress\n", "gunicorn.conf")
    server = serve(None, "app", bind=[], python=GUNICORN, ready=False)
    assert server.wait() == 2
    assert server.log == "hostler: gunicorn.conf.py:2: NameError: name 'adress' is not defined\n"


def test_sync_worker_serves_one_after_the_other(serve: Serve) -> None:
    serve.source(HOLD)
    server = serve(None, "app", "-b", "127.0.0.1:0", bind=[], python=GUNICORN, ready=False)
    server.wait_ready()
    with server.connect() as held, server.connect() as other:
        held.send(HELD)
        wait_held(server, serve)
        other.send(GET)
        (serve.directory / "go").touch()
        assert held.response().status == other.response().status == 200


# --- The other way round ---


class Gunicorn:
    """gunicorn itself with our worker class."""

    def __init__(self, serve: Serve, *options: str) -> None:
        self.server = Server(
            [*options, "-k", "hostler.integrations.gunicorn.Worker", "-b", "127.0.0.1:0", "--no-control-socket", "app"],
            log_path=serve.directory / "gunicorn.log",
            cwd=serve.directory,
            python=("-W", "default", "-m", "gunicorn"),
            env={"PYTHONWARNINGS": "default"},
        )
        self.server.wait_log(r"(?i)listening at: http://(127.0.0.1:\d+)")

    def wait_workers(self, count: int, without: list[int] | None = None) -> list[int]:
        return self.server.wait_children(count, without=without or [])


@pytest.fixture
def gunicorn(serve: Serve) -> Iterator[type[Gunicorn]]:
    started: list[Gunicorn] = []

    class Started(Gunicorn):
        def __init__(self, serve: Serve, *options: str) -> None:
            super().__init__(serve, *options)
            started.append(self)

    yield Started
    for each in started:
        each.server.end()
        print(each.server.log)


def url(server: Server) -> tuple[str, int]:
    [said] = server.wait_log(r"Listening at: http://127.0.0.1:\d+")
    return "127.0.0.1", int(said.rpartition(":")[2])


def ask(server: Server) -> str:
    import http.client

    connection = http.client.HTTPConnection(*url(server), timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_under_gunicorns_arbiter(serve: Serve, gunicorn: type[Gunicorn]) -> None:
    serve.source(APP.format(version="v1", pause=0))
    server = gunicorn(serve, "-w", "2").server
    [first, _] = server.wait_children(2)
    assert ask(server).startswith("v1 ")
    serve.source(APP.format(version="v2", pause=0))
    before = server.children()
    server.kill(signal.SIGHUP)
    server.wait_for(lambda: ask(server).startswith("v2 ") or None, "the new version")
    server.wait_children(2, without=before)
    killed = server.children()
    assert first not in killed
    for worker in killed:
        os.kill(worker, signal.SIGKILL)
    wait_threads(server, server.wait_children(2, without=killed))
    assert ask(server).startswith("v2 ")


def test_under_gunicorn_it_beats(serve: Serve, gunicorn: type[Gunicorn]) -> None:
    serve.source(HELLO)
    server = gunicorn(serve, "-t", "2", "--max-requests", "3").server
    [worker] = server.wait_children(1)
    deadline = time.monotonic() + 4  # twice the timeout
    while time.monotonic() < deadline:
        assert server.children() == [worker]
        time.sleep(0.1)
    for _ in range(3):
        assert ask(server) == "hello"
    server.wait_children(1, without=[worker])
    assert "max_requests=" in server.log


def test_under_gunicorn_a_stop_while_it_imports(serve: Serve, gunicorn: type[Gunicorn]) -> None:
    """gunicorn's own handler hears it, before ours is there."""
    serve.source("import time\nopen('held', 'w').close()\ntime.sleep(1)\n" + textwrap.dedent(HELLO))
    server = gunicorn(serve).server
    server.wait_for((serve.directory / "held").exists, "the import")
    assert server.stop(within=10) == 0


def test_under_gunicorn_an_app_that_does_not_load(serve: Serve) -> None:
    serve.source("import nowhere")
    command = [sys.executable, "-m", "gunicorn", "-k", "hostler.integrations.gunicorn.Worker", "-b", "127.0.0.1:0"]
    env = {**os.environ, "PYTHONWARNINGS": "default"}
    done = subprocess.run(
        [*command, "--no-control-socket", "app"],
        cwd=serve.directory, capture_output=True, text=True, timeout=30, check=False, env=env,
    )  # fmt: skip
    assert done.returncode in (3, 4)
    assert "No module named 'nowhere'" in done.stderr
    assert not Path(serve.directory / "core").exists()


def test_under_gunicorn_request_hooks_are_called(serve: Serve, gunicorn: type[Gunicorn]) -> None:
    serve.source(HELLO)
    hooks = "def pre_request(worker, req):\n    worker.log.info('asked for %s', req.path)\n"
    (serve.directory / "gunicorn.conf.py").write_text(hooks)
    server = gunicorn(serve).server
    assert ask(server) == "hello"
    server.wait_log("asked for /")


def test_under_gunicorn_tls_is_refused(serve: Serve) -> None:
    serve.source(HELLO)
    for name in ("key.pem", "cert.pem"):
        (serve.directory / name).touch()
    command = [sys.executable, "-m", "gunicorn", "-k", "hostler.integrations.gunicorn.Worker", "-b", "127.0.0.1:0"]
    done = subprocess.run(
        [*command, "--no-control-socket", "--certfile", "cert.pem", "--keyfile", "key.pem", "app"],
        cwd=serve.directory, capture_output=True, text=True, timeout=30, check=False,
        env={**os.environ, "PYTHONWARNINGS": "default"},
    )  # fmt: skip
    assert done.returncode == 3
    assert "has no TLS: let a proxy end it" in done.stderr


@pytest.mark.parametrize(("line", "mode"), [("", 0o777), ("-m 027", 0o750)])
def test_unix_socket_has_the_mode_that_gunicorn_gives_it(serve: Serve, line: str, mode: int) -> None:
    serve.source(HELLO)
    path = serve.directory / "shop.sock"
    server = serve(None, "app", "-b", f"unix:{path}", *line.split(), bind=[], python=GUNICORN, ready=False)
    server.wait_ready()
    assert path.stat().st_mode & 0o777 == mode
    assert ("every user of this machine can connect" in server.log) == (mode == 0o777)


def test_capture_output_leaves_the_access_log_on_standard_output(serve: Serve) -> None:
    serve.source("import sys\n" + textwrap.dedent(HELLO) + "print('imported', flush=True)\n")
    line = "app -b 127.0.0.1:0 --capture-output --access-logfile - --error-logfile error.log"
    script = f"import sys; from hostler.cli import main; sys.exit(main(['gunicorn', *{line.split()!r}]))"
    server = serve(None, bind=[], python=["-c", script], ready=False)
    errors = serve.directory / "error.log"
    server.wait_for(lambda: errors.exists() and "listening on" in errors.read_text(), "the server to listen")
    port = int(errors.read_text().partition("listening on http://127.0.0.1:")[2].split()[0])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET /seen HTTP/1.0\r\n\r\n")
        assert b"hello" in connection.makefile("rb").read()
    server.wait_log("GET /seen HTTP/1.0")
    assert "imported" in errors.read_text()
    assert "/seen" not in errors.read_text()


def test_tab_in_the_access_logs_format_is_a_tab_in_its_lines(serve: Serve) -> None:
    serve.source(HELLO)
    serve.source("accesslog = '-'\naccess_log_format = '%(m)s\\t%(s)s'\n", "gunicorn.conf")
    server = serve(None, "app", "-b", "127.0.0.1:0", bind=[], python=GUNICORN, ready=False)
    server.wait_ready()
    assert answer(server) == "hello"
    server.wait_log("GET\t200")


def test_raw_env_is_seen_by_hooks_of_the_arbiter_and_follows_a_reload(serve: Serve) -> None:
    serve.source(ENV)
    conf = """
        import os
        raw_env = ["GREETING=one"]
        def child_exit(server, worker):
            server.log.info("greeting %s software %s", os.environ.get("GREETING"), os.environ["SERVER_SOFTWARE"])
    """
    serve.source(conf, "gunicorn.conf")
    server = serve(None, "app", "-b", "127.0.0.1:0", bind=[], python=GUNICORN, ready=False)
    server.wait_ready()
    assert answer(server) == "one"
    [worker] = server.wait_children(1)
    os.kill(worker, signal.SIGKILL)
    server.wait_log(r"greeting one software gunicorn \(hostler")
    server.wait_children(1, without=[worker])
    serve.source(conf.replace('["GREETING=one"]', "[]"), "gunicorn.conf")
    assert reload(server).returncode == 0
    assert answer(server) == "none"
    server.wait_log("greeting None software gunicorn")


@pytest.mark.parametrize("where", ["environ", "raw_env"])
def test_script_name_of_the_environment_is_the_applications(serve: Serve, where: str) -> None:
    serve.source(
        """
        import os
        def application(environ, start_response):
            body = f"{environ['SCRIPT_NAME']} {environ['PATH_INFO']} {os.environ['SCRIPT_NAME']}".encode()
            start_response("200 OK", [("Content-Length", str(len(body)))])
            return [body]
        """
    )
    line = ["app", "-b", "127.0.0.1:0", *(["-e", "SCRIPT_NAME=/shop"] if where == "raw_env" else [])]
    env = {"SCRIPT_NAME": "/shop"} if where == "environ" else {}
    server = serve(None, *line, bind=[], python=GUNICORN, ready=False, env=env)
    server.wait_ready()
    with server.connect() as connection:
        assert connection.request(b"GET /shop/cart HTTP/1.1\r\nHost: a\r\n\r\n").body == b"/shop /cart /shop"


def test_configuration_file_is_a_module_whose_classes_can_be_pickled(serve: Serve) -> None:
    serve.source(HELLO)
    conf = """
        import pickle
        class Thing: pass
        def when_ready(server):
            server.log.info("pickled %s", type(pickle.loads(pickle.dumps(Thing()))).__module__)
    """
    serve.source(conf, "gunicorn.conf")
    server = serve(None, "app", "-b", "127.0.0.1:0", bind=[], python=GUNICORN, ready=False)
    server.wait_log("pickled __config__")


CLIENT = """
    async def application(scope, receive, send):
        if scope["type"] != "http":
            raise RuntimeError("only HTTP")
        body = scope["client"][0].encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})
"""


def test_variable_gives_gunicorns_own_arbiter_our_workers_with_the_client_of_a_proxy(serve: Serve) -> None:
    serve.source(CLIENT)
    server = serve(
        None, "-b", "127.0.0.1:0", "--no-control-socket", "app", bind=[], ready=False,
        python=("-W", "default", "-m", "gunicorn"),
        env={"GUNICORN_CMD_ARGS": "-k hostler.integrations.gunicorn.Worker", "PYTHONWARNINGS": "default"},
    )  # fmt: skip
    with socket.create_connection(url(server), timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n")
        assert connection.makefile("rb").read().endswith(b"192.0.2.7")
