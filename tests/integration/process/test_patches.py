"""Code of the operator that replaces the standard library: the arbiter keeps its own, the application gets the rest."""

from __future__ import annotations

import textwrap

import pytest

from tests.integration.helpers import Serve, Server
from tests.integration.helpers.commands import GUNICORN
from tests.integration.helpers.serve import HELLO
from tests.integration.helpers.versions import answer, reload

pytest.importorskip("gevent")

PATCH = "from gevent import monkey\nmonkey.patch_all()\n"
# What each place of the server has: greenlets where threading is gevent's.
WHERE = """
    import threading, time
    from gevent import monkey

    def application(environ, start_response):
        body = f"{monkey.is_module_patched('threading')} {time.sleep.__module__}".encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
"""
EVENTLET = """
    already_patched = {}

    def monkey_patch():
        already_patched["os"] = True
"""


def start(serve: Serve, *line: str) -> Server:
    server = serve(None, *line, "-b", "127.0.0.1:0", bind=[], python=GUNICORN, ready=False)
    server.wait_ready()
    return server


@pytest.mark.parametrize("line", ["", "-k gevent", "-k gthread --threads 3", "--preload", "-w 2"])
def test_patch_all_in_the_configuration_file_serves_reloads_and_stops(serve: Serve, line: str) -> None:
    serve.source(WHERE)
    serve.source(PATCH, "gunicorn.conf")
    server = start(serve, "app", *line.split())
    assert answer(server) == "True gevent.hub"
    assert reload(server).returncode == 0
    assert answer(server) == "True gevent.hub"
    assert server.stop() == 0


@pytest.mark.parametrize("hook", ["on_starting", "when_ready", "pre_fork"])
def test_patch_in_a_hook_of_the_arbiter_serves_and_stops(serve: Serve, hook: str) -> None:
    serve.source(HELLO)
    body = "    from gevent import monkey\n    monkey.patch_all()\n    given[0].log.info('patched')\n"
    serve.source(f"def {hook}(*given):\n{body}", "gunicorn.conf")
    server = start(serve, "app")
    server.wait_log("patched")
    assert answer(server) == "hello"
    assert server.stop() == 0


@pytest.mark.parametrize("line", ["", "--threads 2", "--preload"])
def test_application_that_patches_itself_under_a_thread_class_stops(serve: Serve, line: str) -> None:
    serve.source(PATCH + textwrap.dedent(WHERE))
    server = start(serve, "app", *line.split())
    assert answer(server) == "True gevent.hub"
    server.wait_log("the gevent driver runs the requests")
    assert server.stop() == 0


def test_script_that_patches_itself_and_calls_serve_stops(serve: Serve) -> None:
    script = serve.directory / "script.py"
    body = f"import hostler\n{textwrap.dedent(HELLO)}\nhostler.serve(application, bind='127.0.0.1:0', workers=1)\n"
    script.write_text(f"{PATCH}{body}import time\nprint(time.sleep.__module__, 'afterwards', flush=True)\n")
    server = serve(None, bind=[], python=[str(script)], ready=False)
    server.wait_ready()
    assert answer(server) == "hello"
    assert server.stop() == 0
    server.wait_log("gevent.hub afterwards")


def test_post_fork_finds_gevents_monkey_under_the_gevent_class(serve: Serve) -> None:
    serve.source(HELLO)
    lines = (
        "def post_fork(server, worker):\n    import sys\n    server.log.info('%s', 'gevent.monkey' in sys.modules)\n"
    )
    serve.source(lines, "gunicorn.conf")
    start(serve, "app", "-k", "gevent").wait_log("True")


def test_asgi_application_beside_patch_all_is_refused_with_the_cause(serve: Serve) -> None:
    serve.source(f"{PATCH}async def application(scope, receive, send): ...\n")
    server = serve(None, "app", "-b", "127.0.0.1:0", bind=[], python=GUNICORN, ready=False)
    assert server.wait() == 3
    assert "gevent.monkey.patch_all() was called, and ASGI applications run on asyncio" in server.log


class TestEventlet:
    @pytest.fixture(autouse=True)
    def package(self, serve: Serve) -> None:
        """As much of eventlet as we look at: it is not installed here, since it is not maintained."""
        (serve.directory / "eventlet").mkdir()
        (serve.directory / "eventlet" / "__init__.py").write_text("from eventlet.patcher import monkey_patch\n")
        (serve.directory / "eventlet" / "patcher.py").write_text(textwrap.dedent(EVENTLET))

    def test_its_patch_in_a_configuration_file_is_refused_with_the_cause(self, serve: Serve) -> None:
        serve.source(HELLO)
        serve.source("import eventlet\neventlet.monkey_patch()\n", "gunicorn.conf")
        server = serve(None, "app", "-b", "127.0.0.1:0", bind=[], python=GUNICORN, ready=False)
        assert server.wait() == 2
        assert "gunicorn.conf.py: eventlet.monkey_patch() was called: there is no driver for eventlet" in server.log

    def test_its_patch_in_the_application_is_refused_under_each_class(self, serve: Serve) -> None:
        serve.source(f"import eventlet\neventlet.monkey_patch()\n{textwrap.dedent(HELLO)}")
        server = serve(None, "app", "-b", "127.0.0.1:0", bind=[], python=GUNICORN, ready=False)
        assert server.wait() == 3
        assert "eventlet.monkey_patch() was called" in server.log

    def test_class_eventlet_refuses_an_application_that_imports_it(self, serve: Serve) -> None:
        serve.source(f"import eventlet\n{textwrap.dedent(HELLO)}")
        server = serve(None, "app", "-k", "eventlet", "-b", "127.0.0.1:0", bind=[], python=GUNICORN, ready=False)
        assert server.wait() == 3
        assert "the application imports eventlet: there is no driver for eventlet" in server.log

    def test_class_eventlet_serves_an_application_that_does_not(self, serve: Serve) -> None:
        serve.source(HELLO)
        server = start(serve, "app", "-k", "eventlet")
        assert answer(server) == "hello"
        server.wait_log("eventlet is not maintained any more: gevent's greenlets run it")
