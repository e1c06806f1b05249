"""gunicorn and `hostler gunicorn` side by side: applications and hooks find the same, but for what the page lists."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from tests.integration.helpers import Serve
from tests.integration.helpers.commands import GUNICORN

# Prints what an operator's hooks and an application find; run under gunicorn and under hostler.
LOOK = """
    import json, logging, os, sys

    THREADED = ["nr_conns"] if "gthread" in sys.argv else []  # of that class alone

    def note(name, found):
        with open(os.environ["NOTES"] + "." + name, "w") as file:
            json.dump(found, file)

    def shape(value, names):
        return {name: _kind(value, name) for name in names}

    def _kind(value, name):
        try:
            found = value
            for part in name.split("."):
                found = getattr(found, part.removesuffix("()"))
                if part.endswith("()"):
                    found = found()
        except Exception as error:
            return type(error).__name__
        return found if isinstance(found, (str, bool, int)) else "callable" if callable(found) else "there"

    def when_ready(server):
        names = ["log.info", "log.access_log", "log.error_log", "app.wsgi()", "cfg.worker_class_str", "cfg.threads",
                 "num_workers", "proc_name"]
        more = {
            "LISTENERS": len(server.LISTENERS),
            "listener": str(server.LISTENERS[0]).rpartition(":")[0],
            "its socket": type(server.LISTENERS[0].sock).__name__,
            "descriptor": server.LISTENERS[0].fileno() > 2,
            "port": server.LISTENERS[0].getsockname()[1] > 0,
            "config": "__config__" in sys.modules,
            "software": "gunicorn" in os.environ["SERVER_SOFTWARE"],
        }
        note("server", shape(server, names) | more)

    def post_worker_init(worker):
        names = ["app.wsgi()", "app.callable", "wsgi", "tmp.notify", "nr", "alive", "booted", "age", "log.info",
                 "cfg.workers", "notify", "tmp.last_update()", "timeout", "aborted", "log.access_log", "log.error_log",
                 "cfg.worker_class_str", *THREADED]
        note("worker", shape(worker, names) | {"sockets": len(worker.sockets)})
"""
LOOK_APP = """
    import json, logging, os, sys

    LOGGERS = {}
    for name in ("gunicorn.error", "gunicorn.access"):
        each = logging.getLogger(name)
        LOGGERS[name] = [each.level, each.propagate, len(each.handlers)]
    PATH = [each for each in map(os.path.basename, sys.path) if each in ("lib", os.path.basename(os.getcwd()))][:2]

    def application(environ, start_response):
        shown = {name: value if isinstance(value, (str, bool, tuple)) else "" for name, value in environ.items()}
        found = {"environ": shown, "loggers": LOGGERS, "path": PATH, "cwd": os.getcwd()}
        found["software"] = "gunicorn" in os.environ["SERVER_SOFTWARE"]
        body = json.dumps(found).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
"""
REQUEST = (
    b"POST /a%20b/%C3%A9?x=1 HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-Proto: https\r\nX-Own: 1\r\nX-Own: 2\r\n"
    b"Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
)
# What docs/migrate/gunicorn.md lists.
ONLY_GUNICORN = {"HTTP_TRANSFER_ENCODING", "gunicorn.socket", "wsgi.early_hints"}
ONLY_HOSTLER = {"hostler.queue_time", "CONTENT_LENGTH", "REQUEST_URI"}
OTHER_VALUE = {"SERVER_SOFTWARE", "REMOTE_PORT", "SERVER_PORT"}


THEIRS = ("-W", "default", "-m", "gunicorn", "--no-control-socket")


def look(
    serve: Serve, tool: tuple[str, ...], name: str, more: str
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    notes = serve.directory / name
    (serve.directory / "lib").mkdir(exist_ok=True)
    line = f"-b 127.0.0.1:0 --access-logfile - --pythonpath lib,gone {more} app"
    server = serve(None, *line.split(), bind=[], python=tool, ready=False, env={"NOTES": str(notes)})
    server.wait_log(r"(?i)listening (at|on):? http://127.0.0.1:\d+")
    files = [serve.directory / f"{name}.{part}" for part in ("server", "worker")]
    server.wait_for(lambda: all(file.exists() and file.read_text().endswith("}") for file in files), "the notes")
    port = int(server.log.partition("http://127.0.0.1:")[2].split()[0])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(REQUEST)
        body = connection.makefile("rb").read().partition(b"\r\n\r\n")[2]
    return json.loads(body), json.loads(files[0].read_text()), json.loads(files[1].read_text())


@pytest.mark.parametrize("line", ["", "-k gthread --threads 2"])
def test_environ_loggers_path_and_hook_objects_are_gunicorns_but_for_what_the_page_lists(
    serve: Serve, line: str
) -> None:
    serve.source(LOOK, "gunicorn.conf")
    serve.source(LOOK_APP)
    theirs = look(serve, THEIRS, "theirs", line)
    ours = look(serve, GUNICORN, "ours", line)
    their_environ, our_environ = theirs[0].pop("environ"), ours[0].pop("environ")
    assert set(their_environ) - set(our_environ) == ONLY_GUNICORN
    assert set(our_environ) - set(their_environ) == ONLY_HOSTLER
    common = (set(their_environ) & set(our_environ)) - OTHER_VALUE
    assert {name: our_environ[name] for name in common} == {name: their_environ[name] for name in common}
    for our, their in zip(ours, theirs, strict=True):
        assert our == their


SCHEME_APP = """
    def application(environ, start_response):
        body = environ["wsgi.url_scheme"].encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
"""


def ask_by_unix_socket(serve: Serve, tool: tuple[str, ...], name: str, allowed: str) -> tuple[str, str]:
    """The scheme that the application sees, and the path in the access log."""
    path = serve.directory / f"{name}.sock"
    line = ["-b", f"unix:{path}", f"--forwarded-allow-ips={allowed}", "--access-logfile", "-", "app"]
    server = serve(None, *line, "--access-logformat", "path=%(U)s.", bind=[], python=tool, ready=False)
    server.wait_log("(?i)listening (at|on):? unix:")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(path))
        connection.sendall(b"GET /a%20b/%2541?x=%20 HTTP/1.0\r\nHost: shop.example\r\nX-Forwarded-Proto: https\r\n\r\n")
        body = connection.makefile("rb").read().partition(b"\r\n\r\n")[2]
    return body.decode(), server.wait_log("path=.*")[0]


@pytest.mark.parametrize("allowed", ["", "192.0.2.1", "127.0.0.1"])
def test_proxy_that_comes_by_a_unix_socket_is_trusted_whatever_the_list_says(serve: Serve, allowed: str) -> None:
    serve.source(SCHEME_APP)
    theirs = ask_by_unix_socket(serve, THEIRS, "theirs", allowed)
    assert theirs == ("https", "path=/a b/%41.")
    assert ask_by_unix_socket(serve, GUNICORN, "ours", allowed) == theirs
