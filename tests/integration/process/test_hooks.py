"""Server hooks: each is called once for what it is named after, with gunicorn's arguments."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.integration.helpers import Serve, Server
from tests.integration.helpers.commands import end, successor, upgrade
from tests.integration.helpers.load import GET
from tests.integration.helpers.serve import HELLO
from tests.integration.helpers.versions import reload

# Every hook writes its name and what it was told.
HOOKS = """
    import os

    def say(*words):
        with open("said", "a") as file:
            file.write(" ".join(map(str, words)) + "\\n")

    def on_starting(server):
        say("on_starting", server.pid == os.getpid(), server.cfg.workers)

    def on_reload(server):
        say("on_reload", server.pid)

    def when_ready(server):
        server.log.info("%s is the number of workers", server.num_workers)
        say("when_ready", len(server.address), len(server.WORKERS))

    def pre_fork(server, worker):
        worker.mark = worker.age
        say("pre_fork", server.pid == os.getpid(), worker.age, worker.pid)

    def post_fork(server, worker):
        say("post_fork", worker.age, worker.pid == os.getpid(), worker.ppid == server.pid, getattr(worker, "mark", "-"))

    def post_worker_init(worker):
        say("post_worker_init", worker.age, callable(worker.wsgi), worker.app.callable is worker.wsgi)

    def worker_int(worker):
        say("worker_int", worker.pid == os.getpid())

    def worker_abort(worker):
        say("worker_abort", worker.aborted)

    def pre_exec(server):
        say("pre_exec", server.pid)

    def pre_request(worker, req):
        say("pre_request", worker.nr, req.method, req.path, req.uri, dict(req.headers).get("X-MARK"))

    def post_request(worker, req, environ, resp):
        say("post_request", req.path, resp.status, resp.status_code, resp.sent, "PATH_INFO" in environ)

    def child_exit(server, worker):
        say("child_exit", server.pid == os.getpid(), isinstance(worker.pid, int))

    def worker_exit(server, worker):
        say("worker_exit", worker.pid == os.getpid())

    def nworkers_changed(server, new_value, old_value):
        say("nworkers_changed", new_value, old_value)

    def on_exit(server):
        say("on_exit", server.pid == os.getpid())
"""


def start(serve: Serve, *options: str, app: str = HELLO, hooks: str = HOOKS) -> Server:
    serve.source(hooks, "hooks")
    return serve(serve.source(app), "--hooks", "hooks.py", *options)


def said(serve: Serve, name: str = "") -> list[str]:
    """The lines of a hook, in order."""
    path = serve.directory / "said"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line for line in lines if line.split()[0] == name] if name else lines


def wait_said(server: Server, serve: Serve, line: str) -> None:
    server.wait_for(lambda: line in said(serve), line)


def test_a_life(serve: Serve) -> None:
    server = start(serve)
    with server.connect() as connection:
        assert connection.request(b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Mark: 7\r\n\r\n").body == b"hello"
    wait_said(server, serve, "post_request /a 200 OK 200 5 True")
    assert server.stop() == 0
    workers = ("post_fork", "post_worker_init", "pre_request", "post_request", "worker_exit")
    assert [line for line in said(serve) if line.split()[0] not in workers] == [
        "on_starting True 1",
        "pre_fork True 1 [booting]",
        "nworkers_changed 1 None",
        "when_ready 1 1",
        "child_exit True True",
        "on_exit True",
    ]
    assert [line for line in said(serve) if line.split()[0] in workers] == [
        "post_fork 1 True True 1",
        "post_worker_init 1 True True",
        "pre_request 1 GET /a /a?b=c 7",
        "post_request /a 200 OK 200 5 True",
        "worker_exit True",
    ]
    assert "1 is the number of workers" in server.log


def test_preloaded(serve: Serve) -> None:
    server = start(serve, "--preload", "--workers", "2")
    server.wait_children(3)
    server.wait_for(lambda: len(said(serve, "post_worker_init")) == 2, "two workers")
    assert sorted(said(serve, "post_fork")) == ["post_fork 1 True True -", "post_fork 2 True True -"]
    assert server.stop() == 0
    assert len(said(serve, "worker_exit")) == len(said(serve, "child_exit")) == 2


SOCKETS = """
    def names(sockets):
        return [(each.sock.getsockname()[1], str(each)) for each in sockets]

    def when_ready(server):
        server.log.info("arbiter %s", names(server.LISTENERS))

    def post_fork(server, worker):
        server.log.info("worker %s", names(server.LISTENERS))

    def post_worker_init(worker):
        worker.log.info("worker %s", names(worker.sockets))
"""


@pytest.mark.parametrize("line", ["", "--preload"])
def test_listeners_are_open_in_hooks_of_the_arbiter_and_of_workers(serve: Serve, line: str) -> None:
    server = start(serve, *line.split(), "--admin-bind", "127.0.0.1:0", hooks=SOCKETS)
    url = server.url("").rstrip("/")
    named = re.escape(f"[({server.port}, '{url}')]")
    server.wait_log(f"worker {named}", count=2)
    server.wait_log(f"arbiter {named}")


def test_death_reload_resize(serve: Serve) -> None:
    server = start(serve)
    [worker] = server.children()
    os.kill(worker, signal.SIGKILL)
    wait_said(server, serve, "child_exit True True")
    server.wait_children(1, without=[worker])
    assert reload(server).returncode == 0
    assert len(said(serve, "on_reload")) == 1
    server.kill(signal.SIGTTIN)
    wait_said(server, serve, "nworkers_changed 2 1")
    assert said(serve, "worker_exit") == ["worker_exit True"]  # the one that was killed could not


def test_reload_runs_the_file_anew(serve: Serve) -> None:
    server = start(serve)
    serve.source("def on_reload(server):\n    server.log.warning('the new file')\n", "hooks")
    assert reload(server).returncode == 0
    assert "the new file" in server.log
    serve.source("def on_reload(server:\n", "hooks")
    done = reload(server)
    assert done.returncode == 1
    assert "hooks.py:1: SyntaxError" in done.stderr


def test_upgrade(serve: Serve) -> None:
    server = start(serve)
    pid = successor(upgrade(server.pid))
    assert said(serve, "pre_exec") == [f"pre_exec {server.pid}"]
    end(server, pid)


def test_quit(serve: Serve) -> None:
    server = start(serve)
    assert server.stop(signal.SIGQUIT) == 0
    assert said(serve, "worker_int") == ["worker_int True"]
    assert said(serve, "worker_exit") == ["worker_exit True"]


def test_request_that_takes_too_long(serve: Serve) -> None:
    slow = "import time\ndef application(environ, start_response):\n    time.sleep(2)\n    return []\n"
    server = start(serve, "--request-timeout", "300ms", app=slow)
    with server.connect() as connection:
        assert connection.request(GET).status == 504
    wait_said(server, serve, "worker_abort True")


def test_asgi_requests(serve: Serve) -> None:
    app = """
        async def application(scope, receive, send):
            await send({"type": "http.response.start", "status": 201, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})
    """
    server = start(serve, app=app)
    with server.connect() as connection:
        assert connection.request(GET).status == 201
    wait_said(server, serve, "post_request / 201 201 2 False")
    assert said(serve, "pre_request") == ["pre_request 1 GET / / None"]


def test_request_that_fails(serve: Serve) -> None:
    server = start(serve, app="def application(environ, start_response):\n    raise ValueError\n")
    with server.connect() as connection:
        assert connection.request(GET).status == 500
    wait_said(server, serve, "post_request /  None 0 True")


@pytest.mark.parametrize(
    ("hook", "code", "line"),
    [
        ("on_starting(server)", 1, "the hook on_starting raised ValueError('no')"),
        ("post_fork(server, worker)", 3, "the hook post_fork raised ValueError('no')"),
        ("post_worker_init(worker)", 3, "the hook post_worker_init raised ValueError('no')"),
    ],
)
def test_hooks_that_prepare_and_fail_end_the_start(serve: Serve, hook: str, code: int, line: str) -> None:
    serve.source(f"def {hook}:\n    raise ValueError('no')\n", "hooks")
    server = serve(serve.source(HELLO), "--hooks", "hooks.py", ready=False)
    assert server.wait() == code
    assert line in server.log


def test_other_hooks_that_fail_are_logged(serve: Serve) -> None:
    names = ("when_ready(server)", "pre_fork(server, worker)", "pre_request(worker, req)")
    server = start(serve, hooks="".join(f"def {name}:\n    raise ValueError('no')\n" for name in names))
    with server.connect() as connection:
        assert connection.request(GET).body == b"hello"
    for name in names:
        server.wait_log(rf"the hook {name.partition('(')[0]} raised ValueError\('no'\)\nTraceback")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x = 1", "hooks.py: no hook is defined there; there are on_starting, "),
        ("post_fork = 1", "hooks.py: post_fork is not a function"),
        ("1 / 0", "hooks.py:1: ZeroDivisionError: division by zero"),
    ],
)
def test_files_without_use(serve: Serve, text: str, line: str) -> None:
    serve.source(text, "hooks")
    server = serve(serve.source(HELLO), "--hooks", "hooks.py", ready=False)
    assert server.wait() == 2
    assert f"hostler: {line}" in server.log


def test_file_that_is_not_there(serve: Serve) -> None:
    server = serve(serve.source(HELLO), "--hooks", "none.py", ready=False)
    assert server.wait() == 2
    assert 'hostler: "none.py" cannot be read: No such file or directory' in server.log


def test_prometheus_recipe(serve: Serve, tmp_path: Path) -> None:
    """What most files have: a worker's pid, when it is gone."""
    hooks = "def child_exit(server, worker):\n    open(f'dead-{worker.pid}', 'w').close()\n"
    server = start(serve, hooks=hooks)
    [worker] = server.children()
    os.kill(worker, signal.SIGKILL)
    server.wait_for((serve.directory / f"dead-{worker}").exists, "the hook")


def test_workers_of_the_version_before_are_told_of_too(serve: Serve) -> None:
    server = start(serve)
    [old] = server.children()
    assert reload(server).returncode == 0
    server.wait_children(1, without=[old])
    wait_said(server, serve, "child_exit True True")
    assert [line.split()[2] for line in said(serve, "pre_fork")] == ["1", "2"]  # each age once
    server.kill(signal.SIGTTIN)
    wait_said(server, serve, "nworkers_changed 2 1")
    assert len(said(serve, "nworkers_changed")) == 2
