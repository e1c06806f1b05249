"""What the app raises and writes reaches the error log."""

from __future__ import annotations

import json
import re
import signal
import socket

import pytest

from tests.integration.helpers import Serve
from tests.integration.helpers.load import GET

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


LATE = """
    import asyncio

    async def application(scope, receive, send):
        if scope["type"] == "websocket":
            await receive()
            if scope["path"] == "/refused":
                await send({"type": "websocket.close"})
            else:
                await send({"type": "websocket.accept"})
                await send({"type": "websocket.close"})
            raise RuntimeError("late")
        if scope["path"] == "/awaits":
            await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"sent"})
        if scope["path"] == "/goes-on":
            await asyncio.sleep(0)
        raise RuntimeError("late")
"""
WEBSOCKET = (
    b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.mark.parametrize("path", ["/first-step", "/awaits", "/goes-on", "/closed", "/refused"])
def test_exception_after_the_response_was_sent_names_its_request(serve: Serve, path: str) -> None:
    """FastAPI and Starlette answer 500, and then raise the exception again."""
    server = serve(serve.source(LATE), "--lifespan", "off", "--admin-bind", "127.0.0.1:0")
    with server.connect() as connection:
        is_socket = path in ("/closed", "/refused")
        connection.send(
            WEBSOCKET % path.encode() if is_socket else b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode()
        )
        server.wait_log(rf"\[ERROR\] GET {path} from 127\.0\.0\.1:\d+ failed in the app\n")
        server.wait_log("RuntimeError: late")
    assert server.log.count("failed in the app") == 1


JSON = """
    def application(environ, start_response):
        print("plain words", file=environ["wsgi.errors"])
        raise ValueError("one\\ntwo")
"""


@pytest.mark.parametrize("preload", ["on", "off"])
def test_every_line_of_a_json_error_log_is_an_object(serve: Serve, preload: str) -> None:
    path = serve.directory / "error.log"
    options = ("--error-log", str(path), "--error-log-format", "json", f"--preload={preload}", "--bind", "unix:s")
    server = serve(serve.source(JSON), *options, ready=False)

    def lines() -> list[dict[str, object]]:
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def has(message: str) -> bool:
        return any(message in str(line["message"]) for line in lines())

    server.wait_for(lambda: has("listening on unix:"), "the start line")
    for request in (GET, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"):  # the second is refused by the core
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(serve.directory / "s"))
            client.sendall(request)
            assert client.recv(100).startswith(b"HTTP/1.1 ")
    server.wait_for(lambda: has("400 to"), "the refusal")
    server.wait_for(lambda: has("plain words"), "the application's words")
    assert server.stop() == 0
    found = lines()
    assert all(set(line) == {"time", "level", "pid", "message"} for line in found)
    [failure] = [line for line in found if "failed in the app" in str(line["message"])]
    assert (failure["level"], "Traceback" in str(failure["message"])) == ("ERROR", True)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", str(found[0]["time"]))


def test_reload_takes_up_the_form_of_the_error_log(serve: Serve) -> None:
    (serve.directory / "hostler.toml").write_text("")
    server = serve(serve.source(JSON))
    (serve.directory / "hostler.toml").write_text('error_log_format = "json"\n')
    server.kill(signal.SIGHUP)
    server.wait_log(r'"message": "reloaded')


BARE = """
    def application(environ, start_response):
        start_response("200 OK", [])
        return b"bare" if environ["PATH_INFO"] == "/" else b""
"""


@pytest.mark.parametrize(("path", "body"), [(b"/", b"bare"), (b"/empty", b"")])
def test_bytes_in_place_of_a_list_are_the_body(serve: Serve, path: bytes, body: bytes) -> None:
    server = serve(serve.source(BARE))
    with server.connect() as connection:
        response = connection.request(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path)
    assert (response.status, response.body, response.header("Content-Length")) == (200, body, str(len(body)))
