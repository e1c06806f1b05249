"""Text of clients and of the app in a server's logs: the examples that Python and the core are tested with."""

from __future__ import annotations

import json

from tests.integration.helpers import Serve
from tests.unit.helpers.printable import EXAMPLES

# Raises what the client has sent.
APP = """
    def application(environ, start_response):
        raise ValueError(bytes.fromhex(environ["QUERY_STRING"]).decode("utf-8", "replace"))
"""
# What a header's value may have (RFC 9110 section 5.5): no controls but the tab.
HEADERS = [each for each in EXAMPLES if not set(bytes.fromhex(each[1])) & {*range(9), *range(10, 32), 127}]


def test_exception_of_the_app_cannot_control_the_reader_of_the_error_log(serve: Serve) -> None:
    server = serve(serve.source(APP))
    with server.connect() as connection:
        for _, data, *_ in EXAMPLES:
            connection.request(f"GET /?{data} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert server.stop() == 0
    for name, _, printable, _, _ in EXAMPLES:
        # A traceback has lines of its own, and so may an exception's text; none looks like the log's.
        assert "ValueError: {}\n".format(printable.replace("\\n", "\n ")) in server.log, name


def test_header_values_are_escaped_in_both_forms_of_the_access_log(serve: Serve) -> None:
    requests = b"".join(
        b"GET /?00 HTTP/1.1\r\nHost: x\r\nUser-Agent: " + bytes.fromhex(data) + b"\r\n\r\n" for _, data, *_ in HEADERS
    )
    for form in ("json", "%(a)s"):
        server = serve(serve.source(APP), "--access-log", f"{form[:2]}.log", "--access-log-format", form)
        with server.connect() as connection:
            connection.send(requests)
            for _ in HEADERS:
                connection.response()
        assert server.stop() == 0
    lines = (serve.directory / "js.log").read_text(encoding="utf-8").split("\n")[:-1]
    assert len(lines) == len(HEADERS)
    for line, (name, data, _, _, expected) in zip(lines, HEADERS, strict=True):
        assert f'"user_agent":"{expected}"' in line, name
        assert json.loads(line)["user_agent"] == bytes.fromhex(data).decode("utf-8", "replace")
    lines = (serve.directory / "%(.log").read_text(encoding="utf-8").split("\n")[:-1]
    assert lines == [access for _, _, _, access, _ in HEADERS]
