"""preload: the application is imported once, workers are forked from it, and a reload imports it anew."""

from __future__ import annotations

import json
import os
import signal
import socket
import textwrap
from pathlib import Path

import pytest

from tests.integration.helpers import Serve, processes
from tests.integration.helpers.commands import template
from tests.integration.helpers.load import Load
from tests.integration.helpers.versions import answer, reload

APP = """
    import os
    import gc

    with open("imports", "a") as file:
        file.write("x")
    VERSION = "{version}"

    def application(environ, start_response):
        body = f"{{VERSION}} {{os.getpid()}} {{os.getppid()}} {{gc.get_freeze_count() > 1000}}".encode()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
"""


def source(serve: Serve, name: str = "v1") -> str:
    return serve.source(APP.format(version=name))


def imports(serve: Serve) -> int:
    return len((serve.directory / "imports").read_text())


def test_imported_once_for_all(serve: Serve) -> None:
    server = serve(source(serve), "--preload", "--workers", "3")
    server.wait_children(4)
    assert imports(serve) == 1
    version, _, parent, is_frozen = answer(server).split()
    assert (version, int(parent), is_frozen) == ("v1", server.pid, "True")


def test_dead_worker_is_followed_by_another(serve: Serve) -> None:
    server = serve(source(serve), "--preload", "--workers", "2")
    *_, victim = sorted(server.wait_children(3))
    os.kill(victim, signal.SIGKILL)
    server.wait_log(rf"worker died.* worker=\d pid={victim} signal=SIGKILL")
    server.wait_children(3, without=[victim])
    assert imports(serve) == 1


def test_reload_under_load_loads_new_code(serve: Serve) -> None:
    server = serve(source(serve), "--preload", "--workers", "2")
    load = Load(server, 2)
    old = template(server)
    for number in (2, 3):
        source(serve, f"v{number}")
        assert reload(server).returncode == 0
        assert answer(server).startswith(f"v{number} ")
    load.stop()
    assert load.failed == []
    assert imports(serve) == 3
    server.wait_children(3, without=[old])


@pytest.mark.parametrize(("text", "said"), [("VERSION = (", "SyntaxError"), ("import os; os._exit(9)", "exit_code=9")])
def test_version_that_does_not_load_changes_nothing(serve: Serve, text: str, said: str) -> None:
    server = serve(source(serve), "--preload", "--workers", "2")
    before = server.wait_children(3)
    serve.source(text)
    done = reload(server)
    assert done.returncode == 1
    assert said in done.stderr
    assert "nothing has changed" in done.stderr
    assert answer(server).startswith("v1 ")
    server.wait_for(lambda: sorted(server.children()) == sorted(before), "the processes from before")


def test_application_that_does_not_load_ends_the_start(serve: Serve) -> None:
    server = serve(serve.source("import nowhere"), "--preload", ready=False)
    assert server.wait() == 4
    assert "No module named 'nowhere'" in server.log


def test_stopped_while_it_imports(serve: Serve) -> None:
    held = "import time\nopen('held', 'w').close()\ntime.sleep(600)\n"
    server = serve(serve.source(held), "--preload", ready=False)
    server.wait_for((serve.directory / "held").exists, "the import")
    assert server.stop() == 0
    server.wait_gone()


def test_template_that_dies_is_made_anew(serve: Serve) -> None:
    server = serve(source(serve), "--preload")
    [first, worker] = sorted(server.wait_children(2))
    os.kill(first, signal.SIGKILL)
    server.wait_log("imports the application for all workers died signal=SIGKILL")
    assert answer(server).startswith("v1 ")
    os.kill(worker, signal.SIGKILL)
    server.wait_log("application imported again for all workers")
    server.wait_children(2, without=[first, worker])
    assert answer(server).startswith("v1 ")


def test_logs_are_reopened_for_workers_to_come(serve: Serve, tmp_path: Path) -> None:
    log = tmp_path / "error.log"
    server = serve(source(serve), "--preload", "--error-log", str(log), ready=False)
    server.wait_for(lambda: log.exists() and "listening on" in log.read_text(), "the error log")
    server.wait_children(2)
    log.rename(tmp_path / "error.log.1")
    server.kill(signal.SIGUSR1)
    first = template(server)
    server.wait_for(lambda: all(_has(pid, log) for pid in (server.pid, first)), "the new file")


def _has(pid: int, path: Path) -> bool:
    return any(os.readlink(fd) == str(path) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink())


def test_arbiter_killed_leaves_nobody(serve: Serve) -> None:
    server = serve(source(serve), "--preload", "--workers", "2")
    server.wait_children(3)
    server.kill(signal.SIGKILL)
    server.wait()
    server.wait_gone()
    assert processes.group(server.pid) == []


def test_asgi_application(serve: Serve) -> None:
    serve.source(
        """
        async def application(scope, receive, send):
            assert scope["type"] == "http"
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})
        """
    )
    server = serve("app:application", "--preload", "--workers", "2")
    assert answer(server) == "ok"


def test_gevent(serve: Serve) -> None:
    server = serve(source(serve), "--preload", "--driver", "gevent", "--workers", "2")
    assert answer(server).startswith("v1 ")
    assert imports(serve) == 1


def test_logs_are_reopened_while_it_imports(serve: Serve) -> None:
    """USR1 is no end, however early it comes."""
    text = "import time, os\nopen('held', 'w').close()\nwhile not os.path.exists('go'):\n    time.sleep(0.01)\n"
    server = serve(serve.source(text + textwrap.dedent(APP.format(version="v1"))), "--preload", ready=False)
    server.wait_for((serve.directory / "held").exists, "the import")
    server.kill(signal.SIGUSR1)
    (serve.directory / "go").touch()
    server.wait_ready()
    assert answer(server).startswith("v1 ")


def test_import_that_hangs_is_ended(serve: Serve) -> None:
    server = serve(source(serve), "--preload", "--boot-timeout", "1s")
    serve.source("import time\ntime.sleep(600)\n")
    done = reload(server)
    assert "not imported within boot_timeout" in done.stderr
    assert answer(server).startswith("v1 ")


def test_a_newer_reload_takes_the_place_of_one_that_hangs(serve: Serve) -> None:
    server = serve(source(serve), "--preload")
    serve.source("import time\nopen('held', 'w').close()\ntime.sleep(600)\n")
    server.kill(signal.SIGHUP)
    server.wait_for((serve.directory / "held").exists, "the import")
    source(serve, "v2")
    assert reload(server).returncode == 0
    assert answer(server).startswith("v2 ")


def test_threads_of_the_app_keep_no_template(serve: Serve) -> None:
    text = "import threading, time\nthreading.Thread(target=lambda: time.sleep(600)).start()\n"
    server = serve(serve.source(text + textwrap.dedent(APP.format(version="v1"))), "--preload")
    server.wait_log("the application has started threads at its import")
    old = template(server)
    assert reload(server).returncode == 0
    server.wait_children(2, without=[old])
    server.stop()
    server.wait_gone()


def test_what_was_printed_is_printed_once(serve: Serve) -> None:
    text = "print('printed at import')\n" + textwrap.dedent(APP.format(version="v1"))
    server = serve(serve.source(text), "--preload", "--workers", "3", env={"PYTHONUNBUFFERED": ""})
    server.wait_children(4)
    server.stop()
    assert server.log.count("printed at import") == 1


def test_gevent_with_logging(serve: Serve) -> None:
    loggers = {name: {"handlers": ["file"], "level": "INFO"} for name in ("hostler.error", "hostler.access")}
    table = {"handlers": {"file": {"class": "logging.FileHandler", "filename": "all.log"}}, "loggers": loggers}
    (serve.directory / "log.json").write_text(json.dumps(table))
    options = ("--driver", "gevent", "--log-config", "log.json")
    server = serve(source(serve), "--preload", *options, bind="unix:app.sock", ready=False)
    server.wait_for(lambda: "listening on" in _text(serve.directory / "all.log"), "the log")
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(serve.directory / "app.sock"))
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.1 200 OK")
    server.wait_for(lambda: "GET / HTTP/1.1" in _text(serve.directory / "all.log"), "the access log")


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
