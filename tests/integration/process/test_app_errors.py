"""What the app raises and writes reaches the error log."""

from __future__ import annotations

import re

from tests.integration.helpers import Serve
from tests.integration.process.test_death import GET

APP = """
    def deep():
        raise ValueError("no such thing")
    def application(environ, start_response):
        print("the app says", environ["PATH_INFO"], file=environ["wsgi.errors"])
        try:
            deep()
        except ValueError as error:
            raise RuntimeError("worse") from error
"""


def test_exception_comes_with_its_traceback_and_its_cause(serve: Serve) -> None:
    server = serve(serve.source(APP))
    with server.connect() as connection:
        assert connection.request(GET).status == 500
    server.wait_log("RuntimeError: worse")
    first, *lines = server.log.partition("[ERROR] ")[2].splitlines()
    assert re.fullmatch(r"GET / from 127\.0\.0\.1:\d+ failed in the app", first)
    files = [line.strip().split('"')[1].rpartition("/")[2] for line in lines if line.startswith("  File ")]
    assert files == ["app.py"] * 3  # nothing of hostler's own
    text = "\n".join(lines)
    assert "ValueError: no such thing\n\nThe above exception was the direct cause" in text
    assert "the app says /\n" in server.log
