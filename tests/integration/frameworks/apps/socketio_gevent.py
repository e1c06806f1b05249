"""Flask-SocketIO on gevent, and the WebSockets of gevent-websocket as its applications take them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

if "WITHOUT_GEVENT_WEBSOCKET" in os.environ:
    sys.modules["geventwebsocket"] = None  # type: ignore[assignment]  # as if it were not installed

from flask import Flask
from flask_socketio import SocketIO, emit

flask = Flask(__name__)
socketio = SocketIO(flask, async_mode="gevent")


@flask.get("/")
def hello() -> str:
    return "hello"


@socketio.on("shout")  # type: ignore[untyped-decorator]
def shout(text: str) -> int:
    emit("heard", text.upper())
    return len(text)


@socketio.on("wait")  # type: ignore[untyped-decorator]
def wait(seconds: float) -> str:
    socketio.sleep(seconds)
    return "waited"


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] != "/echo":
        answer: Iterable[bytes] = flask(environ, start_response)
        return answer
    websocket = environ["wsgi.websocket"]
    while (message := websocket.receive()) not in (None, "end", "raise"):
        websocket.send(message)
    if message == "raise":
        raise RuntimeError("on purpose")
    return []
