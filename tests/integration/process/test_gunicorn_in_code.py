"""Programs that start gunicorn themselves: stand-ins for those that docs/migrate/gunicorn-in-code.md lists."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.helpers import Serve, Server
from tests.integration.helpers.commands import wait_threads

CLASS = "hostler.integrations.gunicorn.Worker"
# What runs an application says so in its environ.
APP = """
    def application(environ, start_response):
        body = f"{'hostler' if 'hostler.queue_time' in environ else 'gunicorn'} {environ['SERVER_SOFTWARE']}".encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    def create_app():
        return application
"""
PLAIN = {"PYTHONWARNINGS": "default"}  # gunicorn's own


@pytest.fixture
def shim(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> str:
    """PATH with a gunicorn of ours in front."""
    folder = tmp_path_factory.mktemp("shim")
    subprocess.run([sys.executable, "-m", "hostler", "shim", str(folder)], check=True, capture_output=True, timeout=30)
    return f"{folder}:{os.environ['PATH']}"


def ask(server: Server) -> str:
    server.wait_log(r"(?i)listening (at|on):? http://127.0.0.1:\d+")
    port = int(server.log.partition("http://127.0.0.1:")[2].split()[0])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return connection.makefile("rb").read().partition(b"\r\n\r\n")[2].decode()


def start(serve: Serve, script: str, **env: str) -> Server:
    serve.source(APP)
    serve.source(script, "program")
    return serve(None, "program.py", bind=[], python=(), ready=False, env=PLAIN | env)


SCRIPT_THAT_EXECUTES = """
    import os

    os.execvp("/bin/sh", ["sh", "run-server.sh"])
"""
RUN_SERVER = """
HYPHEN_SYMBOL='-'
exec gunicorn \\
    --bind "${BIND_ADDRESS:-127.0.0.1}:${BIND_PORT:-0}" \\
    --access-logfile "${ACCESS_LOG_FILE:-$HYPHEN_SYMBOL}" \\
    --error-logfile "${ERROR_LOG_FILE:-$HYPHEN_SYMBOL}" \\
    --workers ${SERVER_WORKER_AMOUNT:-1} \\
    --worker-class ${SERVER_WORKER_CLASS:-gthread} \\
    --threads ${SERVER_THREADS_AMOUNT:-20} \\
    --timeout ${GUNICORN_TIMEOUT:-60} \\
    --keep-alive ${GUNICORN_KEEPALIVE:-2} \\
    --max-requests ${WORKER_MAX_REQUESTS:-0} \\
    --max-requests-jitter ${WORKER_MAX_REQUESTS_JITTER:-0} \\
    --limit-request-line ${SERVER_LIMIT_REQUEST_LINE:-0} \\
    --limit-request-field_size ${SERVER_LIMIT_REQUEST_FIELD_SIZE:-0} \\
    "${FLASK_APP}"
"""


def test_script_that_calls_the_command_gunicorn_runs_hostler_by_the_shim(serve: Serve, shim: str) -> None:
    (serve.directory / "run-server.sh").write_text(RUN_SERVER)
    server = start(serve, SCRIPT_THAT_EXECUTES, PATH=shim, FLASK_APP="app:create_app()")
    assert ask(server).startswith("hostler ")
    assert "hostler 0." in server.log  # our arbiter, too
    assert server.stop() == 0


def test_script_that_names_a_class_takes_ours_by_its_own_setting(serve: Serve) -> None:
    (serve.directory / "run-server.sh").write_text(RUN_SERVER)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    server = start(serve, SCRIPT_THAT_EXECUTES, PATH=path, FLASK_APP="app:create_app()", SERVER_WORKER_CLASS=CLASS)
    assert ask(server).startswith("hostler ")
    assert server.stop() == 0


PROGRAM_WITH_OPTIONS = """
    import os, shlex, sys

    opts = shlex.split(os.environ.get("OPTS", ""))
    command = [sys.executable, "-m", "gunicorn", *opts, "-b", "127.0.0.1:0", "-w", "2", "app"]
    os.execv(command[0], command)
"""


@pytest.mark.parametrize("env", [{"OPTS": f"-k {CLASS}"}, {"GUNICORN_CMD_ARGS": f"-k {CLASS}"}])
def test_program_that_runs_the_module_gunicorn_takes_our_class(serve: Serve, env: dict[str, str]) -> None:
    server = start(serve, PROGRAM_WITH_OPTIONS, **env)
    assert ask(server).startswith("hostler ")
    wait_threads(server, server.wait_children(2))
    assert server.stop() == 0


EMBEDDED = {
    "wsgiapp.run": """
        import sys
        from gunicorn.app.wsgiapp import run

        sys.argv = ["gunicorn", "-b", "127.0.0.1:0", "app"]
        run()
    """,
    "Application": """
        from gunicorn.app.base import Application
        from app import application

        class Own(Application):
            def init(self, parser, opts, args):
                return {"bind": "127.0.0.1:0"}

            def load(self):
                return application

        Own().run()
    """,
    "BaseApplication": f"""
        from gunicorn.app.base import BaseApplication
        from app import application

        class Own(BaseApplication):
            def load_config(self):
                self.cfg.set("bind", "127.0.0.1:0")
                self.cfg.set("worker_class", "{CLASS}")

            def load(self):
                return application

        Own().run()
    """,
}


@pytest.mark.parametrize("name", EMBEDDED)
def test_gunicorn_in_a_program_takes_our_class(serve: Serve, name: str) -> None:
    env = {} if name == "BaseApplication" else {"GUNICORN_CMD_ARGS": f"-k {CLASS}"}
    server = start(serve, EMBEDDED[name], **env)
    assert ask(server).startswith("hostler ")
    assert server.stop() == 0


# A program that watches gunicorn's children: each says by its title that it is ready; they are refreshed one by one.
MONITOR = f"""
    import os, signal, subprocess, sys, time

    command = [
        sys.executable, "-m", "gunicorn", "--workers", "2", "--worker-class", "{CLASS}", "--timeout", "120",
        "--bind", "127.0.0.1:0", "--name", "garden-web", "--pid", "web.pid",
        "--config", "python:monitored", "app:create_app()", "--preload",
    ]
    gunicorn = subprocess.Popen(command, close_fds=True)

    def end(number, frame):
        gunicorn.terminate()
        gunicorn.wait(timeout=30)
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)

    def children():
        path = f"/proc/{{gunicorn.pid}}/task/{{gunicorn.pid}}/children"
        with open(path) as file:
            return [int(pid) for pid in file.read().split()]

    def is_ready(pid):
        try:
            with open(f"/proc/{{pid}}/cmdline", "rb") as file:
                return file.read().startswith(b"[ready] ")
        except OSError:
            return False

    def wait_for(count):
        while not (len(children()) == count and all(map(is_ready, children()))):
            time.sleep(0.05)

    wait_for(2)
    first = children()
    for _ in first:
        gunicorn.send_signal(signal.SIGTTIN)
        wait_for(3)
        gunicorn.send_signal(signal.SIGTTOU)
        wait_for(2)
    print("all are new:", not set(first) & set(children()), flush=True)
    while True:
        signal.pause()
"""
MONITORED = """
    import setproctitle

    def post_worker_init(worker):
        setproctitle.setproctitle("[ready] " + setproctitle.getproctitle())

    def on_starting(server):
        server.log.info("the program has been prepared")
"""


def test_program_that_counts_and_refreshes_workers_finds_ours(serve: Serve) -> None:
    serve.source(MONITORED, "monitored")
    server = start(serve, MONITOR)
    server.wait_log("the program has been prepared")
    server.wait_log("all are new: True")
    assert ask(server).startswith("hostler ")
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 0
