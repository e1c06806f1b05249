"""gunicorn's loggers under `hostler gunicorn`."""

from __future__ import annotations

import textwrap

import pytest

from tests.integration.helpers import Serve, Server
from tests.integration.helpers.commands import GUNICORN
from tests.integration.helpers.serve import HELLO
from tests.integration.helpers.versions import answer

FLASK_RECIPE = """
    import logging

    ours = logging.getLogger("shop")
    ours.handlers = logging.getLogger("gunicorn.error").handlers
    ours.setLevel(logging.getLogger("gunicorn.error").level)

    def application(environ, start_response):
        ours.info("info of the shop")
        ours.debug("debug of the shop")
        start_response("200 OK", [("Content-Length", "5")])
        return [b"hello"]
"""
HEALTH = """
    import logging

    class NoHealth(logging.Filter):
        def filter(self, record):
            return "/health" not in record.getMessage()
"""
LOGGER_CLASS = """
    from gunicorn.glogging import Logger
    import health, logging

    class ShopLogger(Logger):
        access_fmt = "shop: %(message)s"

        def setup(self, cfg):
            super().setup(cfg)
            logging.getLogger("gunicorn.access").addFilter(health.NoHealth())
"""


@pytest.mark.parametrize("line", ["", "--preload", "-k gevent"])
def test_application_that_copies_gunicorns_handlers_writes_to_the_error_log(serve: Serve, line: str) -> None:
    serve.source(FLASK_RECIPE)
    server = serve(None, "app", *line.split(), "-b", "127.0.0.1:0", bind=[], python=GUNICORN, ready=False)
    server.wait_ready()
    assert answer(server) == "hello"
    server.wait_log(r"\[\d{4}-\d\d-\d\d .*\] \[\d+\] \[INFO\] info of the shop")
    assert "debug of the shop" not in server.log


def get(server: Server, path: str) -> None:
    with server.connect() as connection:
        assert connection.request(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()).body == b"hello"


def test_filter_of_the_application_on_the_access_log_drops_lines(serve: Serve) -> None:
    serve.source(HEALTH, "health")
    lines = "import health, logging\nlogging.getLogger('gunicorn.access').addFilter(health.NoHealth())\n"
    serve.source(lines + textwrap.dedent(HELLO))
    line = "app -b 127.0.0.1:0 --access-logfile -"
    server = serve(None, *line.split(), bind=[], python=GUNICORN, ready=False)
    server.wait_ready()
    for path in ("/health", "/seen"):
        get(server, path)
    server.wait_log("GET /seen HTTP/1.1")
    assert "GET /health" not in server.log
    assert server.log.count("GET /seen") == 1


@pytest.mark.parametrize("line", ["--logger-class shoplog.ShopLogger", "-c python:shoplogconf"])
def test_logger_class_filters_and_reformats_the_access_log(serve: Serve, line: str) -> None:
    serve.source(HEALTH, "health")
    serve.source(LOGGER_CLASS, "shoplog")
    serve.source("from shoplog import ShopLogger as logger_class\n", "shoplogconf")
    serve.source(HELLO)
    words = [*line.split(), "app", "-b", "127.0.0.1:0", "--access-logfile", "-"]
    server = serve(None, *words, bind=[], python=GUNICORN, ready=False)
    server.wait_ready()
    for path in ("/health", "/seen"):
        get(server, path)
    server.wait_log('(?m)^shop: .*"GET /seen HTTP/1.1"')
    assert "GET /health" not in server.log
    assert "logger_class" not in server.log


def test_logger_class_that_raises_is_told_and_the_site_serves(serve: Serve) -> None:
    serve.source("def Broken(cfg):\n    raise ValueError('on purpose')\n", "shoplog")
    serve.source(HELLO)
    words = ["--logger-class", "shoplog.Broken", "app", "-b", "127.0.0.1:0", "--access-logfile", "-"]
    server = serve(None, *words, bind=[], python=GUNICORN, ready=False)
    server.wait_ready()
    get(server, "/seen")
    server.wait_log("GET /seen")
    server.wait_log(r"logger_class raised ValueError\('on purpose'\)")
